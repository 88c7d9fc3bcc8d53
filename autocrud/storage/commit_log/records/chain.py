"""Chain of entries: each follows the one before, and each part that does not verify is erased by a later record."""

from dataclasses import dataclass

from autocrud.errors import DataCorrupted
from autocrud.resource import CommitKind
from autocrud.storage.commit_log.records.entry import Entry
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.commit_log.records.lines import Record
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Write


@dataclass(slots=True)
class _UnverifiedLine:
    """A line with a part that does not verify. Locators are None if the part is blank or needs no erasure."""

    description: str
    has_data_part: bool
    is_metadata_open: bool
    is_data_open: bool
    locators: list[str]


class ChainChecker:
    """Checks entries in their order. Use one checker for a whole replay.

    Args:
        tail: last entry that is known to be part of the chain.

    Attributes:
        tail: last entry that was checked.
        unblanked: locators of erased parts that are not blank, because a process ended while it blanked the parts.
            The caller erases them.
    """

    def __init__(self, tail: Tail = EMPTY_TAIL) -> None:
        self.tail = tail
        self.unblanked: list[str] = []
        self._unverified: dict[Position, _UnverifiedLine] = {}
        self._store: str | None = None

    def add(self, entry: Entry) -> list[Record]:
        """Check an entry and return its records.

        Raises:
            DataCorrupted: the entry does not follow the last one, or a line is not a record.
        """
        self._check_order(entry)
        records = entry.records()
        for ordinal, span in enumerate(entry.spans):
            if not (span.has_metadata and span.has_data):
                self._unverified[Position(entry.sequence, ordinal)] = _unverified_line(entry, ordinal)
        for ordinal, record in enumerate(records):
            if record.erases:
                self._discharge(entry, ordinal, record)
        self.tail = entry.tail
        return records

    def finish(self) -> None:
        """Check that every part that does not verify was erased. Call this after the last entry of the log.

        Raises:
            DataCorrupted: a part does not verify, and no record erases the part. The message names the first one.
        """
        if self._unverified:
            description = self._unverified[min(self._unverified)].description
            raise DataCorrupted(f"{description} is damaged: it was changed or blanked, and no later record erases it.")

    def describe_suspect(self) -> str | None:
        """Return the place of the first line that does not verify, and was not erased up to the last entry.

        Lines with other bytes than blanks go first, because a blank line is probably erased by a later record.
        """
        lines = sorted((not line.locators, position) for position, line in self._unverified.items())
        return self._unverified[lines[0][1]].description if lines else None

    def _check_order(self, entry: Entry) -> None:
        last = self.tail
        self._store = self._store or entry.store
        if entry.store != self._store:
            raise DataCorrupted(
                f"{entry.source}: entry {entry.sequence} belongs to the store {entry.store}, not to {self._store}."
            )
        if entry.sequence != last.sequence + 1:
            raise DataCorrupted(f"{entry.source}: entry {entry.sequence} stands where {last.sequence + 1} must be.")
        if entry.previous != last.header_hash:
            raise DataCorrupted(f"{entry.source}: entry {entry.sequence} does not follow this entry {last.sequence}.")
        if entry.time < last.time:
            raise DataCorrupted(f"{entry.source}: entry {entry.sequence} is older than entry {last.sequence}.")

    def _discharge(self, entry: Entry, ordinal: int, record: Record) -> None:
        is_purge = isinstance(record.item, Write) and record.item.kind is CommitKind.purge
        for position in record.erases:
            if position >= (entry.sequence, ordinal):
                raise DataCorrupted(f"{entry.describe_line(ordinal)} erases {tuple(position)}, which is not before it.")
            line = self._unverified.get(position)
            if line is None:
                continue
            line.is_data_open = False
            if is_purge or not line.has_data_part:
                line.is_metadata_open = False
            if not line.is_metadata_open:
                self.unblanked += line.locators
                del self._unverified[position]


def _unverified_line(entry: Entry, ordinal: int) -> _UnverifiedLine:
    span = entry.spans[ordinal]
    middle = span.offset + span.metadata_length
    parts = [(span.offset, middle, span.has_metadata), (middle, span.offset + span.length, span.has_data)]
    locators = [
        entry.locator(start, end - start)
        for start, end, is_intact in parts
        if not is_intact and not _is_blank(entry.content[start:end])
    ]
    return _UnverifiedLine(
        entry.describe_line(ordinal), span.data_length > 0, not span.has_metadata, not span.has_data, locators
    )


def _is_blank(part: bytes) -> bool:
    return not part.strip(b" ")
