"""Settings of the authentication: environment variables, then a `.env` file."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from autocrud.access.jwt import ALGORITHMS, DEFAULT_ALGORITHMS, LEEWAY_S


class AuthKind(StrEnum):
    """Kinds of credentials: API keys, tokens of an issuer, or the header of a trusted proxy."""

    keys = "keys"
    jwt = "jwt"
    header = "header"


class DefaultAccessKind(StrEnum):
    """Access to models without rules: of every principal, or of nobody."""

    open = "open"
    deny = "deny"


class AuthSettings(BaseSettings):
    """The settings of the authentication. `Settings` has them, too."""

    auth: str = ""
    allow_anonymous: bool = False
    default_access: DefaultAccessKind = DefaultAccessKind.open
    user_header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")] | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_algorithms: str = ",".join(DEFAULT_ALGORITHMS)
    jwt_jwks_url: str | None = None
    jwt_leeway: Annotated[int, Field(ge=0, le=600)] = LEEWAY_S
    jwt_roles_claim: Annotated[str, Field(min_length=1)] = "roles"
    jwt_tenant_claim: str | None = None

    @field_validator("auth")
    @classmethod
    def _check_auth(cls, text: str) -> str:
        names = split_names(text)
        if not set(names) <= set(AuthKind) or len(set(names)) < len(names):
            raise ValueError(f"must be some of {', '.join(AuthKind)}, each once, separated by commas")
        return text

    @field_validator("jwt_algorithms")
    @classmethod
    def _check_algorithms(cls, text: str) -> str:
        if not split_names(text) or not set(split_names(text)) <= set(ALGORITHMS):
            raise ValueError(f"must be some of {', '.join(ALGORITHMS)}, separated by commas")
        return text

    @property
    def auth_kinds(self) -> list[AuthKind]:
        """Kinds of credentials that the service takes, in the order in which they are looked for."""
        return [AuthKind(name) for name in split_names(self.auth)]


def split_names(text: str) -> list[str]:
    """Return the names in a text with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]
