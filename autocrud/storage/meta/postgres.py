"""Metadata in PostgreSQL, records in an object store: COMMIT is the commit point (invariant 2)."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from uuid_utils import uuid7

from autocrud.errors import AutoCRUDError, DataCorrupted, StorageUnavailable
from autocrud.model import ModelSpec
from autocrud.query.conditions import Query
from autocrud.storage.base import Commit, Head, MetaStore, Outcome, Page, Write
from autocrud.storage.batcher import Batcher
from autocrud.storage.meta.postgres_batch import Batch
from autocrud.storage.meta.postgres_layout import prepare
from autocrud.storage.meta.postgres_pool import ConnectionLost, PostgresPool, Raced
from autocrud.storage.meta.postgres_records import PostgresRecords
from autocrud.storage.meta.postgres_tables import PostgresTables, columns_of, commit_of_row, head_of

logger = logging.getLogger(__name__)

_RACES = 5  # attempts at a batch as a whole, before its writes go one by one
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 2.0  # seconds
_PERSIST_SECONDS = 10.0  # rows are locked meanwhile


class PostgresMetaStore(MetaStore):
    """Heads and commits of one model in PostgreSQL, their records beside it.

    A batch is one transaction and at most nine statements, whatever its size. Rows that it changes are locked, so that
    writers of other nodes wait; what a lock cannot cover, an id or a unique value that another node takes meanwhile,
    its indexes refuse, and the batch begins again.

    Args:
        inline_limit: bytes; larger data is read from the records.
    """

    def __init__(
        self, spec: ModelSpec[Any], pool: PostgresPool, records: PostgresRecords, *, schema: str, inline_limit: int
    ) -> None:
        self._spec = spec
        self._pool = pool
        self._records = records
        self._tables = PostgresTables(spec, schema, inline_limit)
        self._gets: Batcher[str, Head | None] = Batcher(self._get)

    async def open(self) -> None:
        async with self._pool.connection() as connection:
            await prepare(connection, self._spec, self._tables, self._records)
        await self._erase()

    async def close(self) -> None:
        await self._gets.drain()

    async def commit(self, batch: Sequence[Write]) -> list[Outcome]:
        lost = False
        for _ in range(_RACES):
            try:
                return await self._commit(batch)
            except Raced as error:
                logger.info("%s: a batch begins again: %s", self._spec.name, error)
            except ConnectionLost:
                # Nothing is committed; after a restart of the server all of its connections are found dead.
                if lost:
                    raise
                lost = True
        if len(batch) > 1:
            return [(await self._commit_alone(write)) for write in batch]
        raise StorageUnavailable(f"PostgreSQL: other writers of {self._spec.name} were always faster.")

    async def get(self, resource_id: str, current: bool) -> Head | None:
        return await self._gets.submit(resource_id)

    async def search(self, query: Query) -> Page:
        if any(condition.value is None for condition in query.where):
            return Page([], None)
        sql, values = self._tables.search(query)
        heads = [head_of(row) for row in await self._pool.fetch(sql, *values)]
        more = len(heads) > query.limit
        return Page(heads[: query.limit], heads[query.limit - 1].position if more else None)

    async def count(self, query: Query) -> int:
        if any(condition.value is None for condition in query.where):
            return 0
        sql, values = self._tables.search(query, count=True)
        return int((await self._pool.fetch(sql, *values))[0][0])

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        rows = await self._pool.fetch(self._tables.history, resource_id, 2**62 if before is None else before, limit)
        return [commit_of_row(row) for row in rows]

    async def read(self, locator: str) -> bytes:
        return await self._records.data(locator)

    async def _get(self, resource_ids: Sequence[str]) -> list[Head | None]:
        """Reads by id that arrived together, in one statement."""
        heads = {row[0]: head_of(row) for row in await self._pool.fetch(self._tables.get, list(set(resource_ids)))}
        return [heads.get(resource_id) for resource_id in resource_ids]

    async def _commit_alone(self, write: Write) -> Outcome:
        try:
            return (await self.commit([write]))[0]
        except AutoCRUDError as error:
            return error

    async def _commit(self, writes: Sequence[Write]) -> list[Outcome]:
        batch = Batch(self._tables, writes, f"records/{uuid7()}.ndjson")
        sent = answered = False
        transaction_id = ""
        try:
            async with self._pool.connection() as connection:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    transaction_id = await self._stage(connection, batch)
                except BaseException:
                    await self._pool.roll_back(transaction)
                    await self._records.discard(batch.key)
                    raise
                if not batch.lines:
                    await transaction.rollback()
                    return batch.outcomes
                sent = True
                answered = await self._pool.commit(transaction)
        except StorageUnavailable:
            # Where the connection ends behind the COMMIT, on its way back to the pool, the batch must not begin again.
            if not sent:
                raise
        if not answered and not await self._was_committed(transaction_id):
            await self._records.discard(batch.key)
            raise ConnectionLost("PostgreSQL went away before it committed.")
        return await self._erase_after(batch)

    async def _stage(self, connection: Any, batch: Batch) -> str:
        """Decide and apply the batch in the open transaction, and store its records; the transaction's id."""
        rows = await connection.fetch(self._tables.lock, batch.resource_ids)
        transaction_id: str = rows[0][0]
        for _, resource_id, version, record, *unique in rows:
            if resource_id is not None:
                batch.load(resource_id, version, record, unique)
        wanted = self._tables.wanted_holders(batch.unique_values())
        if self._tables.holders is not None and any(wanted):
            for position, place, resource_id in await connection.fetch(self._tables.holders, *wanted):
                batch.hold((self._tables.unique_number(position), wanted[position][place - 1]), resource_id)
        batch.decide()
        if batch.lines:
            await self._apply(connection, batch)
            await self._persist(batch)
        return transaction_id

    async def _apply(self, connection: Any, batch: Batch) -> None:
        # What is set free goes first: who takes it may be in the same batch.
        if purged := batch.purged():
            await connection.execute(self._tables.purge_commits, purged, batch.erased)
            await connection.execute(self._tables.purge_heads, purged)
        inserted, updated, moved = batch.rows()
        for sql, rows in (
            (self._tables.update_meta, moved),
            (self._tables.update, updated),
            (self._tables.insert, inserted),
            (self._tables.insert_commits, batch.commits()),
        ):
            if rows:
                await connection.execute(sql, *columns_of(rows))

    async def _persist(self, batch: Batch) -> None:
        try:
            async with asyncio.timeout(_PERSIST_SECONDS):
                await self._records.put(batch.key, batch.content)
        except TimeoutError as error:
            raise StorageUnavailable(f"The records were not stored within {_PERSIST_SECONDS:g} s.") from error

    async def _was_committed(self, transaction_id: str) -> bool:
        """Settle a COMMIT whose answer was lost, however long PostgreSQL takes to come back."""
        logger.warning("%s: the answer to a COMMIT was lost; asking what became of it", self._spec.name)
        delay = _FIRST_DELAY
        while True:
            try:
                ((status,),) = await self._pool.fetch("SELECT pg_xact_status($1::text::xid8)", transaction_id)
                if status is None:
                    raise DataCorrupted(f"PostgreSQL knows nothing of its transaction {transaction_id}.")
                if status != "in progress":
                    return bool(status == "committed")
            except StorageUnavailable as error:
                logger.info("%s: %s", self._spec.name, error)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _erase_after(self, batch: Batch) -> list[Outcome]:
        if not batch.purged():
            return batch.outcomes
        try:
            await self._erase()
        except AutoCRUDError as error:
            message = f"Purged, but not yet erased; that is finished at the next purge or start. {error}"
            return batch.with_purges_refused(StorageUnavailable(message))
        return batch.outcomes

    async def _erase(self) -> None:
        """Blank the records of what was purged."""
        pending = [record for (record,) in await self._pool.fetch(f"SELECT record FROM {self._tables.erasures}")]
        if pending:
            await self._records.erase(pending)
            async with self._pool.connection() as connection:
                done = f"DELETE FROM {self._tables.erasures} WHERE record = ANY($1::text[])"
                await connection.execute(done, pending)
