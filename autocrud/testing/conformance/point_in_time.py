"""Conformance of point-in-time reads: lists, counts and pages with `at`."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from math import ceil
from random import Random

from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.types import Head, Write
from autocrud.testing.conformance.base import StorageTests, asking
from autocrud.testing.history_oracle import START, HistoryOracle, random_writes
from autocrud.testing.random_queries import KINDS, TEMPORAL_KINDS, random_condition, random_order, random_values
from autocrud.testing.sample_writes import (
    Sample,
    create_write,
    delete_write,
    prune_write,
    restore_write,
    sample,
    switch_write,
    update_write,
)
from autocrud.testing.text_corpus import Article

_BATCH = 40


class PointInTimeTests(StorageTests):
    """Tests of the collection as a reader would have seen it at a time."""

    async def test_7_list_at_a_time_equals_the_oracle(self, factory: IStorageFactory) -> None:
        """Use random histories with deletes, switches, drafts, purges and prunes, and pages of any size."""
        storage, past, chance = factory.build(KINDS), HistoryOracle(KINDS), Random(3)
        await storage.open()
        await write_random_history(storage, past, chance)
        for at in times_of(past):
            query = Query(include_deleted=chance.random() < 0.5, limit=chance.choice([1, 4, 7, 100, 100]), at=at)
            await compare(storage, past, query)
        await storage.close()

    async def test_7_query_at_a_time_equals_the_oracle(self, factory: IStorageFactory) -> None:
        """Use a temporal model, random conditions and orders, and nulls of pruned data."""
        storage, past = factory.build(TEMPORAL_KINDS), HistoryOracle(TEMPORAL_KINDS)
        await storage.open()
        await write_random_history(storage, past, Random(5))
        await compare_random_queries(storage, past)
        await storage.close()

    async def test_7_revision_imported_without_data_has_no_values(self, factory: IStorageFactory) -> None:
        """Its index values are null, and not those of the kept revision before."""
        spec: ModelSpec[Sample] = ModelSpec(Sample, temporal=True)
        storage = factory.build(spec)
        await storage.open()
        first = create_write("a", sample(number=1), time=START, spec=spec)
        second = update_write(first, sample(number=2), time=START + timedelta(hours=1), spec=spec)
        pruned = replace(second, data=None, index=(None,) * len(spec.index_fields))
        deletion = delete_write(pruned, time=START + timedelta(hours=1, minutes=1))
        restoration = restore_write(deletion, time=START + timedelta(hours=1, minutes=2))
        third = switch_write(restoration, first, time=START + timedelta(hours=2), spec=spec)
        assert (
            await storage.commit_all([first, pruned, deletion, restoration, third, prune_write(third, 2)], atomic=True)
            == [None] * 6
        )
        for hours, expected in {0.0: 1, 1.0: 0, 1.5: 0, 2.0: 1}.items():
            at = START + timedelta(hours=hours)
            assert await storage.count(Query(asking(QB["number"].eq(1), spec=spec), at=at)) == expected, hours
            assert await storage.count(Query(asking(QB["number"].is_null(True), spec=spec), at=at)) == 1 - expected, (
                hours
            )
        await storage.close()

    async def test_7_temporal_model_keeps_texts_of_any_length(self, factory: IStorageFactory) -> None:
        """Include searched texts that are too long for an index."""
        spec: ModelSpec[Article] = ModelSpec(Article, temporal=True)
        storage, chance = factory.build(spec), Random(11)
        await storage.open()
        body = " ".join(f"{chance.getrandbits(64):x}" for _ in range(1000))
        first = create_write("a", spec.dump(Article(title="long", body=body)), time=START, spec=spec)
        later = update_write(
            first, spec.dump(Article(title="longer", body=body)), time=START + timedelta(hours=1), spec=spec
        )
        assert await storage.commit_all([first, later]) == [None] * 2
        query = Query(asking(QB["title"].eq("long"), spec=spec), at=START)
        assert [head.data for head in (await storage.search(query)).items] == [first.data]
        await storage.close()


def times_of(past: HistoryOracle) -> list[datetime]:
    """Return times before, between, at and after all commits."""
    last = max(states[-1].write.meta.updated_time for states in past.states.values())
    ticks = range(-1, 4 * ceil((last - START).total_seconds() + 1), 3)
    times = [START + timedelta(seconds=tick // 4, microseconds=tick % 4) for tick in ticks]
    return [*times, last, last + timedelta(days=1)]


async def write_random_history(storage: IStorage, past: HistoryOracle, chance: Random, steps: int = 240) -> None:
    """Write a random history, or more of it, to a storage and to the oracle."""
    await _commit(storage, random_writes(past, chance, lambda: _data(chance), resources=24, steps=steps))


async def compare_random_queries(storage: IStorage, past: HistoryOracle, count: int = 120) -> None:
    """Compare storage and oracle for random conditions, orders and times."""
    times, chance = times_of(past), Random(9)
    for _ in range(count):
        condition = asking(random_condition(chance), spec=past.spec) if chance.random() < 0.8 else None
        deleted, limit = chance.random() < 0.3, chance.choice([2, 5, 100, 100])
        await compare(storage, past, Query(condition, random_order(chance), deleted, limit, at=chance.choice(times)))


async def _commit(storage: IStorage, writes: Sequence[Write]) -> None:
    """Commit the writes in groups, so that a batch has several writes of one resource."""
    for start in range(0, len(writes), _BATCH):
        batch = writes[start : start + _BATCH]
        assert await storage.commit_all(batch) == [None] * len(batch)
    await storage.vacuum()


async def compare(storage: IStorage, past: HistoryOracle, query: Query) -> None:
    """Check that list and count of a storage equal the oracle's."""
    expected, found = past.select(query), list[Head]()
    assert await storage.count(query) == len(expected), query
    while True:
        page = await storage.search(query)
        assert len(page.items) == query.limit or page.next is None
        found += page.items
        if page.next is None:
            break
        query = replace(query, after=decode_cursor(query, encode_cursor(query, page.next)))
    described = [(head.meta, head.revision_info, head.data) for head in found]
    assert described == [
        (state.write.meta_json, _stored_info(state.written.revision_json or b"", state.data), state.data)
        for state in expected
    ], query


def _data(chance: Random) -> bytes:
    return KINDS.dump(KINDS.validate(random_values(chance)))


def _stored_info(revision_info: bytes, data: bytes | None) -> bytes:
    """Return the information about a revision. The hash of pruned data is erased with the data."""
    return revision_info if data is not None else re.sub(rb'"data_hash":"[^"]*"', b'"data_hash":""', revision_info)
