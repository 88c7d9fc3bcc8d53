"""Port of commit logs: entries in one order. A completed append is the commit point (invariant 2)."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable

from autocrud.storage.commit_log.records.entry import Entry, Lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail


class SlotTaken(Exception):
    """Another entry has the sequence number: apply that entry first."""


class CommitLog(ABC):
    """The commit log of one store."""

    @abstractmethod
    async def layout(self, lines: Lines, after: Tail) -> Entry:
        """Return the entry that would follow `after`, with its final place and locators. Nothing is stored.

        Raises:
            PayloadTooLarge: the entry is longer than the log accepts.
            SlotTaken: the log is known to have an entry behind `after`.
        """

    @abstractmethod
    async def append(self, entry: Entry) -> None:
        """Store the entry that was laid out last. On return the entry is durable.

        Raises:
            SlotTaken: another entry has the sequence number, and this entry will never be stored.
            DataCorrupted: something that is no entry of this log stands in the place of the entry.
            StorageUnavailable: the implementation says what this means.
        """

    @abstractmethod
    def entries(self, after: Tail = EMPTY_TAIL) -> AsyncIterator[list[Entry]]:
        """Yield the entries that follow, in lists of bounded size. `ChainChecker` checks their order and erased parts.

        Raises:
            DataCorrupted: bytes do not form an entry. The message names file or object, and byte.
        """

    @abstractmethod
    async def read(self, locator: str) -> bytes:
        """Return the bytes of a locator.

        Raises:
            DataCorrupted: the bytes are missing or blank.
        """

    @abstractmethod
    async def erase(self, locators: Iterable[str]) -> None:
        """Overwrite the bytes of locators by blanks, durably. Idempotent.

        Raises:
            DataCorrupted: a file or object is missing.
        """
