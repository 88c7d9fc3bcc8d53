"""Conformance of snapshot scans: all heads or commits as of one moment."""

from contextlib import aclosing, suppress
from typing import Any

from autocrud.errors import StorageUnavailable
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.resource import CommitKind
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import CommitEntry, ScanItem
from autocrud.testing.conformance.base import LARGE, StorageTests, asking, ids
from autocrud.testing.sample_writes import create_write, delete_write, purge_write, sample, switch_write, update_write

ALL = Query(include_deleted=True, limit=1)


async def scan_all(storage: IStorage, query: Query, **options: Any) -> list[ScanItem]:
    """Return every item of a scan."""
    return [scanned async for scanned in storage.snapshot_scan(query, **options)]


class SnapshotScanTests(StorageTests):
    """Tests of `snapshot_scan`."""

    async def test_scan_shows_one_moment_while_writes_go_on(self, storage: IStorage) -> None:
        """In order of id, over several pages. Only erased resources may be absent."""
        writes = [create_write(f"r{number:03}", sample(number=number)) for number in range(500)]
        large = create_write("s", sample(payload=LARGE))
        deletion = create_write("t", sample(payload=LARGE))
        await storage.commit_all([*writes[250:], *writes[:250], large, deletion])
        before = await scan_all(storage, ALL)
        assert [scanned.resource_id for scanned in before if not isinstance(scanned, CommitEntry)] == [
            *(write.meta.resource_id for write in writes), "s", "t",
        ]  # fmt: skip
        pages: Any = storage.snapshot_scan(ALL)
        async with aclosing(pages):
            found = [await anext(pages)]
            await storage.commit(create_write("r", sample()))
            await storage.commit(create_write("r2505", sample()))
            await storage.commit(delete_write(writes[490]))
            await storage.commit(update_write(writes[499], sample(text="later")))
            await storage.commit(update_write(large, sample(text="later")))
            with suppress(StorageUnavailable):  # it is purged, and erased when the scan ends
                await storage.commit(purge_write(deletion))
            found += [scanned async for scanned in pages]
        assert found in (before, before[:-1])
        assert len(await ids(storage, include_deleted=True)) == 503

    async def test_scan_yields_the_heads_that_its_query_selects(self, storage: IStorage) -> None:
        """Filters and soft deletion work as in lists. A limit has no effect."""
        writes = [create_write(f"r{number}", sample(number=number % 2)) for number in range(6)]
        await storage.commit_all([*writes, delete_write(writes[5])])
        odd = asking(QB["number"].eq(1))
        heads = [item for item in await scan_all(storage, Query(odd)) if not isinstance(item, CommitEntry)]
        assert [head.resource_id for head in heads] == ["r1", "r3"]
        with_deleted = await scan_all(storage, Query(odd, include_deleted=True), history=True)
        versions = [
            (scanned.commit.resource_id, scanned.commit.version)
            for scanned in with_deleted
            if isinstance(scanned, CommitEntry)
        ]
        assert versions == [("r1", 1), ("r3", 1), ("r5", 1), ("r5", 2)]

    async def test_scan_of_histories_yields_every_commit(self, storage: IStorage) -> None:
        """Oldest first, each with the creation time and creator of its resource."""
        first = create_write("a", sample(text="1"))
        second = update_write(first, sample(text="2", payload=LARGE))
        third = switch_write(second, first)
        await storage.commit_all([first, second, third, create_write("b", sample())])
        pages: Any = storage.snapshot_scan(ALL, history=True)
        async with aclosing(pages):
            found = [await anext(pages)]
            await storage.commit(delete_write(third))
            found += [past async for past in pages]
        kinds = [(past.commit.resource_id, past.commit.kind) for past in found]
        made, changed, switched = CommitKind.create, CommitKind.update, CommitKind.switch
        assert kinds == [("a", made), ("a", changed), ("a", switched), ("b", made)]
        assert {(past.created_time, past.created_by) for past in found[:3]} == {
            (first.meta.created_time, first.meta.created_by)
        }
        assert [await storage.data(past.commit) for past in found[:3]] == [first.data, second.data, first.data]

    async def test_closed_scan_releases_its_connection(self, storage: IStorage) -> None:
        """Close more unfinished scans than there are connections."""
        await storage.commit(create_write("a", sample()))
        for _ in range(12):
            pages: Any = storage.snapshot_scan(ALL)
            assert (await anext(pages)).resource_id == "a"
            await pages.aclose()
