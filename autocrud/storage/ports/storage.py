"""Ports of a storage and of a storage factory: the interface between managers and backends."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.blobs import BlobStore
from autocrud.storage.ports.schema_records import SchemaRecords
from autocrud.storage.ports.transactions import TransactionStore
from autocrud.storage.ports.types import (
    Commit,
    Head,
    IndexProgress,
    OnDeleteTask,
    Outcome,
    Page,
    Revision,
    RevisionSpan,
    ScanItem,
    Write,
)
from autocrud.storage.ports.versions import VersionReader

Check = Callable[[], Awaitable[None]]


class IStorage(ABC):
    """Storage of one model: all operations of a manager.

    Reads are linearizable: a read sees every write acknowledged before the read began, by any process. A factory may
    permit stale reads by a setting. A cancelled read has no effect.

    Every method raises `StorageUnavailable` if a backend does not answer, and `DataCorrupted` if stored bytes differ
    from the written bytes. Reads that use an index field raise `IndexNotReady` until its backfill is done.

    Attributes:
        blobs: blob store of the model.
        versions: reader of data of other schema versions. Heads are handed out in the model's version.
        schemas: record of the model's schema versions, which processes of other versions read.
        store: store of the model, for transactions over several models; None if the model is alone in its store.
    """

    blobs: BlobStore
    versions: VersionReader
    schemas: SchemaRecords
    store: TransactionStore | None = None

    @abstractmethod
    async def open(self) -> None:
        """Create missing tables and folders, and finish the work of a crashed process.

        A failed or cancelled call must be followed by `close`.

        Raises:
            ConfigurationError: the store cannot be used with the given settings.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish the writes in flight, then release all resources. Idempotent, also after a failed `open`."""

    def prepare(self, write: Write) -> Outcome:
        """Complete a write for a transaction of `store`: its model, claims and references. Return its refusal, if any.

        A process with an older schema version may not write newer data (`NewerSchema`).
        """
        return self.versions.refuse(write)

    @abstractmethod
    async def commit(self, write: Write) -> None:
        """Make the write durable and visible, or raise and change nothing.

        A cancelled call may have committed the write.

        Raises:
            Repeated: a write with the same unexpired request key was committed before.
            AlreadyExists: `follows` is 0, and the resource exists.
            Conflict: the resource does not have the version `follows`.
            UniqueViolation: another live resource holds one of the write's unique values.
            UnknownBlob: the write refers to an unregistered blob.
            StorageUnavailable: the outcome is unknown; a read finds it out.
        """

    @abstractmethod
    async def commit_all(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        """Commit the writes in order; accept or refuse each separately.

        A cancelled call may have committed any of the writes; with `atomic`, all or none.

        Args:
            atomic: commit all writes at one commit point, or none. If one is refused, the outcome of the others is
                `Aborted`.

        Returns the outcome of each write: None if it is durable and visible, else the error that
        `commit` would raise. After `StorageUnavailable` the outcome of the write is unknown.
        """

    @abstractmethod
    async def get(self, resource_id: str, *, current: bool = False) -> Head | None:
        """Return the head of a resource with its data, soft-deleted or not; None if the resource does not exist.

        Args:
            current: answer as of now, even if stale reads are permitted.
        """

    @abstractmethod
    async def get_many(self, resource_ids: Sequence[str], *, current: bool = False) -> dict[str, Head]:
        """Return the heads of the resources by id, read together. Missing resources are left out."""

    @abstractmethod
    async def search(self, query: Query) -> Page:
        """Return one page of the matching heads, in the order of the query.

        With `at`, each head is in the state after its last commit at or before the time. Resources purged since are
        left out. Heads whose data was pruned since have no data and null index values. With `at`, a query may use
        fields that change over time only if the model is temporal.
        """

    @abstractmethod
    async def count(self, query: Query) -> int:
        """Return the number of matching heads on all pages; `limit` and `after` have no effect.

        With `count_limit`, a count may stop there, and need not read more.
        """

    @abstractmethod
    def snapshot_scan(self, query: Query, *, history: bool = False) -> AsyncIterator[ScanItem]:
        """Yield every matching head, by id, as of one moment after the call. Writes may go on meanwhile.

        The query's order and `limit` have no effect. Memory is bounded, however long the caller takes. To stop
        early, a caller must close the iterator (`aclose`). Resources erased meanwhile may be left out.

        Args:
            history: yield all commits of each matching resource instead, oldest first. Read their data with `data`.
        """

    @abstractmethod
    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        """Return one page of groups, plus one more if there is a next page.

        Raises:
            InvalidParameter: a sum of floats overflows.
        """

    @abstractmethod
    async def commits(self, resource_id: str, *, before: int | None = None, limit: int = 100) -> list[Commit]:
        """Return at most `limit` commits of a resource, newest first, with versions below `before`."""

    @abstractmethod
    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        """Return the last commit of a resource at or before the time, or None."""

    @abstractmethod
    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        """Return the revisions of the span that have data, newest first."""

    @abstractmethod
    async def revision(self, resource_id: str, number: int, *, version: int | None = None) -> Revision | None:
        """Return one revision as of a version of the resource (None: now); None if no such revision has data."""

    @abstractmethod
    async def data(self, item: Commit | Revision) -> bytes:
        """Return the stored JSON of a revision, or of a commit that has data of its own.

        Raises:
            RevisionNotFound: the commit has no data, or the data was erased meanwhile.
        """

    @abstractmethod
    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        """Return the `file_id` of each blob in the data of a commit."""

    @abstractmethod
    async def commit_of_blob(self, resource_id: str, file_id: str) -> Commit | None:
        """Return the last commit of a resource whose data refers to the blob, or None."""

    @abstractmethod
    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        """Return ids of resources with a revision, other than the current one, whose data is older than `before`.

        Args:
            before: time of the oldest data to keep.
            after: the last id of the previous call; "" for the first call.
            limit: most ids to return, in ascending order.
        """

    @abstractmethod
    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        """Return at most `limit` uncompleted on-delete tasks in order, from behind `after`.

        A rebuild derives tasks from the commits and restores completed tasks. Running a task twice must be harmless.
        """

    @abstractmethod
    async def complete(self, tasks: Sequence[OnDeleteTask]) -> None:
        """Remove on-delete tasks. If each node has its own metadata, this affects the calling node only."""

    @abstractmethod
    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        """Fill the index columns that lack values of the model. Yield the progress until they are filled, or cannot be.

        The backfill goes on in the background if the caller stops. Without such columns, nothing is yielded.
        """

    async def index_other_versions(self) -> None:
        """Fill the index columns of resources that processes of other schema versions have written until now."""
        return

    @abstractmethod
    async def vacuum(self) -> None:
        """Erase pruned data; drop expired request keys and upload sessions. Concurrent calls are safe."""


class IStorageFactory(ABC):
    """Builder of storages, one per model, and owner of shared resources, such as connections."""

    @abstractmethod
    def build(self, spec: ModelSpec[Any]) -> IStorage:
        """Return the storage of one model, not yet open. The call must not block."""

    async def stored_models(self) -> set[str]:
        """Return the folders of all models with data in the store, registered or not. Called while it is open."""
        return set()

    @abstractmethod
    async def open(self) -> None:
        """Open the shared resources. Each service calls `open` once, before any storage is opened.

        A failed or cancelled call must be followed by `close`.

        Raises:
            ConfigurationError: a setting is wrong; the message names the setting.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the shared resources. Called after the storages are closed. Idempotent, also after a failed `open`."""

    @abstractmethod
    def checks(self) -> Mapping[str, Check]:
        """Return a health check for each backend in use, by a name to show to people.

        A check raises `StorageUnavailable`, with the reason, if the backend cannot serve now.
        """
