"""Committer: decides and commits a batch in one transaction under the store's lock."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autocrud.errors import StorageUnavailable
from autocrud.storage.commit_log.records.builder import EntryBuilder
from autocrud.storage.commit_log.records.entry import Entry, encode_lines
from autocrud.storage.commit_log.records.header import Tail
from autocrud.storage.decision.decide import Decision, MoreReads, decision_steps
from autocrud.storage.decision.state import ReadState, read_set_of
from autocrud.storage.metadata.postgres.commits.batch_apply import apply_plans, newest_contracts
from autocrud.storage.metadata.postgres.commits.erasure_plan import ErasurePlan, plan_erasures
from autocrud.storage.metadata.postgres.commits.model_plan import ModelPlan, has_erasures, plan_models
from autocrud.storage.metadata.postgres.commits.placed_item import PlacedItem
from autocrud.storage.metadata.postgres.commits.state_loader import StateLoader, load_state
from autocrud.storage.metadata.postgres.connection import ConnectionLost
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.ports.time_slice import run_in_slices
from autocrud.storage.ports.transactions import Position, Transaction, TransactionOutcome
from autocrud.storage.ports.types import Item, Write

logger = logging.getLogger(__name__)

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 2.0
# Larger batches are laid out on a thread, so that the event loop goes on.
_MAX_LOOP_ITEMS, _MAX_LOOP_BYTES = 128, 512 * 1024


@dataclass(slots=True)
class CommittedBatch:
    """A batch after its commit.

    Attributes:
        sequence: sequence number; 0 if nothing was accepted.
        size: bytes of the entry.
        models: folders of the models that it writes to.
        has_erasures: True if it purges or prunes.
    """

    outcomes: list[TransactionOutcome]
    sequence: int = 0
    size: int = 0
    nonce: str = ""
    models: frozenset[str] = frozenset()
    has_erasures: bool = False


class Committer:
    """Commits the batches of one process.

    Args:
        store_id: id of the store, for the entries.
    """

    def __init__(self, store: SharedStore, store_id: str) -> None:
        self._store = store
        self._builder = EntryBuilder(store_id)
        self._written_models: set[str] = set()

    async def commit(self, batch: Sequence[Transaction]) -> CommittedBatch:
        """Decide and commit a batch.

        Raises:
            StorageUnavailable: nothing was committed.
        """
        try:
            return await self._commit(batch)
        except ConnectionLost:
            # Nothing is committed. After a restart of the server all of its connections are found dead.
            return await self._commit(batch)

    async def _commit(self, batch: Sequence[Transaction]) -> CommittedBatch:
        was_sent = was_answered = False
        committed: CommittedBatch | None = None
        try:
            async with self._store.pool.connection() as connection:
                try:
                    committed = await self._stage(connection, batch)
                except BaseException:
                    await self._store.roll_back(connection)
                    raise
                if not committed.sequence:
                    await self._store.roll_back(connection)
                    return committed
                was_sent = True
                was_answered = await self._store.pool.commit(connection)
        except StorageUnavailable:
            # Where the connection ends behind the COMMIT, on its way back to the pool, the batch must not begin again.
            if not was_sent:
                raise
        if committed is None or not (was_answered or await self._was_committed(committed)):
            raise ConnectionLost("PostgreSQL went away before it committed.")
        self._written_models |= committed.models
        return committed

    async def _stage(self, connection: Any, batch: Sequence[Transaction]) -> CommittedBatch:
        """Decide and apply a batch in a transaction that is left open."""
        store = self._store
        await store.begin(connection)
        decision, state, tail = await self._decide(connection, batch)
        items = decision.accepted
        if not items:
            return CommittedBatch(decision.outcomes)
        erasures: dict[str, ErasurePlan] = {}
        if erasing := has_erasures(items):
            unplaced = [PlacedItem(item, Position(tail.sequence + 1, number)) for number, item in enumerate(items)]
            erasures = await plan_erasures(connection, store.models, unplaced)
        if len(items) > _MAX_LOOP_ITEMS or sum(map(_data_bytes, items)) > _MAX_LOOP_BYTES:
            entry, plans = await asyncio.to_thread(self._lay_out, items, tail, state, erasures)
        else:
            entry, plans = self._lay_out(items, tail, state, erasures)
        new_models = [plan.model for plan in plans if plan.model not in self._written_models]
        if new_models:
            await connection.execute(store.tables.insert_models, new_models)
        row = (entry.sequence, entry.nonce, entry.time, entry.header_hash, entry.content)
        await apply_plans(connection, store.tables, plans, row, contracts=newest_contracts(items))
        models = frozenset(plan.model for plan in plans)
        return CommittedBatch(decision.outcomes, entry.sequence, len(entry.content), entry.nonce, models, erasing)

    async def _decide(self, connection: Any, batch: Sequence[Transaction]) -> tuple[Decision, ReadState, Tail]:
        """Return the decision, the loaded state, and the last batch."""
        store, reads = self._store, read_set_of(batch)
        await store.learn_models(connection, {model for model, _ in reads.resources})
        loader = StateLoader(store.tables, store.models, reads)
        state = await loader.load(connection, with_tail=True)
        while isinstance(decision := await run_in_slices(decision_steps(state, batch)), MoreReads):
            await store.learn_models(connection, {model for model, _ in decision.reads.resources})
            state.add(await load_state(connection, store.tables, store.models, decision.reads))
        return decision, state, loader.tail

    def _lay_out(
        self, items: Sequence[Item], tail: Tail, state: ReadState, erasures: dict[str, ErasurePlan]
    ) -> tuple[Entry, list[ModelPlan]]:
        """Return the entry of the accepted items, and the rows of each model."""
        sequence = tail.sequence + 1
        erases: list[Sequence[Position]] = []
        if erasures:
            by_position = {place: found for plan in erasures.values() for place, found in plan.erases.items()}
            erases = [by_position.get(Position(sequence, number), ()) for number in range(len(items))]
        entry = self._builder.build(encode_lines(items, erases), tail).place(f"batch {sequence}", sequence, 0)
        placed = [
            PlacedItem(item, Position(sequence, number), entry.data_locator(number, item))
            for number, item in enumerate(items)
        ]
        return entry, plan_models(self._store.models, state, placed, erasures)

    async def _was_committed(self, committed: CommittedBatch) -> bool:
        """Settle a COMMIT whose answer was lost, however long PostgreSQL takes to come back.

        Behind the store's lock, the transaction has ended, and no other is between.
        """
        store = self._store
        logger.warning("The answer to a COMMIT was lost; looking for batch %d", committed.sequence)
        delay = _FIRST_DELAY_S
        while True:
            try:
                async with store.pool.connection() as connection:
                    try:
                        await store.begin(connection)
                        nonce = await connection.fetchval(store.tables.nonce_of, committed.sequence)
                    finally:
                        await store.roll_back(connection)
                return bool(nonce == committed.nonce)
            except StorageUnavailable as error:
                logger.info("Batch %d: %s", committed.sequence, error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)


def _data_bytes(item: Item) -> int:
    return len(item.data or b"") if isinstance(item, Write) else 0
