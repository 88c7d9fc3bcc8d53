"""API key: its text, and the resource of the system model that stands for it."""

import hmac
import re
import secrets
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, NamedTuple

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from autocrud.policy.principal import MAX_NAME, Principal

MODEL = "autocrud-api-key"  # name of the system model
PREFIX = "acrud_"
_SECRET_BYTES = 32
_TEXT = re.compile(rf"{PREFIX}([0-9a-f]{{12}})_[A-Za-z0-9_-]{{43}}")

_Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME)]


class Scope(StrEnum):
    """Operations that a key permits: reads (`GET`, `HEAD`), or all other methods."""

    read = "read"
    write = "write"


class ApiKey(BaseModel):
    """An API key as it is stored: everything but the key itself.

    Attributes:
        name: id of the principal. Several keys may have one name, so that a key can be replaced.
        sha256: SHA-256 of the whole key, in hexadecimal digits.
        expires_at: the key is refused from this time on; None for never.
        revoked_at: time of the revocation; None for a valid key.
    """

    name: _Name
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
    scopes: list[Scope] = Field(default_factory=lambda: list(Scope), min_length=1)
    roles: list[_Name] = Field(default_factory=list)
    tenant: _Name | None = None
    expires_at: AwareDatetime | None = None
    revoked_at: AwareDatetime | None = None

    @property
    def is_valid(self) -> bool:
        """True if the key is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or datetime.now(UTC) < self.expires_at)

    def principal(self, key_id: str) -> Principal:
        """Return the principal that the key stands for."""
        scopes = frozenset(str(scope) for scope in self.scopes)
        return Principal(self.name, frozenset(self.roles), self.tenant, {"api_key": key_id}, scopes=scopes)


class NewKey(NamedTuple):
    """A key that was just created. The text is shown once, and stored nowhere.

    Attributes:
        key_id: id of the resource; the readable part of the text.
    """

    key_id: str
    text: str


def new_key() -> NewKey:
    """Return a new key of 32 random bytes behind a readable prefix."""
    key_id = secrets.token_hex(6)
    return NewKey(key_id, f"{PREFIX}{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}")


def id_of_key(text: str) -> str | None:
    """Return the id in the text of a key; None if the text does not have the form of a key."""
    match = _TEXT.fullmatch(text)
    return match and match[1]


def hash_of_key(text: str) -> str:
    """Return the SHA-256 of a key in hexadecimal digits."""
    return sha256(text.encode()).hexdigest()


def is_same_hash(first: str, second: str) -> bool:
    """Compare two hashes in a time that does not depend on their digits."""
    return hmac.compare_digest(first, second)
