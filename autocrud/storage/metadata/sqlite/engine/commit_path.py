"""Port between a SQLite file and its log: how a batch becomes durable, and how the file follows the log."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from autocrud.storage.commit_log.port import CommitLog
from autocrud.storage.metadata.sqlite.engine.staging import StagedBatch
from autocrud.storage.ports.transactions import Transaction


class CommitPath(ABC):
    """Commits batches to one kind of log.

    Attributes:
        log: reads and erases data. Available after `open`.
    """

    log: CommitLog

    @abstractmethod
    async def open(self, store_id: str) -> None:
        """Open the log of a store. The SQLite file is open."""

    @abstractmethod
    async def close(self) -> None:
        """Close the log. Idempotent, also after a failed `open`."""

    @abstractmethod
    async def check_tail(self) -> None:
        """Check that the log has the last entry that the file has applied.

        Raises:
            DataCorrupted: the log ends before the entry, or has another entry in its place.
        """

    @abstractmethod
    async def commit(self, batch: Sequence[Transaction]) -> StagedBatch:
        """Decide a batch and commit what is accepted. The caller holds the lock of the file."""

    @abstractmethod
    async def catch_up(self, *, announce: bool = False) -> None:
        """Apply the entries that the file lacks. The caller holds the lock of the file.

        Args:
            announce: log the progress.

        Raises:
            DataCorrupted: the entries do not follow what the file has applied.
        """

    @abstractmethod
    async def refresh(self) -> None:
        """Look at the log, and apply what the file lacks. The caller does not hold the lock of the file."""

    def needs_look(self, *, current: bool) -> bool:
        """Return True if a read must look at the log first.

        Args:
            current: the answer must not be stale.
        """
        return False
