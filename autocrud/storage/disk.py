"""The disk factory: a log of files and a SQLite file, for one machine and any number of its processes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.identity.guard import COMPARE_INTERVAL_S
from autocrud.storage.metadata.sqlite.engine.engine import SqliteEngine
from autocrud.storage.metadata.sqlite.engine.segment_commits import SegmentCommits
from autocrud.storage.model_storage import INLINE_LIMIT, ModelStorage
from autocrud.storage.objects.local import LocalObjectStore
from autocrud.storage.ports.storage import Check, IStorage, IStorageFactory
from autocrud.storage.store import Store


class DiskStorageFactory(IStorageFactory):
    """Stores all models in one store: `<directory>/log/` is the data, `metadata.sqlite` an index of it.

    `store.json` is the identity of the store. Blobs and schema records are under `<directory>/<model>/`. A write is
    acknowledged after its log entry is synced and applied. Any number of processes may share the directory.

    Args:
        directory: created if absent; on a local file system with hard links. Network file systems are refused.
        inline_limit: bytes; data up to this size is read from SQLite, larger data from the log.
        compare_interval: seconds between two comparisons of the folder with the SQLite file. A folder that was
            exchanged makes writes fail until it is back.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        inline_limit: int = INLINE_LIMIT,
        compare_interval: float = COMPARE_INTERVAL_S,
    ) -> None:
        self._directory = Path(directory)
        self._objects = LocalObjectStore(self._directory)
        path = self._directory / "metadata.sqlite"
        name = f"disk, in {self._directory}"
        self._engine = SqliteEngine(
            name,
            self._objects,
            lambda: path,
            lambda file, models, replayer: SegmentCommits(file, models, replayer, self._directory / "log"),
            inline_limit=inline_limit,
            compare_interval=compare_interval,
        )
        self._store = Store(self._engine, name)

    def build(self, spec: ModelSpec[Any]) -> IStorage:
        return ModelStorage(spec, self._store)

    async def stored_models(self) -> set[str]:
        return await self._store.engine.stored_models()

    async def open(self) -> None:
        await self._objects.open()
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()
        await self._objects.close()

    def checks(self) -> Mapping[str, Check]:
        return {"disk": self._check}

    async def _check(self) -> None:
        await self._objects.put(".ready", b"")
        await self._engine.guard.check()
