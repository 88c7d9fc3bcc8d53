"""Engine of PostgreSQL: one commit order for all models of a schema. COMMIT is the commit point (invariant 2)."""

from collections.abc import Sequence
from typing import Any

from autocrud.errors import AutoCRUDError, StorageUnavailable
from autocrud.resource import CommitKind
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.identity.guard import StoreGuard
from autocrud.storage.metadata.postgres.commits.committer import CommittedBatch, Committer
from autocrud.storage.metadata.postgres.connection import PostgresConnections
from autocrud.storage.metadata.postgres.log.comparison import compare_bucket
from autocrud.storage.metadata.postgres.log.eraser import Eraser
from autocrud.storage.metadata.postgres.log.mover import Mover
from autocrud.storage.metadata.postgres.log.reader import RecordReader
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.metadata.postgres.store import PostgresMetaStore
from autocrud.storage.metadata.postgres.store_schema import prepare_store
from autocrud.storage.ports.engine import StoreEngine
from autocrud.storage.ports.not_open import StorageNotOpen
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.transactions import (
    START,
    Position,
    StoreChange,
    Transaction,
    TransactionItem,
    TransactionOutcome,
    has_writes,
)
from autocrud.storage.ports.types import Blob, Write


class PostgresEngine(StoreEngine):
    """Metadata of all models of one PostgreSQL schema, with the records of each batch in its row.

    Processes take turns to move the records into the bucket, so no commit waits for the bucket.

    Args:
        schema: PostgreSQL schema of the tables.
        inline_limit: bytes; larger data is read from the records.
        backlog_limit: bytes of batches that are not moved, beyond which writes are refused.
        waits_for_move: commit only counts when its batch is in the bucket.
        compare_interval: seconds between two comparisons of the bucket with what this process remembers.
    """

    def __init__(
        self,
        pool: PostgresConnections,
        objects: ObjectStore,
        *,
        schema: str,
        inline_limit: int,
        backlog_limit: int,
        waits_for_move: bool,
        compare_interval: float,
    ) -> None:
        self.objects = objects
        self._pool = pool
        self._store = SharedStore(pool, schema, inline_limit)
        self._records = RecordReader(self._store, objects)
        self._eraser = Eraser(self._store, objects)
        self._guard = StoreGuard(f"postgres, schema {schema}", self._compare, interval=compare_interval)
        self._mover = Mover(self._store, objects, backlog_limit, self._guard.refuse)
        self._waits_for_move = waits_for_move
        self._store_id = ""
        self._committer: Committer | None = None
        self._models: dict[str, PostgresMetaStore] = {}

    async def open(self) -> None:
        await self._pool.open()
        await self.objects.open()
        self._store_id = await prepare_store(self._store, self.objects)
        await self._compare()
        self._committer = Committer(self._store, self._store_id)
        await self._mover.open(self._store_id)
        self._guard.open()
        await self._eraser.erase()

    async def close(self) -> None:
        await self._guard.close()
        await self._mover.close()
        self._committer = None
        await self.objects.close()
        await self._pool.close()

    async def check(self) -> None:
        """Check that the server answers, and that writes are accepted.

        Raises:
            StorageUnavailable: the check failed; the message says why.
        """
        await self._pool.check()
        self._mover.check_backlog()

    async def check_store(self) -> None:
        """Check that the bucket holds the store. While PostgreSQL is away, nothing is compared: `check` reports that.

        Raises:
            StorageUnavailable: the check failed; the message says why.
        """
        try:
            await self._pool.check()
        except StorageUnavailable:
            return
        await self._guard.check()

    def metadata(self, spec: ModelSpec[Any]) -> PostgresMetaStore:
        meta = PostgresMetaStore(spec, self._store, self._records, self._eraser.erase)
        self._models[spec.folder] = meta
        return meta

    async def stored_models(self) -> set[str]:
        return {folder for (folder,) in await self._pool.fetch(self._store.tables.all_models)}

    async def commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        if self._committer is None:
            raise StorageNotOpen
        self._guard.require_intact()
        if has_writes(batch):
            await self._prepare_for_writes()
        if any(isinstance(item, Blob) for transaction in batch for item in transaction.items):
            await self._guard.check()  # the bytes of a new blob are in the bucket, and only there
        committed = await self._committer.commit(batch)
        if committed.sequence:
            self._mover.add(committed.size)
        if self._waits_for_move and committed.sequence:
            await self._mover.wait_for(committed.sequence)
        return await self._erase_purged(batch, committed) if committed.has_erasures else committed.outcomes

    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        rows = await self._pool.fetch(self._store.tables.changes_after, *after, limit)
        return [
            StoreChange(Position(sequence, ordinal), model, resource_id, version, CommitKind(kind))
            for sequence, ordinal, model, resource_id, version, kind in rows
        ]

    async def last_position(self) -> Position:
        rows = await self._pool.fetch(self._store.tables.last_change)
        return Position(*rows[0]) if rows else START

    async def _prepare_for_writes(self) -> None:
        """Refuse writes beyond the limit of the backlog, and fill what they are judged by.

        A start reads contracts, also while writes are refused.
        """
        self._mover.check_backlog()
        for meta in self._models.values():
            if not meta.constraints.is_complete:
                await meta.constraints.fill()

    async def _compare(self) -> None:
        """Compare the bucket with what this process remembers."""
        await compare_bucket(self._store, self.objects, self._store_id)

    async def _erase_purged(self, batch: Sequence[Transaction], committed: CommittedBatch) -> list[TransactionOutcome]:
        """Erase the bytes of purged resources. If this fails, their purges have this outcome."""
        try:
            await self._eraser.erase()
        except AutoCRUDError as error:
            message = f"Purged, but not yet erased; that is finished at the next purge or start. {error}"
            failure = StorageUnavailable(message)
            return [
                [
                    failure if outcome is None and _is_purge(item) else outcome
                    for item, outcome in zip(transaction.items, outcomes, strict=True)
                ]
                for transaction, outcomes in zip(batch, committed.outcomes, strict=True)
            ]
        return committed.outcomes


def _is_purge(item: TransactionItem) -> bool:
    return isinstance(item, Write) and item.kind is CommitKind.purge
