"""Damage from outside: a node acknowledges nothing, names the object, and goes on when the damage is gone."""

import asyncio
import hashlib
import logging
import resource
from pathlib import Path
from typing import Any

import pytest
import zstandard

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.testing.sample_writes import create_write, sample
from tests.faults.damage import Bucket, bucket_at, delete_bucket
from tests.storage.backends import postgres_factory, s3_factory, storage_on

_BACKENDS = {"s3": s3_factory, "postgres": postgres_factory}
_FOREIGN_BYTES = {"s3": 300 * 1024 * 1024, "postgres": 100}  # both read an entry by the same code
_MEMORY_BYTES = 64 * 1024 * 1024
_BOMB_BYTES = 512 * 1024 * 1024
_NEXT = "log/000000/000003.ndjson"  # behind the contract of the model and a write


@pytest.fixture(params=_BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Return the name of a backend with a bucket."""
    return str(request.param)


def _factory(backend: str, path: Path, **options: Any) -> IStorageFactory:
    return _BACKENDS[backend](path, compare_interval=0.1, **options)


async def _write(storage: IStorage, name: str) -> None:
    await storage.commit(create_write(name, sample()))


async def _fault_of_readiness(factory: IStorageFactory) -> str:
    """Return the message of the first failed readiness check; "" if all succeed."""
    for check in factory.checks().values():
        try:
            await check()
        except StorageUnavailable as error:
            return str(error)
    return ""


async def _refused(storage: IStorage, match: str) -> None:
    """Write until a write is refused. On PostgreSQL a write may be kept in the tables before the bucket is missed."""

    async def write_many() -> None:
        for number in range(1000):
            await _write(storage, f"lost {number}")

    with pytest.raises(StorageUnavailable, match=match):
        await write_many()


async def _accepted(storage: IStorage, name: str) -> None:
    """Write until a write is accepted."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await _write(storage, name)
            except StorageUnavailable:
                await asyncio.sleep(0.05)


async def _first_entry(storage: IStorage, bucket: Bucket) -> None:
    """Commit a write, and wait until the bucket has its entry, which follows that of the contract."""
    await _write(storage, "first")
    assert storage.store is not None
    position = await storage.store.last_position()
    async with asyncio.timeout(20):
        while len(await bucket.read("log/")) < position.sequence:
            continue


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the logged lines about damage."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


async def test_deleted_bucket_is_noticed_before_an_acknowledgement(backend: str, tmp_path: Path) -> None:
    """SeaweedFS creates the bucket again with the next PUT. The node goes on when the objects are back."""
    name = f"{backend}-deleted"
    factory = _factory(backend, tmp_path, bucket=name)
    async with storage_on(factory) as storage:
        async with bucket_at(tmp_path, bucket=name) as bucket:
            await _first_entry(storage, bucket)
            objects = await bucket.read()
        await delete_bucket(name)
        await _refused(storage, "store.json|NoSuchBucket|set back")
        assert await _fault_of_readiness(factory)
        async with bucket_at(tmp_path, bucket=name) as bucket:
            await bucket.put(objects)
        await _accepted(storage, "second")
        assert await storage.get("first")
        assert not await _fault_of_readiness(factory)


async def test_exchanged_bucket_is_noticed_by_warm_and_cold_nodes(
    backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A node without an index takes an empty bucket for a new store. Nodes of the old store refuse it."""
    other = {"schema": f"{tmp_path.name}_other"} if backend == "postgres" else {"cache_dir": tmp_path / "other"}
    factory = _factory(backend, tmp_path)
    async with bucket_at(tmp_path) as bucket:
        async with storage_on(factory) as storage:
            await _first_entry(storage, bucket)
            objects = await bucket.take()
            async with storage_on(_factory(backend, tmp_path, **other)) as stranger:
                await _write(stranger, "stranger")
            await _refused(storage, "store.json")
            assert "store.json identifies the store" in await _fault_of_readiness(factory)
            others = await bucket.take()
            await bucket.put(objects)
            await _accepted(storage, "second")
            assert len(_errors(caplog)) == 1
        objects = await bucket.take()
        for found, match in (({}, "store.json is missing"), (others, "store.json identifies the store")):
            await bucket.put(found)
            with pytest.raises(DataCorrupted, match=match):
                await _start(backend, tmp_path)
        await bucket.take()
        await bucket.put(objects)
        await _start(backend, tmp_path)


async def test_log_that_was_set_back_is_noticed(backend: str, tmp_path: Path) -> None:
    """The bucket lost the last entry that was applied."""
    factory = _factory(backend, tmp_path)
    async with storage_on(factory) as storage, bucket_at(tmp_path) as bucket:
        await _first_entry(storage, bucket)
        entries = await bucket.take("log/")
        async with asyncio.timeout(20):  # on PostgreSQL the row may still have the entry
            while "set back" not in await _fault_of_readiness(factory):
                continue
        await _refused(storage, "set back")
        await bucket.put(entries)
        await _accepted(storage, "second")


async def test_foreign_entry_stops_the_log_until_it_is_removed(
    backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The cost does not grow with the object. One line names the object and the remedy."""
    factory = _factory(backend, tmp_path)
    async with storage_on(factory) as storage, bucket_at(tmp_path) as bucket:
        await _first_entry(storage, bucket)
        await bucket.put_garbage(_NEXT, _FOREIGN_BYTES[backend])
        memory = _peak_memory()
        match = f"Restore the object {_NEXT}; remove it if this store never wrote it"
        await _refused(storage, match)
        assert match in await _fault_of_readiness(factory)
        if backend == "s3":
            with pytest.raises(StorageUnavailable, match=_NEXT):
                await storage.get("first")
        assert _peak_memory() - memory < _MEMORY_BYTES
        await bucket.take(_NEXT)
        await _accepted(storage, "second")
        assert await storage.get("first")
        assert [match in line for line in _errors(caplog)] == [True]


async def _start(backend: str, path: Path) -> None:
    factory = _factory(backend, path)
    try:
        await factory.open()
    finally:
        await factory.close()


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def test_snapshot_that_would_fill_the_disk_is_left_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A node without an index replays the log instead, in bounded memory. One line names the object and the remedy."""
    async with bucket_at(tmp_path) as bucket:
        async with storage_on(_factory("s3", tmp_path)) as storage:
            await _first_entry(storage, bucket)
        archive = zstandard.compress(bytes(_BOMB_BYTES))
        key = f"snapshots/000000001-{hashlib.sha256(archive).hexdigest()}.sqlite.zst"
        await bucket.put({key: archive})
        memory = _peak_memory()
        async with storage_on(_factory("s3", tmp_path, cache_dir=tmp_path / "cold")) as storage:
            assert await storage.get("first")
            await _write(storage, "second")
    assert _peak_memory() - memory < _MEMORY_BYTES
    (line,) = _errors(caplog)
    assert key in line
    assert f"It states {_BOMB_BYTES} bytes" in line
    assert "Remove the object" in line


async def test_exchanged_folder_is_noticed_and_healed(tmp_path: Path) -> None:
    """The identity of the folder is compared in the background, and by the readiness check."""
    directory = tmp_path / "data"
    factory = DiskStorageFactory(directory, compare_interval=0.1)
    async with storage_on(factory) as storage, storage_on(DiskStorageFactory(tmp_path / "other")):
        await _write(storage, "first")
        for name in ("data", "other"):
            (tmp_path / name).rename(tmp_path / f"{name} away")
        (tmp_path / "other away").rename(directory)
        assert "store.json identifies the store" in await _fault_of_readiness(factory)
        await _refused(storage, "store.json identifies the store")
        directory.rename(tmp_path / "other")
        (tmp_path / "data away").rename(directory)
        await _accepted(storage, "second")
        assert not await _fault_of_readiness(factory)
