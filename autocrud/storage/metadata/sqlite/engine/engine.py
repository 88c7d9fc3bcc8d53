"""Engine of a store in a SQLite file, which is an index of the log: the log is the truth (invariants 2 and 6)."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autocrud.errors import AutoCRUDError, DataCorrupted, StorageUnavailable
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.identity.guard import COMPARE_INTERVAL_S, StoreGuard
from autocrud.storage.identity.store_identity import check_store_id, open_store
from autocrud.storage.metadata.sqlite.engine.commit_path import CommitPath
from autocrud.storage.metadata.sqlite.engine.erasure import Eraser
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.log_replay import LogReplayer
from autocrud.storage.metadata.sqlite.engine.model_attachment import ModelAttachment
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.reads import FreshReads
from autocrud.storage.metadata.sqlite.engine.staging import StagedBatch, is_purge
from autocrud.storage.metadata.sqlite.engine.store_tables import (
    changes_after,
    create_store_tables,
    last_position,
    read_store_id,
    set_store_id,
    stored_models,
)
from autocrud.storage.metadata.sqlite.store import SqliteMetaStore
from autocrud.storage.ports.engine import StoreEngine
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.private_files import make_private_folder
from autocrud.storage.ports.transactions import (
    START,
    Position,
    StoreChange,
    Transaction,
    TransactionOutcome,
    has_writes,
)

if TYPE_CHECKING:  # it needs a library that a disk does not
    from autocrud.storage.metadata.sqlite.snapshots import Snapshots

BuildCommits = Callable[[StoreFile, Models, LogReplayer], CommitPath]


class SqliteEngine(StoreEngine):
    """Metadata of all models of one store in one SQLite file, behind one log.

    Processes that share the file are ordered by SQLite's write lock: each holds it from reading the log's tail until
    its own entry is applied, so that only a crash leaves an entry that is not.

    Args:
        name: name of the store, for messages.
        objects: object store of blobs and of schema records, opened by the caller.
        locate: returns the path of the SQLite file, each time that the engine opens.
        build_commits: returns the path to the log.
        inline_limit: bytes; larger data is read from the log.
        snapshots: of the file, if its folder may be lost, and is not shared.
        compare_interval: seconds between two comparisons of the log with the file.

    Attributes:
        guard: refuses requests while the log is not the one that the file is an index of.
    """

    def __init__(
        self,
        name: str,
        objects: ObjectStore,
        locate: Callable[[], Path],
        build_commits: BuildCommits,
        *,
        inline_limit: int,
        snapshots: "Snapshots | None" = None,
        compare_interval: float = COMPARE_INTERVAL_S,
    ) -> None:
        self.objects = objects
        self._file = StoreFile(locate)
        self._models = Models(inline_limit)
        self._snapshots = snapshots
        self._commits = commits = build_commits(self._file, self._models, LogReplayer(self._models))
        self._store_id = ""
        self._eraser = Eraser(self._file, commits, objects, snapshots)
        self.guard = StoreGuard(name, self._compare, interval=compare_interval)
        self._reads = FreshReads(self._file, commits, self.guard)
        self._attachment = ModelAttachment(self._file, commits, self._eraser, objects, self._models)

    async def open(self) -> None:
        path = self._file.locate()
        await asyncio.to_thread(make_private_folder, path.parent)
        try:
            if self._snapshots is not None:
                await self._snapshots.restore(path)
            await self._file.writer.open(path)
            await self._file.write(create_store_tables)
            await self._file.open_readers()
            await self._open_store()
            self.guard.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self.guard.close()
        await self._reads.drain()
        if self._snapshots is not None:
            await self._snapshots.drain()
        await self._commits.close()
        await self._file.close()
        self._attachment.clear()

    def metadata(self, spec: ModelSpec[Any]) -> MetaStore:
        self._attachment.announce(spec)
        return SqliteMetaStore(spec, self._file, self._commits, self._reads, self._eraser, self._attachment)

    async def stored_models(self) -> set[str]:
        return await self._reads.run(stored_models, current=True)

    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        return await self._reads.run(lambda db: changes_after(db, after, limit), current=True)

    async def last_position(self) -> Position:
        return await self._reads.run(last_position, current=True) or START

    async def commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        self.guard.require_intact()
        if has_writes(batch):
            await self._attachment.fill_references()
        async with self._file.lock:
            try:
                staged = await self._commits.commit(batch)
            except DataCorrupted as error:
                raise self.guard.refuse(error) from error
            if staged.entry is not None and self._snapshots is not None:
                self._snapshots.consider(self._file.path, staged.entry.sequence)
            return await self._erase_purged(batch, staged) if staged.purges else staged.outcomes

    async def _erase_purged(self, batch: Sequence[Transaction], staged: StagedBatch) -> list[TransactionOutcome]:
        try:
            if not await self._eraser.erase():
                raise StorageUnavailable("An export reads what was there before, and when it ends, nothing will.")
        except AutoCRUDError as error:
            message = f"Purged, but not yet erased; that is finished at the next purge or start. {error}"
            return [
                [
                    StorageUnavailable(message) if refused is None and is_purge(item) else refused
                    for item, refused in zip(transaction.items, outcome, strict=True)
                ]
                for transaction, outcome in zip(batch, staged.outcomes, strict=True)
            ]
        return staged.outcomes

    async def _open_store(self) -> None:
        """Open the log. Create the store if neither the file nor the object store has one.

        Raises:
            DataCorrupted: the object store holds another store than the file remembers, or none, or another log.
        """
        remembered = await self._file.writer.run(read_store_id)
        self._store_id = await open_store(self.objects, remembered)
        if remembered is None:
            await self._file.write(lambda db: set_store_id(db, self._store_id))
        await self._commits.open(self._store_id)
        await self._commits.check_tail()

    async def _compare(self) -> None:
        """Compare while the process runs, and apply what follows in the log.

        Raises:
            DataCorrupted: the object store holds another store or none, the log lost the end that was applied, or the
                next entry is none of this store.
        """
        await check_store_id(self.objects, self._store_id)
        await self._commits.check_tail()
        await self._commits.refresh()
