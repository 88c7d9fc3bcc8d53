"""Applies a batch to SQLite with few calls, because a call costs as much as the row that it writes."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from sqlite3 import Connection, IntegrityError
from typing import Any

from autocrud.resource import CommitKind
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.types import Item, Outcome, Write

# What was applied, the locator of its data, and the place of its record.
HistoryEntry = tuple[Item, str | None, str]


def apply_all(tables: SqliteTables, db: Connection, items: Sequence[Item]) -> list[Outcome]:
    """Apply the items in order, each accepted or refused on its own, as `SqliteTables.apply` has it."""
    outcomes: list[Outcome] = []
    for plain, run in groupby(items, lambda item: _is_plain_creation(tables, item)):
        group = list(run)
        outcomes += _create(tables, db, group) if plain else [tables.apply(db, item) for item in group]
    return outcomes


def record_all(tables: SqliteTables, db: Connection, entries: Iterable[HistoryEntry]) -> None:
    """Enter what was applied into the history, in order."""
    for simple, run in groupby(entries, lambda entry: tables.is_simple(entry[0])):
        if simple:
            tables.history.insert_all(db, run)
        else:
            for item, locator, record in run:
                tables.record(db, item, locator, record)


def _is_plain_creation(tables: SqliteTables, item: Item) -> bool:
    """Return True if only the row of its resource can refuse the item."""
    return isinstance(item, Write) and item.kind is CommitKind.create and tables.side_tables.is_unaffected_by(item)


def _create(tables: SqliteTables, db: Connection, writes: Sequence[Any]) -> list[Outcome]:
    outcomes: list[Outcome] = [None] * len(writes)
    position = 0

    def rows() -> Iterator[tuple[Any, ...]]:
        nonlocal position
        for write in writes[position:]:
            position += 1
            yield tables.insert_row(write)

    while position < len(writes):
        try:
            db.executemany(tables.insert, rows())
        except IntegrityError as error:
            # SQLite has undone the row that it took last, and kept those before it.
            outcomes[position - 1] = tables.find_refusal(db, writes[position - 1], str(error))
    return outcomes
