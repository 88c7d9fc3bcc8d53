"""The disk factory: a log of files and a SQLite file per model, for one machine and any number of its processes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.log import Log
from autocrud.storage.composite import INLINE_LIMIT, Storage
from autocrud.storage.metadata.sqlite.store import SqliteMetaStore
from autocrud.storage.objects.local import LocalObjectStore
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory


class DiskStorageFactory(IStorageFactory):
    """Stores each model under `<directory>/<model>/`: `log/` is the data, `metadata.sqlite` an index of it.

    Args:
        directory: created if absent; on a local file system with hard links.
        inline_limit: bytes; data up to this size is read from SQLite, larger data from the log.
    """

    def __init__(self, directory: str | os.PathLike[str], *, inline_limit: int = INLINE_LIMIT) -> None:
        self._directory = Path(directory)
        self._inline_limit = inline_limit
        self._objects = LocalObjectStore(self._directory)

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        path = self._directory / spec.name / "metadata.sqlite"
        log = Log(self._objects, spec.name)
        meta = SqliteMetaStore(spec, lambda: path, log, inline_limit=self._inline_limit)
        return Storage(spec, meta, self._objects, spec.name)

    async def open(self) -> None:
        await self._objects.open()

    async def close(self) -> None:
        await self._objects.close()

    def checks(self) -> Mapping[str, Check]:
        return {"disk": lambda: self._objects.put(".ready", b"")}
