"""Erasure: purged and pruned data is in no file, object or row afterwards, on each durable backend."""

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
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.uploaded_types import UploadedType
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
    """Return all files of the test's folder."""
    for name, content in await asyncio.to_thread(_read_all, path):
        yield name, content


def _read_all(path: Path) -> list[tuple[str, bytes]]:
    return [(str(file), file.read_bytes()) for file in path.rglob("*") if file.is_file()]


async def objects(path: Path) -> AsyncIterator[tuple[str, bytes]]:
    """Return all objects of the test's prefix."""
    store = S3ObjectStore(S3Location(**s3_options(), prefix=path.name))
    await store.open()
    async for key in store.keys(""):
        yield key, await store.get(key)
    await store.close()


async def rows(path: Path) -> AsyncIterator[tuple[str, bytes]]:
    """Return all rows of the test's schema."""
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
    """Yield a storage of each backend, of a model that stores as much as possible."""
    async with storage_on(BACKENDS[request.param](tmp_path), ModelSpec(Sample, temporal=True)) as storage:
        yield storage


@pytest.fixture
def holding(request: pytest.FixtureRequest, storage: IStorage, tmp_path: Path) -> Holding:
    """Return a function that names the places where the marker is."""
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


async def test_purge_erases_all_data_of_a_resource(storage: IStorage, holding: Holding) -> None:
    """Every state of every revision, index values, blobs and their names."""
    blob = await storage.blobs.put_bytes(f"the blob {MARKER}".encode(), types=[UploadedType("text/plain", MARKER)])
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


async def test_vacuum_erases_pruned_data(storage: IStorage, holding: Holding) -> None:
    """Check data and blobs."""
    blob = await storage.blobs.put_bytes(MARKER.encode(), types=[UploadedType("text/plain", MARKER)])
    first = create_write("a", sample(text=MARKER, payload=MARKER * 3000), blobs=(blob.file_id,))
    second = update_write(first, sample(text="no longer"))
    for write in (first, second, prune_write(second, 1)):
        await storage.commit(write)
    await storage.vacuum()
    assert await holding() == set()
    await storage.commit(update_write(prune_write(second, 1), sample(text="goes on")))


async def test_abandoned_upload_is_erased(storage: IStorage, holding: Holding) -> None:
    """Abort it or let it expire, with joined parts and without."""
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
    # What an upload became stays, with its type, and so does the session that has not expired.
    assert len(left) == 3


async def test_purge_during_a_scan_erases_when_the_scan_ends(storage: IStorage, holding: Holding) -> None:
    """SQLite keeps the data for the scan. The purge reports this, and other calls do not wait."""
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
