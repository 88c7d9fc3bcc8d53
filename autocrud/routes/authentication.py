"""Authentication: names the principal of each request before a route reads the body."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.types import Scope

from autocrud.errors import ConfigurationError, Forbidden, Unauthenticated
from autocrud.guard.current_principal import set_current_principal
from autocrud.policy.principal import Principal
from autocrud.routes.request.current_user import note_user

Authenticate = Callable[[Request], Awaitable[Principal | None]]

READ, WRITE = "read", "write"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_KEY = "autocrud.principal"


@dataclass(frozen=True, eq=False)
class Authentication:
    """The authentication of one registry's routes.

    Args:
        authenticate: returns the principal of a request, or None without credentials. It raises `Unauthenticated` for
            wrong credentials.
        challenges: values of the header `WWW-Authenticate`, such as `Bearer`.
        schemes: security schemes in OpenAPI, by name.
    """

    authenticate: Authenticate
    challenges: Sequence[str]
    schemes: Mapping[str, Mapping[str, Any]]

    async def require(self, scope: Scope, *, is_optional: bool = False) -> Principal | None:
        """Return the principal of a request, and note it for the handler.

        Args:
            is_optional: a request without credentials may go on, because rules permit something without.

        Raises:
            Unauthenticated: the request has no credentials and needs them, or has wrong ones.
            Forbidden: the credentials do not permit the method.
        """
        principal = await self.find(scope)
        if principal is None and is_optional:
            return None
        if principal is None:
            raise self._refusal_of(scope)
        needed_scope = READ if scope["method"] in _SAFE_METHODS else WRITE
        if not _has_scope(principal, needed_scope):
            raise Forbidden(f"The credentials do not have the scope {needed_scope!r}.")
        return principal

    def _refusal_of(self, scope: Scope) -> Unauthenticated:
        """Return the error of a request whose credentials no authenticator knows."""
        if any(name == b"authorization" for name, _ in scope["headers"]):
            challenges = tuple(map(_mark_invalid, self.challenges))
            return Unauthenticated("The credentials are of no kind that the service knows.", challenges=challenges)
        return Unauthenticated("The request has no credentials.", challenges=self.challenges)

    async def permits_read(self, scope: Scope) -> bool:
        """Return True if a request has credentials that permit reads.

        Raises:
            Unauthenticated: the credentials are wrong.
        """
        principal = await self.find(scope)
        return principal is not None and _has_scope(principal, READ)

    async def find(self, scope: Scope) -> Principal | None:
        """Return the principal of a request, and note it for the handler and for rules; None without credentials.

        Raises:
            Unauthenticated: the credentials are wrong, or the request has two headers `Authorization`.
        """
        set_current_principal(None)
        try:
            if sum(name == b"authorization" for name, _ in scope["headers"]) > 1:
                raise Unauthenticated("The request has more than one Authorization header.")
            # Without `receive` an authenticator cannot read the body.
            request = Request(scope)
            principal = await self.authenticate(request)
        except Unauthenticated as error:
            error.challenges = error.challenges or tuple(map(_mark_invalid, self.challenges))
            raise
        if principal is None:
            return None
        if not isinstance(principal, Principal):
            raise ConfigurationError(f"the authenticator returned {type(principal).__name__}, not a Principal or None")
        set_current_principal(principal)
        scope[_KEY] = principal
        note_user(request, principal.id)
        return principal


def principal_of(request: Request) -> Principal | None:
    """Return the principal of a request to a route of a model; None without an authenticator."""
    principal: Principal | None = request.scope.get(_KEY)
    return principal


def _has_scope(principal: Principal, scope: str) -> bool:
    return principal.scopes is None or scope in principal.scopes


def _mark_invalid(challenge: str) -> str:
    """Return a challenge that says that the credentials are wrong (RFC 6750, 3.1)."""
    return f'{challenge} error="invalid_token"' if challenge == "Bearer" else challenge
