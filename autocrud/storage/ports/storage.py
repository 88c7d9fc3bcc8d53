"""The ports of storage. Each contract is told here and nowhere else."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.blobs.store import BlobStore
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    Item,
    OnDeleteTask,
    Outcome,
    Page,
    Revision,
    RevisionSpan,
    ScanItem,
    Write,
)

Check = Callable[[], Awaitable[None]]


class IStorage(ABC):
    """One model's storage, all that a manager sees.

    Reads are linearizable: they see every write acknowledged, by whichever process, before they began. A storage may
    be set to answer from a little while ago instead; that is its factory's to say.
    Every method raises `StorageUnavailable` where a backend is away, and `DataCorrupted` where stored bytes are not
    what was written.

    Attributes:
        blobs: what the resources refer to.
    """

    blobs: BlobStore

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
            Repeated: a write with the same key, which has not expired, was committed before.
            AlreadyExists: it expects that nothing exists, and something does.
            Conflict: the resource is not at the version that it follows.
            UniqueViolation: a live resource holds a unique value of it.
            UnknownBlob: it refers to a blob that is not there.
            StorageUnavailable: the outcome is not known; a read tells.
        """

    @abstractmethod
    async def commit_all(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        """Commit these writes, in order and together, each accepted or refused on its own.

        Args:
            atomic: with one commit point, all of them or none: where one is refused, the others are `Aborted`.

        Returns, for each write, None where it is durable and visible, or what `commit` would have raised: also
        `StorageUnavailable`, where its outcome is not known.
        """

    @abstractmethod
    async def get(self, resource_id: str, *, current: bool = False) -> Head | None:
        """The head of a resource, soft-deleted or not; None where there is none.

        Args:
            current: as of now, also where the storage is set to answer from a little while ago.
        """

    @abstractmethod
    async def get_many(self, resource_ids: Sequence[str], *, current: bool = False) -> dict[str, Head]:
        """Those heads that there are, soft-deleted or not, by their ids: one query for all of them."""

    @abstractmethod
    async def search(self, query: Query) -> Page:
        """One page of the heads that the query selects.

        With `at`, they are what the last commit that is not after it left: of what has been purged since there is
        nothing, and what has been pruned since has no data, and nulls for index values. What changes can then only be
        asked about where the model is temporal.
        """

    @abstractmethod
    async def count(self, query: Query) -> int:
        """How many heads the query selects, on all pages together."""

    @abstractmethod
    def snapshot_scan(self, query: Query, *, history: bool = False) -> AsyncIterator[ScanItem]:
        """All heads that a query selects, by their ids, as of one moment after the call, while writes go on.

        In constant memory, whatever the query's `limit`, and for as long as the caller takes; who stops before the end
        closes it (`aclose`). What is erased meanwhile may be absent.

        Args:
            history: in the place of each head all of its commits, oldest first. Their data is read by `data`.
        """

    @abstractmethod
    async def aggregate(self, asked: Aggregation) -> list[GroupRow]:
        """One page of groups, and one more where there is a next page."""

    @abstractmethod
    async def commits(self, resource_id: str, *, before: int | None = None, limit: int = 100) -> list[Commit]:
        """A resource's commits, newest first, from below the version `before`."""

    @abstractmethod
    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        """The last commit of a resource that is not after this time."""

    @abstractmethod
    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        """A resource's revisions that have their data, newest first."""

    @abstractmethod
    async def revision(self, resource_id: str, number: int, *, version: int | None = None) -> Revision | None:
        """One revision that has its data, as it is, or as it was at a version of the resource."""

    @abstractmethod
    async def data(self, of: Commit | Revision) -> bytes:
        """The stored JSON of a revision, or of a commit that has data of its own.

        Raises:
            RevisionNotFound: the commit has none, or it was erased meanwhile.
        """

    @abstractmethod
    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        """The `file_id` of each blob that the data of a commit refers to."""

    @abstractmethod
    async def commit_of_blob(self, resource_id: str, file_id: str) -> Commit | None:
        """The last commit of a resource whose data refers to a blob; None where none does."""

    @abstractmethod
    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        """Ids behind `after` of resources with data from before this time that is not the current revision's."""

    @abstractmethod
    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        """The follow-ups behind `after` that are not settled, in order.

        They come from the commits, so that a rebuild brings those of long ago back: to follow up twice must do no harm.
        """

    @abstractmethod
    async def complete(self, done: Sequence[OnDeleteTask]) -> None:
        """Forget these follow-ups. Where each node has its own metadata, each settles for itself."""

    @abstractmethod
    async def vacuum(self) -> None:
        """Erase what was pruned, and drop what has expired. Any number of processes may call it at once."""


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
    async def commit(self, batch: Sequence[Item], atomic: bool = False) -> list[Outcome]:
        """Apply the writes in order, in one transaction and with one object, each accepted or refused on its own.

        Args:
            atomic: where one is refused, none is applied, and the others are `Aborted`.

        One call at a time. Returns, for each write, None where it is durable and visible, or the error that refused
        it. A blob is registered, and refused by `AlreadyExists` where there is one of its `file_id`. Raises where the
        batch as a whole failed.
        """

    @abstractmethod
    async def get(self, resource_id: str, current: bool) -> Head | None: ...

    @abstractmethod
    async def search(self, query: Query) -> list[Head]:
        """The heads of one page, and one more where there is a next page."""

    @abstractmethod
    async def count(self, query: Query) -> int: ...

    @abstractmethod
    def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]: ...

    @abstractmethod
    async def aggregate(self, asked: Aggregation) -> list[GroupRow]: ...

    @abstractmethod
    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]: ...

    @abstractmethod
    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None: ...

    @abstractmethod
    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]: ...

    @abstractmethod
    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None: ...

    @abstractmethod
    async def blobs_of(self, resource_id: str, version: int) -> list[str]: ...

    @abstractmethod
    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        """The version of `commit_of_blob`."""

    @abstractmethod
    async def blob(self, file_id: str) -> Blob | None:
        """A blob that is registered."""

    @abstractmethod
    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]: ...

    @abstractmethod
    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]: ...

    @abstractmethod
    async def complete(self, done: Sequence[OnDeleteTask]) -> None: ...

    @abstractmethod
    async def vacuum(self) -> None: ...

    @abstractmethod
    async def read(self, locator: str) -> bytes:
        """The stored JSON that a locator names."""
