"""Indexes of the memory storage: random writes and queries, compared with a scan of all rows."""

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Annotated

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import to_json

from autocrud.errors import Aborted, AlreadyExists
from autocrud.query.conditions import Query, Sort
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.query.evaluate import Row, holds, sort_key
from autocrud.query.resolver import Resolver, combine, filters_by_deleted, rank_order
from autocrud.schema.column_types import IndexValue
from autocrud.schema.markers import Index
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head, RevisionSpan, Write
from autocrud.storage.row_view import row_of
from autocrud.testing.random_queries import Kinds, random_condition, random_order, random_values
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    prune_write,
    purge_write,
    restore_write,
    update_write,
)

EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "60"))
_START = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = ["red", "redder", "fox", "foxes", "é", "box"]
_TEXTS = ["red", "re*", '"red fox"', "fox -red", '"box fo"*', "e box", "none", "red r*"]


class Texts(Kinds):
    """A model with an index field of each kind and a searched text."""

    title: Annotated[str | None, Index(text=True, filters=False)] = None


SPEC: ModelSpec[Texts] = ModelSpec(Texts, indexed_fields=["place.within.city", "pet.kind"])
RESOLVER = Resolver(SPEC)


@dataclass
class Scan:
    """Resources in a dict, and a scan of all of them for each query."""

    last: dict[str, Write] = field(default_factory=dict)
    index: dict[str, tuple[IndexValue, ...]] = field(default_factory=dict)

    def accept(self, write: Write) -> None:
        """Record a write."""
        name = write.meta.resource_id
        if write.kind == "purge":
            del self.last[name], self.index[name]
            return
        self.last[name] = write
        if write.data is not None:
            self.index[name] = write.index

    def search(self, query: Query) -> list[str]:
        """Return the ids of all resources that match a query, in order."""
        rows: dict[str, Row] = {
            name: row_of(SPEC, write.meta_json, self.index[name])
            for name, write in self.last.items()
            if query.include_deleted or not write.meta.is_deleted
        }
        found = [name for name, row in rows.items() if holds(query.where, row)]
        return sorted(found, key=lambda name: sort_key(query.order, rows[name]))


def _data(chance: Random) -> bytes:
    title = " ".join(chance.choices(_WORDS, k=chance.randrange(5))) if chance.random() < 0.8 else None
    return SPEC.dump(SPEC.validate(random_values(chance) | {"title": title}))


def _random_write(chance: Random, last: dict[str, Write]) -> Write:
    """Return a write that follows the last writes."""
    name = f"r{chance.randrange(40):02}"
    time = _START + timedelta(seconds=chance.randrange(5), microseconds=chance.randrange(2))
    before = last.get(name)
    if before is None:
        return create_write(name, _data(chance), time=time, spec=SPEC)
    roll = chance.random()
    if before.meta.is_deleted:
        return restore_write(before) if roll < 0.6 else purge_write(before)
    if roll < 0.6:
        return update_write(before, _data(chance), time=time, prunes=chance.randrange(2), spec=SPEC)
    return delete_write(before) if roll < 0.8 else purge_write(before) if roll < 0.9 else prune_write(before, 1)


def _random_batch(chance: Random, scan: Scan) -> tuple[list[Write], Scan]:
    """Return writes that may touch a resource more than once, and the scan after them."""
    after = Scan(dict(scan.last), dict(scan.index))
    writes = []
    for _ in range(chance.randint(1, 12)):
        write = _random_write(chance, after.last)
        after.accept(write)
        writes.append(write)
    return writes, after


def _random_query(chance: Random) -> Query:
    where, order = RESOLVER.condition(random_condition(chance, 2)), random_order(chance)
    roll = chance.random()
    if roll < 0.2:
        where = None
    elif roll < 0.4:
        matches = RESOLVER.text(chance.choice(_TEXTS))
        where, order = combine(where if roll < 0.3 else None, matches), order or rank_order(matches)
    if chance.random() < 0.2:
        order = (Sort(RESOLVER.fields["created_time"], chance.random() < 0.5),)
    include_deleted = chance.random() < 0.3 or filters_by_deleted(where)
    return Query(where, order, include_deleted, chance.choice([1, 2, 5, 100]))


async def _compare(storage: IStorage, scan: Scan, query: Query) -> None:
    """Compare all pages, the count and the snapshot scan of a query."""
    expected, found, page_query = scan.search(query), list[str](), query
    while True:
        page = await storage.search(page_query)
        found += [head.resource_id for head in page.items]
        assert found == expected[: len(found)]
        if page.next is None:
            break
        page_query = replace(query, after=decode_cursor(query, encode_cursor(query, page.next)))
    assert len(found) == len(expected)
    assert await storage.count(query) == len(expected)
    assert await storage.count(replace(query, count_limit=2)) == min(2, len(expected))
    scanned = [item async for item in storage.snapshot_scan(query)]
    assert [item.resource_id for item in scanned if isinstance(item, Head)] == sorted(expected)


async def _history(storage: IStorage) -> bytes:
    """Return the commits, the revisions and their data of all resources."""
    found = []
    for number in range(40):
        name = f"r{number:02}"
        revisions = await storage.revisions(name, RevisionSpan())
        found.append([await storage.commits(name), revisions, [await storage.data(item) for item in revisions]])
    return to_json(found)


@settings(max_examples=EXAMPLES, deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(["write", "write", "refuse", "query"]), st.integers(0, 2**32))))
async def test_random_query_equals_a_scan(steps: list[tuple[str, int]]) -> None:
    """Write, refuse atomic batches, and query in any order, so that indexes are built at any time."""
    storage, scan = MemoryStorageFactory().build(SPEC), Scan()
    await storage.open()
    for step, seed in [*steps, ("write", 1), ("query", 2)]:
        chance = Random(seed)
        if step == "query":
            for _ in range(10):
                await _compare(storage, scan, _random_query(chance))
            continue
        writes, after = _random_batch(chance, scan)
        if step == "write":
            assert not any(await storage.commit_all(writes, atomic=chance.random() < 0.5))
            scan = after
            continue
        existing = create_write("new", _data(chance), spec=SPEC)
        history = await _history(storage)
        outcomes = await storage.commit_all([*writes, existing, existing], atomic=True)
        assert [type(outcome) for outcome in outcomes] == [Aborted] * (len(writes) + 1) + [AlreadyExists]
        assert await _history(storage) == history
        await _compare(storage, scan, Query(include_deleted=True))
    await storage.close()
