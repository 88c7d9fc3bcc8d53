"""Places of records in the log, as the SQLite file keeps them: the position, and the bytes that an erasure blanks."""

from typing import NamedTuple

from autocrud.storage.commit_log.records.entry import Entry
from autocrud.storage.ports.transactions import Position


class RecordPlace(NamedTuple):
    """Place of a line.

    Attributes:
        unit, offset: file or object, and the first byte in it.
        metadata_length, length: bytes of the metadata part, and of the line.
    """

    sequence: int
    ordinal: int
    unit: int
    offset: int
    metadata_length: int
    length: int

    @classmethod
    def of(cls, entry: Entry, ordinal: int) -> "RecordPlace":
        """Return the place of a line of an entry."""
        span = entry.spans[ordinal]
        start = entry.start + span.offset
        return cls(entry.sequence, ordinal, entry.unit, start, span.metadata_length, span.length)

    @classmethod
    def parse(cls, text: str) -> "RecordPlace":
        """Return the place that `text` has written."""
        return cls(*map(int, text.split(":")))

    @property
    def text(self) -> str:
        """The place as a text."""
        sequence, ordinal, unit, offset, metadata_length, length = self
        return f"{sequence}:{ordinal}:{unit}:{offset}:{metadata_length}:{length}"

    @property
    def position(self) -> Position:
        """Position of the record in the commit order."""
        return Position(self.sequence, self.ordinal)

    @property
    def line_locator(self) -> str:
        """Locator of the whole line, which a purge blanks."""
        return f"{self.unit}:{self.offset}:{self.length}"

    @property
    def last_part_locator(self) -> str:
        """Locator of the data part, which a prune blanks; of a line without data, of the whole line."""
        if self.length == self.metadata_length:
            return self.line_locator
        return f"{self.unit}:{self.offset + self.metadata_length}:{self.length - self.metadata_length}"
