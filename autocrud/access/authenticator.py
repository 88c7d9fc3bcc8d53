"""Authenticator: names the principal of a request. Authenticators can be combined."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from fastapi import Request

from autocrud.errors import ConfigurationError
from autocrud.policy.principal import Principal
from autocrud.routes.authentication import Authentication

AuthenticatorFunction = Callable[[Request], Awaitable[Principal | None]]


class Authenticator(ABC):
    """Names the principal of a request.

    Attributes:
        challenges: values of `WWW-Authenticate` for requests without credentials, such as `Bearer`.
        security_schemes: security schemes in OpenAPI, by name.
    """

    challenges: Sequence[str] = ("Bearer",)
    security_schemes: Mapping[str, Mapping[str, Any]] = {}

    @abstractmethod
    async def __call__(self, request: Request) -> Principal | None:
        """Return the principal; None if the request has no credentials of this kind. The body cannot be read.

        Raises:
            Unauthenticated: the credentials are wrong.
        """

    def parts(self) -> Iterator["Authenticator"]:
        """Yield this authenticator, and the authenticators that it consists of."""
        yield self


class FunctionAuthenticator(Authenticator):
    """Authenticator of a function `async (Request) -> Principal | None`.

    Args:
        challenges: values of `WWW-Authenticate` for requests without credentials.
        security_schemes: security schemes in OpenAPI, by name; a bearer token by default.

    Raises:
        ConfigurationError: the function is not async.
    """

    def __init__(
        self,
        function: AuthenticatorFunction,
        *,
        challenges: Sequence[str] = ("Bearer",),
        security_schemes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  # of an object with an async `__call__`
        )
        if not is_async:
            raise ConfigurationError(
                f"an authenticator must be an async function of a request, not {function!r}", argument="authenticator"
            )
        self._function = function
        self.challenges = challenges
        self.security_schemes = {"Bearer": {"type": "http", "scheme": "bearer"}}
        if security_schemes is not None:
            self.security_schemes = security_schemes

    async def __call__(self, request: Request) -> Principal | None:
        return await self._function(request)


class FirstOf(Authenticator):
    """Authenticator that asks others in order. The first that names a principal wins.

    Wrong credentials are refused. They never fall through to the next authenticator.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = authenticators
        self.challenges = list(dict.fromkeys(text for item in authenticators for text in item.challenges))
        self.security_schemes = _merge_schemes(authenticators)

    async def __call__(self, request: Request) -> Principal | None:
        for authenticator in self._authenticators:
            principal = await authenticator(request)
            if principal is not None:
                return principal
        return None

    def parts(self) -> Iterator[Authenticator]:
        yield self
        for authenticator in self._authenticators:
            yield from authenticator.parts()


def first_of(*authenticators: Authenticator | AuthenticatorFunction) -> Authenticator:
    """Return an authenticator that asks these in order. The first that names a principal wins.

    Wrong credentials are refused. They never fall through to the next authenticator.

    Raises:
        ConfigurationError: there is no authenticator, or an argument is neither an authenticator nor an async function.
    """
    if not authenticators:
        raise ConfigurationError("first_of takes at least one authenticator", argument="authenticator")
    found = [as_authenticator(item) for item in authenticators]
    return found[0] if len(found) == 1 else FirstOf(found)


def as_authenticator(value: Authenticator | AuthenticatorFunction) -> Authenticator:
    """Return an authenticator unchanged, and an async function as an authenticator.

    Raises:
        ConfigurationError: the value is neither an authenticator nor an async function.
    """
    return value if isinstance(value, Authenticator) else FunctionAuthenticator(value)


def authentication_of(authenticator: Authenticator) -> Authentication:
    """Return the authentication of routes by an authenticator."""
    return Authentication(authenticator, tuple(authenticator.challenges), authenticator.security_schemes)


def _merge_schemes(authenticators: Sequence[Authenticator]) -> Mapping[str, Mapping[str, Any]]:
    """Return the schemes of all authenticators. A different scheme of the same name gets a number."""
    schemes: dict[str, Mapping[str, Any]] = {}
    for authenticator in authenticators:
        for name, scheme in authenticator.security_schemes.items():
            candidate, number = name, 2
            while schemes.get(candidate, scheme) != scheme:
                candidate, number = f"{name}{number}", number + 1
            schemes[candidate] = scheme
    return schemes
