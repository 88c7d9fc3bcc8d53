"""Access: the principal of a request, and the authenticators that name it."""

from autocrud.access.api_key import ApiKey, Scope
from autocrud.access.api_keys import ApiKeys
from autocrud.access.authenticator import Authenticator, FunctionAuthenticator, first_of
from autocrud.access.jwt import JWTAuthenticator
from autocrud.access.trusted_header import TrustedHeader
from autocrud.policy.principal import Principal
from autocrud.routes.authentication import principal_of

__all__ = [
    "ApiKey",
    "ApiKeys",
    "Authenticator",
    "FunctionAuthenticator",
    "JWTAuthenticator",
    "Principal",
    "Scope",
    "TrustedHeader",
    "first_of",
    "principal_of",
]
