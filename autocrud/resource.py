"""A resource, its metadata and its revisions: the words that every layer shares."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic_core import to_json

from autocrud.errors import InvalidParameter, RevisionNotFound

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
_REVISION_ID = re.compile(_ID.pattern + r":[1-9][0-9]{0,17}")

# Path segments of the collection itself, which would hide a resource of that id.
RESERVED_IDS = frozenset({"aggregate", "blobs", "bulk", "count", "export", "import"})


def check_resource_id(resource_id: str) -> str:
    """Return the id if it may name a resource: 1 to 128 unreserved URL characters (RFC 3986, 2.3).

    Raises:
        InvalidParameter: it may not.
    """
    if not _ID.fullmatch(resource_id):
        raise InvalidParameter(
            "resource_id",
            "must be 1 to 128 letters, digits, '.', '_', '~' or '-', and begin with a letter or digit",
        )
    if resource_id in RESERVED_IDS:
        raise InvalidParameter("resource_id", f"{resource_id!r} is the name of a route")
    return resource_id


def timestamp(moment: datetime) -> str:
    """Write an aware time as UTC in RFC 3339 with six fractional digits, so that text order is time order."""
    return _timestamp(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=256)
def _timestamp(moment: datetime) -> str:
    # One write has the same time in half a dozen places.
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


@lru_cache(maxsize=256)
def version_tag(version: int, created_time: str) -> str:
    """The opaque tag of one state of one resource.

    The creation time is in it because versions start again at 1 when an id is used anew after a purge.
    """
    return f"{version}-{created_time.translate(_PUNCTUATION)}"


_PUNCTUATION = str.maketrans("", "", "-:.TZ")

Timestamp = Annotated[datetime, PlainSerializer(timestamp, return_type=str, when_used="json")]


class RevisionStatus(StrEnum):
    """Whether a revision may still be edited in place."""

    stable = "stable"
    draft = "draft"


@dataclass(frozen=True, slots=True)
class Retention:
    """Which old revisions are kept: the newest `keep_last`, and those made within `keep_for`; the current one always.

    Raises:
        ValueError: neither is given, or one is not positive.
    """

    keep_last: int | None = None
    keep_for: timedelta | None = None

    def __post_init__(self) -> None:
        if self.keep_last is None and self.keep_for is None:
            raise ValueError("a retention keeps the last n revisions, or those of some time: give one of them")
        if (self.keep_last is not None and self.keep_last < 1) or (self.keep_for or timedelta(1)) <= timedelta(0):
            raise ValueError("keep_last and keep_for must be positive")


class CommitKind(StrEnum):
    """What a commit did."""

    create = "create"
    update = "update"
    modify = "modify"
    switch = "switch"
    delete = "delete"
    restore = "restore"
    prune = "prune"
    purge = "purge"


def revision_number(resource_id: str, revision: str) -> int:
    """The number of a revision, given by its id, `{resource_id}:{n}`, or by the bare number.

    Raises:
        InvalidParameter: it is neither.
        RevisionNotFound: it is one of another resource.
    """
    if _REVISION_ID.fullmatch(revision) and not revision.startswith(f"{resource_id}:"):
        raise RevisionNotFound(revision)
    number = revision.removeprefix(f"{resource_id}:")
    if not re.fullmatch(r"[1-9][0-9]{0,17}", number):
        raise InvalidParameter("revision_id", f"must be a number from 1 on, or {resource_id}: and such a number")
    return int(number)


_set = object.__setattr__


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)

    @classmethod
    def trusted(cls, **values: Any) -> Self:
        """One of values, for all fields, that are known to be right: it costs a fraction of validating them."""
        made = cls.__new__(cls)
        _set(made, "__dict__", values)
        _set(made, "__pydantic_fields_set__", set(values))
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        return made


class ResourceMeta(_Stored):
    """Where a resource stands. `version` counts its commits of every kind."""

    resource_id: str = Field(examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"])
    version: int = Field(examples=[1])
    current_revision_id: str = Field(examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e:1"])
    total_revision_count: int = Field(examples=[1])
    is_deleted: bool
    created_time: Timestamp
    updated_time: Timestamp
    created_by: str | None = Field(examples=[None])
    updated_by: str | None = Field(examples=[None])
    schema_version: int = Field(examples=[1])
    status: RevisionStatus

    @property
    def tag(self) -> str:
        """The opaque tag of this state, which moves on every commit."""
        return version_tag(self.version, timestamp(self.created_time))

    def to_json(self) -> bytes:
        """The JSON that Pydantic would write, in a fraction of the time."""
        return (
            f'{{"resource_id":"{self.resource_id}","version":{self.version},'
            f'"current_revision_id":"{self.current_revision_id}","total_revision_count":{self.total_revision_count},'
            f'"is_deleted":{_word(self.is_deleted)},"created_time":"{timestamp(self.created_time)}",'
            f'"updated_time":"{timestamp(self.updated_time)}","created_by":{_text(self.created_by)},'
            f'"updated_by":{_text(self.updated_by)},"schema_version":{self.schema_version},"status":"{self.status}"}}'
        ).encode()


class RevisionInfo(_Stored):
    """One state of a resource's data, immutable once it is stable.

    `data_hash` is `sha256:` and the hex digest of its stored bytes. The times are those of the revision's beginning: a
    draft that is edited keeps them.
    """

    revision_id: str = Field(examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e:1"])
    parent_revision_id: str | None = Field(examples=[None])
    created_time: Timestamp
    created_by: str | None = Field(examples=[None])
    schema_version: int = Field(examples=[1])
    status: RevisionStatus
    data_hash: str = Field(examples=["sha256:" + "9f" * 32])
    size: int = Field(description="Bytes of the stored JSON.", examples=[118])

    def to_json(self) -> bytes:
        """The JSON that Pydantic would write, in a fraction of the time."""
        parent = "null" if self.parent_revision_id is None else f'"{self.parent_revision_id}"'
        return (
            f'{{"revision_id":"{self.revision_id}","parent_revision_id":{parent},'
            f'"created_time":"{timestamp(self.created_time)}","created_by":{_text(self.created_by)},'
            f'"schema_version":{self.schema_version},"status":"{self.status}","data_hash":"{self.data_hash}",'
            f'"size":{self.size}}}'
        ).encode()


def _word(value: bool) -> str:
    return "true" if value else "false"


def _text(value: str | None) -> str:
    return "null" if value is None else to_json(value).decode()
