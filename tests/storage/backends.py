"""The backends that the conformance suite and the state machine run on: one line each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from autocrud.model import ModelSpec
from autocrud.storage.base import IStorage, IStorageFactory, ObjectStore
from autocrud.storage.composed import Storage
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.log import Log
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.meta.sqlite import SqliteMetaStore
from autocrud.storage.objects.memory import MemoryObjectStore


class LogInMemoryFactory(IStorageFactory):
    """The log and its SQLite index over the memory object store, as S3 will have them: one asks by awaiting."""

    def __init__(self, directory: Path, objects: ObjectStore | None = None) -> None:
        self.objects = objects or MemoryObjectStore()
        self._directory = directory

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        path = self._directory / f"{spec.name}.sqlite"
        return Storage(SqliteMetaStore(spec, path, Log(self.objects, spec.name), inline_limit=1024))

    async def open(self) -> None:
        return

    async def close(self) -> None:
        return

    async def check(self) -> None:
        return


BACKENDS: dict[str, Callable[[Path], IStorageFactory]] = {
    "memory": lambda path: MemoryStorageFactory(),
    "disk": DiskStorageFactory,
    "log-in-memory": LogInMemoryFactory,
}
