"""Conformance of lists, counts and filters."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.query.evaluate import Row, holds, sort_key
from autocrud.query.resolver import Resolver
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.row_view import row_of
from autocrud.testing.conformance.base import LARGE, StorageTests, asking, ids, present
from autocrud.testing.random_queries import KINDS, random_condition, random_order, random_values
from autocrud.testing.sample_writes import SAMPLE, create_write, delete_write, restore_write, sample, update_write

_RANDOM_QUERIES = 250


class QueryTests(StorageTests):
    """Tests of the resources that a query selects, and of their order."""

    async def test_7_random_query_equals_its_meaning_in_python(self, factory: IStorageFactory) -> None:
        """Use conditions and orders over all kinds of columns, with nulls, and pages of any size."""
        storage = factory.build(KINDS)
        await storage.open()
        rows, chance = await _fill(storage), Random(7)
        for _ in range(_RANDOM_QUERIES):
            condition, order = random_condition(chance), random_order(chance)
            resolved = asking(condition, spec=KINDS)
            query = Query(resolved, order, chance.random() < 0.2)
            chosen = [
                name
                for name, row in rows.items()
                if holds(resolved, row) and (query.include_deleted or not row["is_deleted"])
            ]
            expected = sorted(chosen, key=lambda name: sort_key(query.order, rows[name]))
            found, limit = list[str](), chance.choice([1, 3, 7, 100])
            query = replace(query, limit=limit)
            while True:
                page = await storage.search(query)
                found += [head.resource_id for head in page.items]
                if page.next is None:
                    break
                query = replace(query, after=decode_cursor(query, encode_cursor(query, page.next)))
            assert found == expected, (condition, order)
            assert await storage.count(query) == len(expected), condition
            assert min(await storage.count(replace(query, count_limit=3)), 3) == min(len(expected), 3), condition
        await storage.close()

    async def test_deleted_resource_is_hidden_until_restored(self, storage: IStorage) -> None:
        """Lists and counts leave it out unless `include_deleted` is set. A read by id finds it."""
        first = create_write("a", sample(text="t"))
        second = delete_write(first)
        await storage.commit(first)
        await storage.commit(create_write("b", sample(text="t")))
        await storage.commit(second)
        assert await ids(storage) == await ids(storage, QB["text"].eq("t")) == ["b"]
        assert set(await ids(storage, include_deleted=True)) == {"a", "b"}
        assert set(await ids(storage, QB["text"].eq("t"), include_deleted=True)) == {"a", "b"}
        assert await storage.count(Query()) == 1
        assert await storage.count(Query(include_deleted=True)) == 2
        head = await present(storage, "a")
        assert (head.is_deleted, head.version, head.data) == (True, 2, first.data)
        await storage.commit(restore_write(second))
        assert set(await ids(storage)) == {"a", "b"}

    async def test_filter_selects_equal_values(self, storage: IStorage) -> None:
        """Filter by every kind of column, alone and combined, after updates."""
        last_kept = create_write("a", sample(text="Ab", number=2**40, flag=True))
        changed = create_write("b", sample(text="Ab", number=7, flag=False))
        for write in (
            last_kept,
            changed,
            create_write("c", sample(text="ab", flag=True)),
            update_write(changed, sample(text="zz")),
        ):
            await storage.commit(write)
        assert await ids(storage, QB["text"].eq("Ab")) == ["a"]
        assert await ids(storage, QB["number"].eq(2**40)) == ["a"]
        assert await ids(storage, QB["number"].eq(7)) == []
        assert set(await ids(storage, QB["flag"].eq(1))) == {"a", "c"}
        assert await ids(storage, QB["flag"].eq(1), QB["text"].eq("ab")) == ["c"]
        assert await ids(storage, QB["flag"].eq(1), QB["text"].eq("zz")) == []
        assert set(await ids(storage, QB["number"].eq(None))) == {"b", "c"}
        assert await storage.count(Query(asking(QB["flag"].eq(1), QB["text"].eq("ab")))) == 1
        assert await storage.count(Query(asking(QB["flag"].eq(1)))) == 2

    async def test_8_values_are_never_read_as_sql(self, storage: IStorage) -> None:
        """A hostile value equals only itself."""
        hostile = ["'; DROP TABLE sample_resources; --", '"', "\\", "%", "_", "NULL", "\u00e9", "e\u0301", " x ", "x"]
        for number, text in enumerate(hostile):
            await storage.commit(create_write(f"r{number}", sample(text=text)))
        for number, text in enumerate(hostile):
            assert await ids(storage, QB["text"].eq(text)) == [f"r{number}"]

    async def test_list_is_newest_first_and_totally_ordered(self, storage: IStorage) -> None:
        """Order by creation time, then by id. An update does not move a resource."""
        start = datetime(2026, 1, 1, tzinfo=UTC)
        writes = {
            name: create_write(name, sample(), time=start + timedelta(microseconds=tick))
            for name, tick in [("b", 5), ("a", 5), ("c", 4), ("z", 0), ("d", 1_000_000)]
        }
        for write in writes.values():
            await storage.commit(write)
        await storage.commit(update_write(writes["z"], sample(number=1)))
        for limit in (1, 2, 3, 1000):
            assert await ids(storage, limit=limit) == ["d", "b", "a", "c", "z"]

    async def test_pages_stay_stable_while_others_write(self, storage: IStorage) -> None:
        """Each earlier resource is seen exactly once, although others come and go."""
        for number in range(30):
            await storage.commit(create_write(f"old-{number:02}", sample()))
        query, seen_ids, step = Query(limit=4), list[str](), 0
        while True:
            page = await storage.search(query)
            seen_ids += [head.resource_id for head in page.items]
            await storage.commit(create_write(f"new-{step:02}", sample()))
            step += 1
            if page.next is None:
                break
            query = Query(limit=4, after=page.next)
        assert [name for name in seen_ids if name.startswith("old")] == [
            f"old-{number:02}" for number in range(29, -1, -1)
        ]
        assert len(seen_ids) == len(set(seen_ids))

    async def test_last_page_has_no_next_position(self, storage: IStorage) -> None:
        """Check also a last page that is full."""
        for number in range(4):
            await storage.commit(create_write(f"r{number}", sample()))
        page = await storage.search(Query(limit=2))
        assert page.next is not None
        page = await storage.search(Query(limit=2, after=page.next))
        assert (len(page.items), page.next) == (2, None)

    async def test_page_ends_where_its_data_reaches_the_size(self, storage: IStorage) -> None:
        """Large data counts, too. A page has at least one item."""
        for number, payload in enumerate(("", LARGE, "", "")):
            await storage.commit(create_write(f"r{number}", sample(payload=payload)))
        query, sizes = Query(sort=Resolver(SAMPLE).sort("resource_id"), max_bytes=1000), list[int]()
        while True:
            page = await storage.search(query)
            sizes.append(len(page.items))
            if page.next is None:
                break
            query = replace(query, after=page.next)
        assert sizes == [2, 2]
        assert len((await storage.search(replace(query, after=None, max_bytes=1))).items) == 1

    async def test_acknowledged_write_is_seen_by_the_next_read(self, storage: IStorage) -> None:
        """Check reads by id, lists and counts under concurrent writes."""

        async def write_and_look(number: int) -> None:
            await storage.commit(create_write(f"r{number}", sample(number=number)))
            assert (await present(storage, f"r{number}")).version == 1
            assert await ids(storage, QB["number"].eq(number)) == [f"r{number}"]
            assert await storage.count(Query(asking(QB["number"].eq(number)))) == 1

        await asyncio.gather(*(write_and_look(number) for number in range(60)))
        assert await storage.count(Query()) == 60


async def _fill(storage: IStorage) -> dict[str, Row]:
    """Store sixty random resources, some updated and some deleted. Return their rows for the oracle."""
    chance, rows = Random(11), dict[str, Row]()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(60):
        data = KINDS.dump(KINDS.validate(random_values(chance)))
        time = start + timedelta(seconds=chance.randrange(5), microseconds=chance.randrange(2))
        last = first = create_write(f"r{number:02}", data, time=time, spec=KINDS)
        await storage.commit(first)
        if chance.random() < 0.3:
            last = update_write(first, KINDS.dump(KINDS.validate(random_values(chance))), spec=KINDS)
            await storage.commit(last)
        index = last.index
        if chance.random() < 0.2:
            last = delete_write(last)
            await storage.commit(last)
        rows[last.meta.resource_id] = row_of(KINDS, last.meta_json, index)
    return rows
