"""JWT verifier: verifies the signature and the registered claims of a token (RFC 7519)."""

from collections.abc import Sequence
from typing import Any

from joserfc.errors import BadSignatureError, ExpiredTokenError, JoseError
from joserfc.jws import JWSRegistry, extract_compact
from joserfc.jwt import JWTClaimsRegistry, decode

from autocrud.access.jwks import IssuerKeys
from autocrud.errors import Unauthenticated

Claims = dict[str, Any]


class _Registry(JWSRegistry):
    """Limits of a token. Some issuers put a chain of certificates into the header."""

    max_header_length = 8 * 1024
    max_payload_length = 16 * 1024


class JWTVerifier:
    """Verifies tokens of one issuer.

    Args:
        audiences: a token must be for one of them.
        algorithms: algorithms of signatures that are accepted.
        leeway: seconds that the clocks of the issuer and of this process may differ.
    """

    def __init__(
        self, keys: IssuerKeys, issuer: str, audiences: Sequence[str], algorithms: Sequence[str], leeway: int
    ) -> None:
        self._keys = keys
        self._algorithms = list(algorithms)
        self._registry = _Registry(algorithms=self._algorithms, strict_check_header=False)
        self._claims = JWTClaimsRegistry(
            leeway=leeway,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "values": list(audiences)},
            exp={"essential": True},
            sub={"essential": True},
        )

    async def verify(self, token: str) -> Claims:
        """Return the claims of a token.

        Raises:
            Unauthenticated: the token is not valid.
            IssuerUnavailable: no keys are cached, and the issuer does not answer.
        """
        try:
            header = extract_compact(token.encode(), registry=self._registry).headers()
        except (JoseError, ValueError) as error:
            raise _refusal("it is malformed") from error
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            raise _refusal("its algorithm is not accepted")
        if key_id is not None and not isinstance(key_id, str):
            raise _refusal("it is malformed")
        key = await self._keys.find(key_id)
        if key is None:
            raise _refusal("its key is unknown")
        try:
            claims = decode(token, key, algorithms=self._algorithms, registry=self._registry).claims
            self._claims.validate(claims)
        except ExpiredTokenError as error:
            raise _refusal("it has expired") from error
        except BadSignatureError as error:
            raise _refusal("its signature is wrong") from error
        except (JoseError, ValueError) as error:
            raise _refusal("its key does not fit, or its issuer, audience or times are wrong") from error
        return claims


def _refusal(reason: str) -> Unauthenticated:
    # The reason never has parts of the token.
    return Unauthenticated(f"The token is not valid: {reason}.")
