"""The disk factory: a log of files and a SQLite file, for one machine and any number of its processes."""

import os
from collections.abc import Mapping
from pathlib import Path

from autocrud.storage.identity.guard import COMPARE_INTERVAL_S
from autocrud.storage.metadata.sqlite.engine.engine import SqliteEngine
from autocrud.storage.metadata.sqlite.engine.segment_commits import SegmentCommits
from autocrud.storage.model_storage import INLINE_LIMIT
from autocrud.storage.objects.local import LocalObjectStore
from autocrud.storage.ports.storage import Check
from autocrud.storage.store import Store
from autocrud.storage.store_factory import StoreFactory


class DiskStorageFactory(StoreFactory):
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
        super().__init__(Store(self._engine, name))

    async def open(self) -> None:
        await self._objects.open()
        await super().open()

    async def close(self) -> None:
        await super().close()
        await self._objects.close()

    def checks(self) -> Mapping[str, Check]:
        return {"disk": self._check}

    async def _check(self) -> None:
        await self._objects.put(".ready", b"")
        await self._engine.guard.check()
