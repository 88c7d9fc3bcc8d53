"""The ports of storage, and the values that pass through them. Each contract is told here and nowhere else."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from autocrud.errors import AutoCRUDError
from autocrud.fields import ColumnValue
from autocrud.model import ModelSpec
from autocrud.query.conditions import Position, Query
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus, version_tag


@dataclass(slots=True)
class Write:
    """One change of one resource: what it read, what becomes true, and what it adds.

    Attributes:
        follows: the version that the writer read; 0 says that nothing may exist under the id.
        meta: the metadata after the write, with `version == follows + 1`.
        index: the index columns' values after the write, in the order of the model's index fields.
        revision, data: a new revision and its stored JSON; None where the data stays as it is.
    """

    kind: CommitKind
    follows: int
    meta: ResourceMeta
    index: tuple[ColumnValue, ...] = ()
    revision: RevisionInfo | None = None
    data: bytes | None = None
    meta_json: bytes = field(init=False)
    revision_json: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.meta_json = self.meta.__pydantic_serializer__.to_json(self.meta)
        revision = self.revision
        self.revision_json = None if revision is None else revision.__pydantic_serializer__.to_json(revision)


@dataclass(slots=True)
class Head:
    """A resource as it stands: its metadata, its current revision and that one's data, all as stored JSON.

    `data` is None only between a metadata store and the storage above it, which then reads `locator`.
    """

    resource_id: str
    version: int
    is_deleted: bool
    created_time: str
    meta: bytes
    revision_info: bytes
    data: bytes | None
    locator: str

    @property
    def tag(self) -> str:
        """See `version_tag`."""
        return version_tag(self.version, self.created_time)

    @property
    def position(self) -> Position:
        """Where it stands in a list."""
        return Position(self.created_time, self.resource_id)


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of a resource's history. `locator` says where its data is, where it has any of its own."""

    resource_id: str
    version: int
    kind: CommitKind
    time: datetime
    by: str | None
    revision_id: str
    parent_revision_id: str | None
    status: RevisionStatus
    is_deleted: bool
    schema_version: int
    data_hash: str | None
    size: int | None
    locator: str | None


def commit_of(write: Write, locator: str | None) -> Commit:
    """The history's entry for a write whose data stands at the locator."""
    meta, revision = write.meta, write.revision
    return Commit(
        resource_id=meta.resource_id,
        version=meta.version,
        kind=write.kind,
        time=meta.updated_time,
        by=meta.updated_by,
        revision_id=meta.current_revision_id,
        parent_revision_id=None if revision is None else revision.parent_revision_id,
        status=meta.status,
        is_deleted=meta.is_deleted,
        schema_version=meta.schema_version,
        data_hash=None if revision is None else revision.data_hash,
        size=None if revision is None else revision.size,
        locator=locator,
    )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of heads. `next` is where the following page begins; None on the last one."""

    items: list[Head]
    next: Position | None


Outcome = AutoCRUDError | None
Check = Callable[[], Awaitable[None]]


class IStorage(ABC):
    """One model's storage, all that a manager sees.

    Reads are linearizable: they see every write acknowledged, by whichever process, before they began. A storage may
    be set to answer from a little while ago instead; that is its factory's to say.
    Every method raises `StorageUnavailable` where a backend is away, and `DataCorrupted` where stored bytes are not
    what was written.
    """

    @abstractmethod
    async def open(self) -> None:
        """Get ready: create what is missing, finish what a crash interrupted.

        Raises:
            ConfigurationError: the store cannot be used as it is set.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish the writes in flight, then let go of everything. May be called twice."""

    @abstractmethod
    async def commit(self, write: Write) -> None:
        """Make the write durable and visible, or raise and change nothing.

        A cancelled call may have written.

        Raises:
            AlreadyExists: it expects that nothing exists, and something does.
            Conflict: the resource is not at the version that it follows.
            UniqueViolation: a live resource holds a unique value of it.
            StorageUnavailable: the outcome is not known; a read tells.
        """

    @abstractmethod
    async def get(self, resource_id: str, *, current: bool = False) -> Head | None:
        """The head of a resource, soft-deleted or not; None where there is none.

        Args:
            current: as of now, also where the storage is set to answer from a little while ago.
        """

    @abstractmethod
    async def search(self, query: Query) -> Page:
        """One page of the heads that the query selects."""

    @abstractmethod
    async def count(self, query: Query) -> int:
        """How many heads the query selects, on all pages together."""

    @abstractmethod
    async def commits(self, resource_id: str, *, before: int | None = None, limit: int = 100) -> list[Commit]:
        """A resource's commits, newest first, from below the version `before`."""

    @abstractmethod
    async def data(self, commit: Commit) -> bytes:
        """The stored JSON of a commit that has data of its own.

        Raises:
            LookupError: the commit has none.
        """


class IStorageFactory(ABC):
    """Builds the storages of one or of several models, and owns what they share."""

    @abstractmethod
    def build(self, spec: ModelSpec[Any]) -> IStorage:
        """The storage of one model, not yet open. Does no work that can block."""

    @abstractmethod
    async def open(self) -> None:
        """Open what the storages share; called before theirs, once for each service that uses the factory.

        Raises:
            ConfigurationError: a setting is wrong; the message names it.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close what `open` opened, after the storages. May be called twice."""

    @abstractmethod
    def checks(self) -> Mapping[str, Check]:
        """Each backend that it uses, by a name for people, and a way to ask whether it can serve now.

        A check raises `StorageUnavailable` where it cannot; the message says why.
        """


class MetaStore(ABC):
    """Heads and commits of one model. What it raises is what `IStorage` says."""

    @abstractmethod
    async def open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def commit(self, batch: Sequence[Write]) -> list[Outcome]:
        """Apply the writes in order, in one transaction and with one object, each accepted or refused on its own.

        One call at a time. Returns, for each write, None where it is durable and visible, or the error that refused
        it. Raises where the batch as a whole failed.
        """

    @abstractmethod
    async def get(self, resource_id: str, current: bool) -> Head | None: ...

    @abstractmethod
    async def search(self, query: Query) -> Page: ...

    @abstractmethod
    async def count(self, query: Query) -> int: ...

    @abstractmethod
    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]: ...

    @abstractmethod
    async def read(self, locator: str) -> bytes:
        """The stored JSON that a locator names."""
