"""Backends of the conformance suite and the state machine, one line each."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ordered_map import OrderedMapStorageFactory
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.postgres import PostgresStorageFactory
from autocrud.storage.s3 import S3StorageFactory
from autocrud.testing.sample_writes import SAMPLE
from examples.dict_backend import DictMap
from tests.servers_real import postgres, seaweed


def s3_options() -> dict[str, Any]:
    """Return the options of the run's S3 server."""
    server = seaweed()
    return {
        "bucket": "tests",
        "endpoint_url": server.endpoint_url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "create_bucket": True,
    }


def s3_factory(path: Path, **options: Any) -> S3StorageFactory:
    """Return a factory on a prefix of the bucket named like the folder, with its cache in the folder."""
    return S3StorageFactory(**{**s3_options(), "prefix": path.name, "cache_dir": path / "cache"} | options)


def postgres_factory(path: Path, **options: Any) -> PostgresStorageFactory:
    """Return a factory on a schema and a prefix named like the folder."""
    own = {"postgres_url": postgres().url, "prefix": path.name, "schema": path.name}
    return PostgresStorageFactory(**s3_options() | own | options)


_maps: dict[Path, DictMap] = {}


def ordered_map_factory(path: Path) -> OrderedMapStorageFactory:
    """Return a factory on the ordered map of a folder, which lasts as long as the process."""
    return OrderedMapStorageFactory(_maps.setdefault(path, DictMap()))


BACKENDS: dict[str, Callable[[Path], IStorageFactory]] = {
    "memory": lambda path: MemoryStorageFactory(),
    "disk": DiskStorageFactory,
    "s3": s3_factory,
    "postgres": postgres_factory,
}
# Backends whose models share a store. A test compares the list with the storages.
STORES = ("memory", "disk", "s3", "postgres")


def remove_sqlite_files(folder: Path) -> None:
    """Remove the SQLite file of a disk store, with its write-ahead log."""
    for path in folder.glob("metadata*"):
        path.unlink()


@asynccontextmanager
async def storage_on(factory: IStorageFactory, spec: ModelSpec[Any] = SAMPLE) -> AsyncIterator[IStorage]:
    """Yield an open storage of a factory."""
    try:
        await factory.open()
        storage = factory.build(spec)
        try:
            await storage.open()
            yield storage
        finally:
            await storage.close()
    finally:
        await factory.close()


def nodes_on(backend: str, path: Path) -> list[IStorageFactory]:
    """Return the factories of two nodes on one store; of one node for a store inside a process."""
    if backend == "s3":
        return [s3_factory(path, cache_dir=path / name) for name in ("first", "second")]
    return [BACKENDS[backend](path) for _ in range(2 if backend in ("disk", "postgres") else 1)]
