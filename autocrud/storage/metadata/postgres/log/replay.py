"""Replay: fills empty tables from the log in the bucket. Models that this process does not know are kept."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.records.chain import ChainChecker
from autocrud.storage.commit_log.records.entry import Entry
from autocrud.storage.decision.state import ReadSet
from autocrud.storage.metadata.postgres.commits.batch_apply import apply_plans, newest_contracts
from autocrud.storage.metadata.postgres.commits.combined import CombinedStatement
from autocrud.storage.metadata.postgres.commits.erasure_plan import plan_erasures
from autocrud.storage.metadata.postgres.commits.model_plan import plan_models
from autocrud.storage.metadata.postgres.commits.placed_item import PlacedItem
from autocrud.storage.metadata.postgres.commits.state_loader import load_state
from autocrud.storage.metadata.postgres.schema import create_base_tables
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Write

logger = logging.getLogger(__name__)

_ITEMS = 1000  # of one round of statements
_REPORT_ITEMS = 50_000


class Replay:
    """Applies the entries of the log in one open transaction.

    All tables are without index columns. The start of each model adds them, and fills them from the data.
    """

    def __init__(self, connection: Any, store: SharedStore, objects: ObjectStore, store_id: str) -> None:
        self._connection = connection
        self._store = store
        self._log = ObjectLog(objects, store_id)
        self._checker = ChainChecker()
        self._items: list[PlacedItem] = []
        self._erased: list[Position] = []
        self._done = 0

    async def run(self) -> None:
        """Apply all entries.

        Raises:
            DataCorrupted: the log is damaged; the message names the object.
        """
        last: Entry | None = None
        async for entries in self._log.entries():
            for entry in entries:
                await asyncio.to_thread(self._add, entry)
                if len(self._items) >= _ITEMS:
                    await self._apply()
            last = entries[-1]
        await self._apply()
        self._checker.finish()
        if (key := await self._log.find_key_behind(self._checker.tail.sequence)) is not None:
            raise DataCorrupted(
                f"The log has no entry {self._checker.tail.sequence + 1}, and {key} stands behind it. Restore the"
                " missing object; if it is lost, remove the objects behind it."
            )
        if last is not None:
            row = (last.sequence, last.nonce, last.time, last.header_hash, None)
            await self._connection.execute(self._store.tables.insert_batch, *row)
            logger.info("Rebuilt the tables of %s from %d entries of the log", self._store.schema, last.sequence)

    def _add(self, entry: Entry) -> None:
        for ordinal, record in enumerate(self._checker.add(entry)):
            self._erased += record.erases
            if record.item is not None:
                position = Position(entry.sequence, ordinal)
                self._items.append(PlacedItem(record.item, position, entry.data_locator(ordinal, record.item)))

    async def _apply(self) -> None:
        items, self._items = self._items, []
        if items:
            await self._create_tables(items)
            writes = [placed.item for placed in items if isinstance(placed.item, Write)]
            reads = ReadSet(resources={(write.model, write.meta.resource_id) for write in writes})
            store, connection = self._store, self._connection
            state = await load_state(connection, store.tables, store.models, reads)
            erasures = await plan_erasures(connection, store.models, items)
            plans = await asyncio.to_thread(plan_models, store.models, state, items, erasures)
            contracts = newest_contracts(placed.item for placed in items)
            await apply_plans(connection, store.tables, plans, contracts=contracts, marks_stale=False)
        await self._drop_erased_blobs()
        if self._done // _REPORT_ITEMS != (self._done + len(items)) // _REPORT_ITEMS:
            logger.info("Rebuilt %d records of %s", self._done + len(items), self._store.schema)
        self._done += len(items)

    async def _create_tables(self, items: Sequence[PlacedItem]) -> None:
        store = self._store
        written = {placed.item.model for placed in items if not isinstance(placed.item, Contract)}
        new_models = sorted(written - store.models.keys())
        for model in new_models:
            store.models[model] = store.unknown_tables(model)
            await create_base_tables(self._connection, store.models[model])
        if new_models:
            await self._connection.execute(store.tables.insert_models, new_models)

    async def _drop_erased_blobs(self) -> None:
        """Drop registered blobs whose records a purge or prune names. The references that it released may be erased."""
        erased, self._erased = self._erased, []
        if not erased:
            return
        for model, tables in self._store.models.items():
            arguments = [[sequence for sequence, _ in erased], [ordinal for _, ordinal in erased]]
            rows = await self._connection.fetch(tables.side_tables.delete_blobs_at, *arguments)
            statement = CombinedStatement()
            statement.add_rows(self._store.tables.insert_blob_erasures, [(model, key, False) for key, _, _ in rows])
            statement.add_rows(
                self._store.tables.insert_erasures, [(*place, True, False, None, None, None) for _, *place in rows]
            )
            await statement.execute(self._connection)
