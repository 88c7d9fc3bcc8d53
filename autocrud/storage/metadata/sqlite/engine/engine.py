"""Engine of a store in a SQLite file, which is an index of the log: the log is the truth (invariants 2 and 6)."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from time import monotonic
from typing import TYPE_CHECKING, Any

from autocrud.errors import AutoCRUDError, ConfigurationError, DataCorrupted, StorageUnavailable
from autocrud.resource import CommitKind
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.log import Entry, Log, SlotTaken, Tail
from autocrud.storage.commit_log.record_codec import data_span, encode_record
from autocrud.storage.decision.decide import Decision, MoreReads, decide
from autocrud.storage.decision.state import ReadState, read_set_of
from autocrud.storage.identity.guard import COMPARE_INTERVAL_S, StoreGuard
from autocrud.storage.identity.store_identity import check_store_id
from autocrud.storage.metadata.sqlite.connection import begin
from autocrud.storage.metadata.sqlite.engine.batch_apply import BatchApply
from autocrud.storage.metadata.sqlite.engine.comparison import LogComparison
from autocrud.storage.metadata.sqlite.engine.erasure import Eraser
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.log_replay import LogReplayer, place_item
from autocrud.storage.metadata.sqlite.engine.model_attachment import ModelAttachment
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.reads import FreshReads
from autocrud.storage.metadata.sqlite.engine.state_loader import load_state
from autocrud.storage.metadata.sqlite.engine.store_tables import (
    changes_after,
    create_store_tables,
    last_position,
    read_tail,
    set_tail,
    stored_models,
)
from autocrud.storage.metadata.sqlite.store import SqliteMetaStore
from autocrud.storage.ports.engine import StoreEngine
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.transactions import START, Position, StoreChange, Transaction, TransactionOutcome
from autocrud.storage.ports.types import Write

if TYPE_CHECKING:  # it needs a library that a disk does not
    from autocrud.storage.metadata.sqlite.snapshots import Snapshots

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _StagedBatch:
    """A batch applied in an open transaction, behind the log entry `tail`.

    `entry` is what will commit it; None if all of it was refused, and the transaction is rolled back.
    """

    tail: Tail
    outcomes: list[TransactionOutcome]
    entry: Entry | None
    purges: bool


class SqliteEngine(StoreEngine):
    """Metadata of all models of one store in one SQLite file, behind one log.

    Processes that share the file are ordered by SQLite's write lock: each holds it from reading the log's tail until
    its own entry is applied, so that only a crash leaves an entry that is not.

    Args:
        name: name of the store, for messages.
        objects: object store of the log, of blobs and of schema records, opened by the caller.
        locate: returns the path of the SQLite file, each time that the engine opens.
        inline_limit: bytes; larger data is read from the log.
        snapshots: of the file, if its folder may be lost, and is not shared.
        max_staleness: seconds that a read may be behind the log.
        compare_interval: seconds between two comparisons of the log with the file.
    """

    def __init__(
        self,
        name: str,
        objects: ObjectStore,
        locate: Callable[[], Path],
        *,
        inline_limit: int,
        snapshots: "Snapshots | None" = None,
        max_staleness: float = 0.0,
        compare_interval: float = COMPARE_INTERVAL_S,
    ) -> None:
        self.objects = objects
        self._log = Log(objects)
        self._file = StoreFile(locate)
        self._models = Models(inline_limit)
        self._snapshots = snapshots
        self._eraser = Eraser(self._file, self._log, objects, snapshots)
        self._replayer = LogReplayer(self._file, self._log, self._models, self._eraser)
        self.guard = StoreGuard(name, self._compare, interval=compare_interval)
        self._reads = FreshReads(self._file, self._log, self._replayer, self.guard, max_staleness)
        self._comparison = LogComparison(objects, self._file, self._replayer, self._reads)
        self._attachment = ModelAttachment(self._file, self._log, objects, self._models, self._replayer)

    async def open(self) -> None:
        path = self._file.locate()
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        try:
            if self._snapshots is not None:
                await self._snapshots.restore(path)
            await self._file.writer.open(path)
            await self._file.write(create_store_tables)
            await self._comparison.open()
            await self._file.open_readers()
            self.guard.open()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        await self.guard.close()
        await self._reads.drain()
        if self._snapshots is not None:
            await self._snapshots.drain()
        await self._file.close()
        self._attachment.clear()

    def metadata(self, spec: ModelSpec[Any]) -> MetaStore:
        self._attachment.announce(spec)
        return SqliteMetaStore(spec, self._file, self._log, self._reads, self._eraser, self._attachment)

    async def stored_models(self) -> set[str]:
        return await self._reads.run(stored_models, current=True)

    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        return await self._reads.run(lambda db: changes_after(db, after, limit), current=True)

    async def last_position(self) -> Position:
        return await self._reads.run(last_position, current=True) or START

    async def commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        self.guard.require_intact()
        try:
            return await self._commit(batch)
        except DataCorrupted as error:
            raise self.guard.refuse(error) from error

    async def _commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        await self._attachment.fill_references()
        async with self._file.lock:
            while True:
                staged = await self._file.writer.run(lambda db: self._stage(db, batch))
                if staged.entry is None:
                    # Refused, if what it was judged by is current. An accepted write is judged by the log itself.
                    if await self._log.read(staged.tail.sequence + 1) is None:
                        return staged.outcomes
                    await self._replayer.catch_up()
                    continue
                started_at = monotonic()
                try:
                    await self._append(staged.entry)
                except SlotTaken:
                    await self._roll_back()
                    await self._replayer.catch_up()
                except BaseException:
                    await self._roll_back()
                    raise
                else:
                    self._reads.checked_at = started_at
                    return await self._finish_commit(batch, staged, staged.entry)

    async def _append(self, entry: Entry) -> None:
        """Append an entry, and check meanwhile that the bucket holds the store."""
        if self._log.has_blocking_exists:  # no server between, which could create a lost folder again
            return await self._log.append(entry)
        check = asyncio.ensure_future(check_store_id(self.objects, self._comparison.store_id))
        try:
            await self._log.append(entry)
            await check
        finally:
            check.cancel()

    async def _compare(self) -> None:
        await self._comparison.compare()

    def _stage(self, db: Connection, batch: Sequence[Transaction]) -> _StagedBatch:
        """Decide a batch, apply what is accepted, and lay out the entry that would commit it."""
        begin(db)
        try:
            tail = read_tail(db)
            self._require_models(batch)
            decision, state = self._decide(db, batch)
            accepted = decision.accepted
            if not accepted:
                db.rollback()
                return _StagedBatch(tail, decision.outcomes, None, False)
            records = [encode_record(item) for item in accepted]
            data = [data_span(item, len(record))[0] for item, record in zip(accepted, records, strict=True)]
            entry = self._log.entry(tail, records, data)
            placed = [
                place_item(self._log, entry, ordinal, item, len(record), offset)
                for ordinal, (item, record, (offset, _)) in enumerate(zip(accepted, records, entry.lines, strict=True))
            ]
            BatchApply(db, self._models, state, is_replay=False).apply(placed)
            set_tail(db, entry.tail)
            purges = any(isinstance(item, Write) and item.kind is CommitKind.purge for item in accepted)
            return _StagedBatch(tail, decision.outcomes, entry, purges)
        except BaseException:
            db.rollback()
            raise

    def _decide(self, db: Connection, batch: Sequence[Transaction]) -> tuple[Decision, ReadState]:
        state = load_state(db, self._models, read_set_of(batch))
        while isinstance(decision := decide(state, batch), MoreReads):
            state.add(load_state(db, self._models, decision.reads))
        return decision, state

    def _require_models(self, batch: Sequence[Transaction]) -> None:
        """Refuse writes to models that this process has not opened: their rows would lack index values.

        Raises:
            ConfigurationError: a model is unknown.
        """
        models = {item.model for transaction in batch for item in transaction.items if isinstance(item, Write)}
        if unknown := models - self._models.attached.keys():
            raise ConfigurationError(f"no open storage of this store has the model {min(unknown)!r}")

    async def _roll_back(self) -> None:
        await self._file.writer.run(Connection.rollback)
        self._models.forget_others()

    async def _finish_commit(
        self, batch: Sequence[Transaction], staged: _StagedBatch, entry: Entry
    ) -> list[TransactionOutcome]:
        """The entry is in the log, so the writes are committed, whatever becomes of SQLite."""
        path = self._file.path
        try:
            await self._file.writer.run(Connection.commit)
            self._replayer.tail = entry.tail
            if self._snapshots is not None:
                self._snapshots.consider(path, entry.tail.sequence)
        except (StorageUnavailable, DataCorrupted) as error:
            logger.warning("%s does not follow its log, and will catch up: %s", path, error)
            with suppress(StorageUnavailable, DataCorrupted):
                await self._roll_back()
            return staged.outcomes
        if not staged.purges:
            return staged.outcomes
        try:
            if not await self._eraser.erase():
                raise StorageUnavailable("An export reads what was there before, and when it ends, nothing will.")
        except AutoCRUDError as error:
            message = f"Purged, but not yet erased; that is finished at the next purge or start. {error}"
            return [
                [
                    StorageUnavailable(message) if refused is None and _is_purge(item) else refused
                    for item, refused in zip(transaction.items, outcome, strict=True)
                ]
                for transaction, outcome in zip(batch, staged.outcomes, strict=True)
            ]
        return staged.outcomes


def _is_purge(item: object) -> bool:
    return isinstance(item, Write) and item.kind is CommitKind.purge
