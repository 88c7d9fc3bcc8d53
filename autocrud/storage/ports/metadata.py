"""Port of metadata stores: heads, commits and index columns of one model."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import datetime

from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    IndexProgress,
    OnDeleteTask,
    Revision,
    RevisionSpan,
    ScanItem,
)


class MetaStore(ABC):
    """Heads and commits of one model.

    The contracts of `IStorage` apply here too: consistency, order and errors. The docstrings below state only the
    differences. A cancelled read has no effect.
    """

    @abstractmethod
    async def open(self) -> None:
        """Create missing tables and finish the work of a crashed process.

        Raises:
            ConfigurationError: the store cannot be used with the given settings.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release all resources. No `commit` is running. Idempotent, also after a failed `open`."""

    @abstractmethod
    async def get(self, resource_id: str, current: bool) -> Head | None:
        """Return the head, or None. `Head.data` may be None; the caller then reads `Head.locator`."""

    @abstractmethod
    async def search(self, query: Query) -> list[Head]:
        """Return the heads of one page, plus one more if there is a next page. `Head.data` may be None as in `get`."""

    @abstractmethod
    async def count(self, query: Query) -> int:
        """Return the number of matching heads on all pages. The count may stop at `count_limit`."""

    @abstractmethod
    def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        """Yield the items of `IStorage.snapshot_scan` in chunks of any size. `Head.data` may be None as in `get`."""

    @abstractmethod
    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        """Return one page of groups, plus one more if there is a next page."""

    @abstractmethod
    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        """Return at most `limit` commits with versions below `before`, newest first."""

    @abstractmethod
    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        """Return the last commit at or before the time, or None."""

    @abstractmethod
    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        """Return the revisions of the span that have data, newest first."""

    @abstractmethod
    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        """Return one revision as of a version of the resource (None: now), or None if the revision has no data."""

    @abstractmethod
    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        """Return the `file_id` of each blob in the data of a commit."""

    @abstractmethod
    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        """Return the version of the last commit whose data refers to the blob, or None."""

    @abstractmethod
    async def blob(self, file_id: str) -> Blob | None:
        """Return a registered blob, or None. The answer is never stale."""

    @abstractmethod
    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        """Return ids, ascending, as `IStorage.expired_revisions` does."""

    @abstractmethod
    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        """Return on-delete tasks, ascending, as `IStorage.pending_deletions` does. The answer is never stale."""

    @abstractmethod
    async def complete(self, tasks: Sequence[OnDeleteTask]) -> None:
        """Remove on-delete tasks. Unknown tasks are ignored."""

    @abstractmethod
    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        """Fill index columns, as `IStorage.fill_indexes` does."""

    async def index_other_versions(self) -> None:
        """Fill index columns, as `IStorage.index_other_versions` does."""
        return

    @abstractmethod
    async def vacuum(self) -> None:
        """Erase the data of pruned revisions and drop expired request keys. Concurrent calls are safe."""

    @abstractmethod
    async def read(self, locator: str) -> bytes:
        """Return the stored JSON at a locator.

        Raises:
            DataCorrupted: the bytes do not exist. The caller checks if a purge or prune erased them.
        """
