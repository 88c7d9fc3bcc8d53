"""The disk factory: a log of files and a SQLite file per model, for one machine and any number of its processes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.log import Log
from autocrud.storage.composite import INLINE_LIMIT, Storage
from autocrud.storage.metadata.sqlite.store import SqliteMetaStore
from autocrud.storage.model_folder.location import stored_folders
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
        return Storage(spec, lambda: self._build_meta(spec), self._objects)

    async def stored_models(self) -> set[str]:
        return await stored_folders(self._objects)

    async def open(self) -> None:
        await self._objects.open()

    async def close(self) -> None:
        await self._objects.close()

    def _build_meta(self, spec: ModelSpec[Any]) -> SqliteMetaStore:
        path = self._directory / spec.folder / "metadata.sqlite"
        return SqliteMetaStore(spec, lambda: path, Log(self._objects, spec.folder), inline_limit=self._inline_limit)

    def checks(self) -> Mapping[str, Check]:
        return {"disk": lambda: self._objects.put(".ready", b"")}
