"""What is purged, pruned or given up is in no file, no object and no row afterwards, on any backend that has them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from autocrud.errors import StorageUnavailable
from autocrud.query.conditions import Query
from autocrud.resource import RevisionStatus
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.storage import IStorage
from autocrud.testing.sample_writes import (
    Sample,
    create_write,
    delete_write,
    modify_write,
    prune_write,
    purge_write,
    sample,
    switch_write,
    update_write,
)
from tests.servers_real import postgres
from tests.storage.backends import BACKENDS, s3_options, storage_on

Places = Callable[[Path], AsyncIterator[tuple[str, bytes]]]
MARKER = "marker51f0"  # one word, as it stands in indexes of words, too
TRACE = MARKER[2:].encode()  # there, what it shares with the word before it is left out


async def files(path: Path) -> AsyncIterator[tuple[str, bytes]]:
    """All files of the test's folder."""
    for name, content in await asyncio.to_thread(_read_all, path):
        yield name, content


def _read_all(path: Path) -> list[tuple[str, bytes]]:
    return [(str(file), file.read_bytes()) for file in path.rglob("*") if file.is_file()]


async def objects(path: Path) -> AsyncIterator[tuple[str, bytes]]:
    """All objects of the test's part of the bucket."""
    store = S3ObjectStore(**s3_options(), prefix=path.name)
    await store.open()
    async for key in store.keys(""):
        yield key, await store.get(key)
    await store.close()


async def rows(path: Path) -> AsyncIterator[tuple[str, bytes]]:
    """All rows of the test's schema."""
    connection = await asyncpg.connect(postgres().url)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", path.name)
    for (table,) in tables:
        for (row,) in await connection.fetch(f'SELECT t::text FROM "{path.name}"."{table}" t'):
            yield table, row.encode()
    await connection.close()


PLACES: dict[str, tuple[Places, ...]] = {"disk": (files,), "s3": (files, objects), "postgres": (objects, rows)}
Holding = Callable[[], Awaitable[set[str]]]


@pytest.fixture(params=sorted(PLACES))
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[IStorage]:
    """A storage of each backend, of a model that keeps the most that can be kept."""
    async with storage_on(BACKENDS[request.param](tmp_path), ModelSpec(Sample, temporal=True)) as storage:
        yield storage


@pytest.fixture
def holding(request: pytest.FixtureRequest, storage: IStorage, tmp_path: Path) -> Holding:
    """Tells where the marker is."""
    backend = request.node.callspec.params["storage"]

    async def find() -> set[str]:
        found = set()
        for places in PLACES[backend]:
            async for name, content in places(tmp_path):
                # PostgreSQL shows bytes as hexadecimal digits.
                if TRACE in content or TRACE.hex().encode() in content:
                    found.add(name)
        return found

    return find


async def test_a_purge_erases_all_of_a_resource(storage: IStorage, holding: Holding) -> None:
    """Each state of each revision, large and small; its values in indexes; its blobs, and their names."""
    blob = await storage.blobs.put_bytes(f"the blob {MARKER}".encode())
    early = await storage.blobs.put_bytes(f"an early blob {MARKER}".encode())
    first = create_write(
        "a", sample(text=MARKER, code=MARKER), status=RevisionStatus.draft, blobs=(early.file_id, blob.file_id)
    )
    writes = [first, modify_write(first, first, sample(text=MARKER, payload=MARKER * 3000))]
    writes.append(update_write(writes[-1], sample(payload=MARKER), blobs=(blob.file_id,)))
    writes.append(update_write(writes[-1], sample(text="no longer"), prunes=1))
    writes.append(switch_write(writes[-1], writes[2]))
    writes.append(delete_write(writes[-1]))
    for write in writes:
        await storage.commit(write)
    beside = create_write("b", sample(text="beside"), blobs=((await storage.blobs.put_bytes(b"beside")).file_id,))
    await storage.commit(beside)
    assert await holding()
    await storage.commit(purge_write(writes[-1]))
    await storage.vacuum()
    assert await holding() == set()
    (commit,) = await storage.commits("b")
    assert await storage.data(commit) == beside.data


async def test_what_is_pruned_is_erased(storage: IStorage, holding: Holding) -> None:
    """Its data and its blobs, by the housekeeping."""
    blob = await storage.blobs.put_bytes(MARKER.encode())
    first = create_write("a", sample(text=MARKER, payload=MARKER * 3000), blobs=(blob.file_id,))
    second = update_write(first, sample(text="no longer"))
    for write in (first, second, prune_write(second, 1)):
        await storage.commit(write)
    await storage.vacuum()
    assert await holding() == set()
    await storage.commit(update_write(prune_write(second, 1), sample(text="goes on")))


async def test_an_upload_that_is_given_up_is_erased(storage: IStorage, holding: Holding) -> None:
    """Aborted, or left behind until it expired; whether or not its parts were joined."""
    uploads = storage.blobs.uploads
    content = MARKER.encode()
    for finished in (False, True):
        for lifetime in (timedelta(hours=1), timedelta(hours=-2)):
            upload = await uploads.begin(len(content), "text/plain", MARKER, "ada", lifetime)
            await uploads.put_part(upload, 1, content)
            if finished:
                await uploads.finish(upload)
            elif lifetime > timedelta(0):
                await uploads.abort(upload)
    assert await holding()
    await storage.vacuum()
    left = await holding()
    # What an upload became stays, and so does the session that has not expired.
    assert len(left) == 2


async def test_what_is_purged_while_it_is_exported_is_erased_when_that_ends(
    storage: IStorage, holding: Holding
) -> None:
    """A long reader keeps SQLite from letting go of it, and the caller is told; nobody else waits for it meanwhile."""
    first = create_write("a", sample(text=MARKER, payload=MARKER))
    await storage.commit_all([first, create_write("b", sample(text="beside"))])
    read_everything: Any = storage.snapshot_scan(Query())
    async with aclosing(read_everything):
        assert (await anext(read_everything)).resource_id == "a"
        with suppress(StorageUnavailable):
            await storage.commit(purge_write(first))
        assert await storage.get("a") is None
        await storage.commit(create_write("c", sample()))
        await storage.vacuum()
        assert [seen.resource_id async for seen in read_everything] == ["b"]
    assert await holding() == set()
