"""JWT: an authenticator of signed tokens of an issuer, such as an OpenID Connect provider."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import Request

from autocrud.access.authenticator import Authenticator
from autocrud.access.bearer import bearer_token
from autocrud.access.verified_tokens import VerifiedTokens
from autocrud.errors import ConfigurationError, Unauthenticated
from autocrud.policy.principal import Principal, is_principal_name

if TYPE_CHECKING:
    from autocrud.access.jwks import IssuerKeys
    from autocrud.access.jwt_verifier import JWTVerifier

# Signatures by private keys. A shared secret (HS256) would let each service issue tokens.
ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519",
)  # fmt: skip
DEFAULT_ALGORITHMS = ("RS256", "ES256")
LEEWAY_S = 30


class JWTAuthenticator(Authenticator):
    """Authenticator of tokens, sent as `Authorization: Bearer …`, that an issuer has signed.

    The claim `sub` is the id of the principal. The keys are fetched with the first token, and cached.

    Args:
        issuer: URL of the issuer, which must equal the claim `iss`.
        audience: name of this service, or several names; the claim `aud` must have one of them.
        algorithms: algorithms of signatures that are accepted.
        jwks_url: URL of the key set; by default the issuer's metadata name it.
        leeway: seconds that the clocks of the issuer and of this process may differ.
        roles_claim: claim with the roles, a list or a text with spaces. A path such as `realm_access.roles` leads into
            claims.
        tenant_claim: claim with the tenant; None for no tenants.

    Raises:
        ConfigurationError: an argument is invalid, or the extra `jwt` is not installed.
    """

    challenges: Sequence[str] = ("Bearer",)

    def __init__(
        self,
        issuer: str,
        audience: str | Sequence[str],
        *,
        algorithms: Sequence[str] = DEFAULT_ALGORITHMS,
        jwks_url: str | None = None,
        leeway: int = LEEWAY_S,
        roles_claim: str = "roles",
        tenant_claim: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_url("issuer", issuer)
        if jwks_url is not None:
            _check_url("jwks_url", jwks_url)
        audiences = [audience] if isinstance(audience, str) else list(audience)
        if not audiences or not all(audiences):
            raise ConfigurationError("a JWT needs the name of an audience", argument="audience")
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ConfigurationError(
                f"the algorithms {', '.join(algorithms)!r} must be some of {', '.join(ALGORITHMS)}",
                argument="algorithms",
            )
        self.security_schemes: Mapping[str, Mapping[str, Any]] = {
            "JWT": {
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": f"A token of {issuer}.",
            }
        }  # fmt: skip
        self._keys, self._verifier = _load(issuer, jwks_url, audiences, algorithms, leeway, clock)
        self._leeway = leeway
        self._roles_claim, self._tenant_claim = roles_claim, tenant_claim
        self._verified = VerifiedTokens()

    async def __call__(self, request: Request) -> Principal | None:
        token = bearer_token(request)
        # Other bearer tokens, such as API keys, do not have three parts.
        if token is None or token.count(".") != 2:
            return None
        self._keys.renew_if_old()
        principal = self._verified.find(token, time.time(), self._keys.generation)
        if principal is None:
            claims = await self._verifier.verify(token)
            principal = self._principal(claims)
            self._verified.add(token, principal, claims["exp"] + self._leeway, self._keys.generation)
        return principal

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        """Return the principal of verified claims.

        Raises:
            Unauthenticated: a claim does not have the form of a name, or of a list of names.
        """
        subject, roles = claims["sub"], _find(claims, self._roles_claim)
        tenant = None if self._tenant_claim is None else _find(claims, self._tenant_claim)
        names = roles.split() if isinstance(roles, str) else [] if roles is None else roles
        if not is_principal_name(subject):
            raise _wrong_claim("sub")
        if not isinstance(names, list) or not all(map(is_principal_name, names)):
            raise _wrong_claim(self._roles_claim)
        if tenant is not None and not is_principal_name(tenant):
            raise _wrong_claim(self._tenant_claim or "")
        return Principal(subject, frozenset(names), tenant, claims)


def _load(
    issuer: str,
    jwks_url: str | None,
    audiences: Sequence[str],
    algorithms: Sequence[str],
    leeway: int,
    clock: Callable[[], float],
) -> "tuple[IssuerKeys, JWTVerifier]":
    """Return the keys and the verifier, whose libraries are optional."""
    try:
        from autocrud.access.jwks import IssuerKeys
        from autocrud.access.jwt_verifier import JWTVerifier
    except ImportError as error:
        raise ConfigurationError(
            f"The package {(error.name or '').partition('.')[0]} is missing. Install it: pip install 'autocrud[jwt]'",
            argument="authenticator",
        ) from error
    keys = IssuerKeys(issuer, jwks_url, clock=clock)
    return keys, JWTVerifier(keys, issuer, audiences, algorithms, leeway)


def _check_url(argument: str, url: str) -> None:
    """Refuse a text that is no URL, and a URL with a password, which logs would show."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ConfigurationError(
            f"the {argument} must be a URL such as https://id.example.com, without a user name", argument=argument
        )


def _find(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim by its name, or by a path such as `realm_access.roles`; None if it is missing."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _wrong_claim(name: str) -> Unauthenticated:
    return Unauthenticated(f"The token is not valid: its claim {name!r} does not have the form of names.")
