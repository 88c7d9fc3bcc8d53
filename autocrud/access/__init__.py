"""Access: who sends a request, and who may do what."""

from autocrud.access.api_key import ApiKey, Scope
from autocrud.access.api_keys import ApiKeys
from autocrud.access.authenticator import Authenticator, FunctionAuthenticator, first_of
from autocrud.access.jwt import JWTAuthenticator
from autocrud.access.trusted_header import TrustedHeader
from autocrud.policy.access import Access, FieldRule, Right, read_only
from autocrud.policy.principal import Principal
from autocrud.policy.rules import Rule, anyone, authenticated, nobody, owner, role, where
from autocrud.routes.authentication import principal_of

__all__ = [
    "Access",
    "ApiKey",
    "ApiKeys",
    "Authenticator",
    "FieldRule",
    "FunctionAuthenticator",
    "JWTAuthenticator",
    "Principal",
    "Right",
    "Rule",
    "Scope",
    "TrustedHeader",
    "anyone",
    "authenticated",
    "first_of",
    "nobody",
    "owner",
    "principal_of",
    "read_only",
    "role",
    "where",
]
