"""Builder of new entries: the identity of the store and of the process."""

from datetime import UTC, datetime
from uuid import uuid4

from autocrud.resource import timestamp
from autocrud.storage.commit_log.records.entry import Entry, Lines, build_entry
from autocrud.storage.commit_log.records.header import Tail


class EntryBuilder:
    """Builds the entries of one process.

    Args:
        store: id of the store; None if the process only reads.
    """

    def __init__(self, store: str | None) -> None:
        self._store = store
        self._writer = uuid4().hex

    def build(self, lines: Lines, after: Tail) -> Entry:
        """Return the entry that would follow `after`, without its place.

        Raises:
            PayloadTooLarge: the entry is longer than a log accepts.
        """
        if self._store is None:
            raise ValueError("a log that was opened without the id of its store is read-only")
        now = timestamp(datetime.now(UTC))
        return build_entry(lines, after, now=now, store=self._store, writer=self._writer)
