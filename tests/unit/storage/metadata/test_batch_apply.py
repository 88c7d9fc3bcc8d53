"""Batches in memory: a refused atomic batch changes no table."""

from copy import deepcopy
from dataclasses import fields, replace
from datetime import UTC, datetime

from autocrud.query.conditions import Query
from autocrud.storage.metadata.memory.batch_apply import apply_batch
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.ports.types import Blob, Item, RequestKey
from autocrud.testing.sample_writes import (
    SAMPLE,
    create_write,
    delete_write,
    purge_write,
    restore_write,
    sample,
    update_write,
)

_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def test_refused_atomic_batch_leaves_all_tables_as_they_were() -> None:
    """The batch changes every table: data, history, keys, blobs, unique values, tasks and indexes."""
    tables = MemoryTables(SAMPLE)
    key = RequestKey("k", "fingerprint", "9999-01-01T00:00:00.000000Z")
    blob, other = _blob("b"), _blob("c")
    first = create_write("a", sample(code="x"), time=_TIME, key=key, blobs=("b",))
    second = update_write(first, sample(code="y"))
    removed = delete_write(create_write("d", sample(code="z"), time=_TIME))
    created = create_write("d", sample(code="z"), time=_TIME)
    assert not any(apply_batch(tables, [blob, first, second, created, removed], True))
    before = _content(tables)
    third = update_write(second, sample(code="x"), prunes=2)
    restored = restore_write(removed)
    batch: list[Item] = [
        other,
        create_write("e", sample(serial=1), time=_TIME, key=replace(key, key="l"), blobs=("c",)),
        third,
        replace(delete_write(third), has_task=True),
        restored,
        purge_write(restored),
        purge_write(delete_write(third)),
        create_write("d", sample(code="x"), time=_TIME),
    ]
    outcomes = apply_batch(tables, [*batch, created], True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Aborted"] * len(batch) + ["AlreadyExists"]
    assert _content(tables) == before
    assert not any(apply_batch(tables, batch, True))
    assert [row.head.resource_id for row in tables.row_index.search(Query())] == ["e", "d"]
    assert tables.orphans == ["b-key"]


def _blob(file_id: str) -> Blob:
    return Blob(file_id, 1, f"{file_id}-key", "2026-01-01T00:00:00.000000Z")


def _content(tables: MemoryTables) -> dict[str, object]:
    """Return a copy of all tables, and the order of the resources."""
    names = [item.name for item in fields(tables) if item.name not in ("spec", "row_index", "serials")]
    places = list(tables.row_index.places())
    return deepcopy({name: getattr(tables, name) for name in names}) | {"places": places}
