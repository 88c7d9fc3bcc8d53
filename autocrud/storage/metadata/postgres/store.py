"""Metadata store in PostgreSQL, with records in an object store. COMMIT is the commit point (invariant 2)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
from uuid_utils import uuid7

from autocrud.errors import AutoCRUDError, DataCorrupted, StorageUnavailable
from autocrud.query.aggregation import Aggregation, GroupRow, overflow_error
from autocrud.query.conditions import Query
from autocrud.resource import timestamp
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.group_commit import GroupCommit
from autocrud.storage.index_backfill.runner import IndexBackfill
from autocrud.storage.metadata.postgres.batch import Batch
from autocrud.storage.metadata.postgres.batch_apply import apply
from autocrud.storage.metadata.postgres.connection import ConnectionLost, PostgresConnections, WriteRace
from autocrud.storage.metadata.postgres.history_tables import commit_of_row
from autocrud.storage.metadata.postgres.index_migration import PostgresBackfillEngine
from autocrud.storage.metadata.postgres.point_in_time import search_past
from autocrud.storage.metadata.postgres.record_store import PostgresRecords
from autocrud.storage.metadata.postgres.schema import prepare
from autocrud.storage.metadata.postgres.snapshot_scan import snapshot_scan
from autocrud.storage.metadata.postgres.tables import PostgresTables, columns_of, head_of
from autocrud.storage.metadata.postgres.versions.claims import give_up_claims_of_other_version
from autocrud.storage.metadata.sql.revisions import revision_of
from autocrud.storage.ports.metadata import CommittingMetaStore
from autocrud.storage.ports.types import (
    Blob,
    Commit,
    Head,
    IndexProgress,
    Item,
    OnDeleteTask,
    Outcome,
    Revision,
    RevisionSpan,
    ScanItem,
)

logger = logging.getLogger(__name__)

_MAX_RETRIES = 5  # attempts at a batch as a whole, before its writes go one by one
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 2.0  # seconds
_PERSIST_SECONDS = 10.0  # rows are locked meanwhile


class PostgresMetaStore(CommittingMetaStore):
    """Heads and commits of one model in PostgreSQL, their records beside it.

    A batch is one transaction and at most nine statements, whatever its size; blobs, request keys, retention, unique
    values that are handed on and the states of a temporal model add some. Rows that it changes are locked, so that
    writers of other nodes wait; what a lock cannot cover, an id or a unique value that another node takes meanwhile,
    its indexes refuse, and the batch begins again.

    Args:
        inline_limit: bytes; larger data is read from the records.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        pool: PostgresConnections,
        records: PostgresRecords,
        *,
        schema: str,
        inline_limit: int,
    ) -> None:
        self._spec = spec
        self._pool = pool
        self._records = records
        self._tables = PostgresTables(spec, schema, inline_limit)
        self._backfill = IndexBackfill(spec, PostgresBackfillEngine(spec, pool, self._tables, records))
        self._gets: GroupCommit[str, Head | None] = GroupCommit(self._get)

    async def open(self) -> None:
        async with self._pool.connection() as connection:
            await prepare(connection, self._spec, self._tables, self._records)
        await self._erase()
        await self._backfill.open()

    async def close(self) -> None:
        await self._backfill.close()
        await self._gets.drain()

    async def commit(self, batch: Sequence[Item], atomic: bool = False) -> list[Outcome]:
        was_lost = False
        for _ in range(_MAX_RETRIES):
            try:
                return await self._commit(batch, atomic)
            except WriteRace as error:
                logger.info("%s: a batch begins again: %s", self._spec.name, error)
                await give_up_claims_of_other_version(self._pool, self._tables, error, batch)
            except ConnectionLost:
                # Nothing is committed; after a restart of the server all of its connections are found dead.
                if was_lost:
                    raise
                was_lost = True
        if len(batch) > 1 and not atomic:
            return [(await self._commit_alone(write)) for write in batch]
        raise StorageUnavailable(f"PostgreSQL: other writers of {self._spec.name} were always faster.")

    async def get(self, resource_id: str, current: bool) -> Head | None:
        return await self._gets.submit(resource_id)

    async def search(self, query: Query) -> list[Head]:
        if query.at is not None:
            return await self._search_past(query)
        self._backfill.check(query)
        found: list[Head] = []
        for statement in self._tables.searches(query):
            sql, values = statement(query.limit + 1 - len(found))
            found += [head_of(row) for row in await self._pool.fetch(sql, *values)]
            if len(found) > query.limit:
                break
        return found

    async def count(self, query: Query) -> int:
        self._backfill.check(query)
        sql, values = self._tables.count(query)
        return int((await self._pool.fetch(sql, *values))[0][0])

    def snapshot_scan(self, query: Query, history: bool) -> AsyncIterator[Sequence[ScanItem]]:
        self._backfill.check(query)
        return snapshot_scan(self._pool, self._tables, query, history)

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        self._backfill.require(aggregation.fields)
        sql, compiler = self._tables.aggregate(aggregation)
        try:
            rows = await self._pool.fetch(sql, *compiler.values)
        except asyncpg.NumericValueOutOfRangeError as error:
            raise overflow_error() from error
        return [compiler.group(aggregation, row) for row in rows]

    async def commits(self, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        last = 2**62 if before is None else before
        rows = await self._pool.fetch(self._tables.history.commits_of, resource_id, last, limit)
        return [commit_of_row(row) for row in rows]

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        rows = await self._pool.fetch(self._tables.history.commit_at, resource_id, time)
        return commit_of_row(rows[0]) if rows else None

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        sql, values = self._tables.history.revisions(resource_id, span)
        return [revision_of(row) for row in await self._pool.fetch(sql, *values)]

    async def revision(self, resource_id: str, number: int, version: int | None) -> Revision | None:
        sql, values = self._tables.history.revision(resource_id, number, version)
        rows = await self._pool.fetch(sql, *values)
        return revision_of(rows[0]) if rows else None

    async def version_of_blob(self, resource_id: str, file_id: str) -> int | None:
        rows = await self._pool.fetch(self._tables.side_tables.version_of_blob, resource_id, file_id)
        version: int | None = rows[0][0]
        return version

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        rows = await self._pool.fetch(self._tables.side_tables.blobs_of, resource_id, version)
        return [file_id for (file_id,) in rows]

    async def blob(self, file_id: str) -> Blob | None:
        rows = await self._pool.fetch(self._tables.side_tables.blob, file_id)
        return Blob(*rows[0]) if rows else None

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        rows = await self._pool.fetch(self._tables.history.expired_revisions, before, after, limit)
        return [resource_id for (resource_id,) in rows]

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        place = ("", "") if after is None else (after.resource_id, after.time)
        rows = await self._pool.fetch(self._tables.side_tables.on_delete_tasks.pending_deletions, *place, limit)
        return [OnDeleteTask(*row) for row in rows]

    async def complete(self, done: Sequence[OnDeleteTask]) -> None:
        rows = [(item.resource_id, item.time) for item in done]
        async with self._pool.connection() as connection:
            if rows:
                await connection.execute(self._tables.side_tables.on_delete_tasks.complete, *columns_of(rows))

    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        return self._backfill.run()

    async def index_other_versions(self) -> None:
        await self._backfill.index_other_versions()

    async def vacuum(self) -> None:
        await self._erase(deferred=True)
        async with self._pool.connection() as connection:
            await connection.execute(self._tables.side_tables.drop_expired_keys, timestamp(datetime.now(UTC)))
        await self._backfill.resume()

    async def read(self, locator: str) -> bytes:
        return await self._records.data(locator)

    async def _search_past(self, query: Query) -> list[Head]:
        try:
            async with self._pool.connection() as connection:
                return await search_past(connection, self._tables.states, query)
        except ConnectionLost:
            async with self._pool.connection() as connection:
                return await search_past(connection, self._tables.states, query)

    async def _get(self, resource_ids: Sequence[str]) -> list[Head | None]:
        """Reads by id that arrived together, in one statement."""
        heads = {row[0]: head_of(row) for row in await self._pool.fetch(self._tables.get, list(set(resource_ids)))}
        return [heads.get(resource_id) for resource_id in resource_ids]

    async def _commit_alone(self, write: Item) -> Outcome:
        try:
            return (await self.commit([write]))[0]
        except AutoCRUDError as error:
            return error

    async def _commit(self, writes: Sequence[Item], atomic: bool) -> list[Outcome]:
        batch = Batch(self._tables, writes, f"records/{uuid7()}.ndjson", atomic)
        was_sent = was_answered = False
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
                was_sent = True
                was_answered = await self._pool.commit(transaction)
        except StorageUnavailable:
            # Where the connection ends behind the COMMIT, on its way back to the pool, the batch must not begin again.
            if not was_sent:
                raise
        if not was_answered and not await self._was_committed(transaction_id):
            await self._records.discard(batch.key)
            raise ConnectionLost("PostgreSQL went away before it committed.")
        return await self._erase_purged(batch)

    async def _stage(self, connection: Any, batch: Batch) -> str:
        """Decide and apply the batch in the open transaction, and store its records; the transaction's id."""
        rows = await connection.fetch(self._tables.lock, batch.resource_ids)
        transaction_id: str = rows[0][0]
        for _, resource_id, version, created_time, record, *unique in rows:
            if resource_id is not None:
                batch.add_row(resource_id, version, created_time, record, unique)
        if batch.purges:
            for resource_id, record in await connection.fetch(self._tables.history.first_records, batch.purges):
                batch.add_first_record(resource_id, record)
        claims_by_set = self._tables.group_claims(batch.possible_claims())
        if self._tables.holders is not None and any(claims_by_set):
            arguments = self._tables.holder_arguments(claims_by_set)
            for number, place, resource_id in await connection.fetch(self._tables.holders, *arguments):
                batch.add_holder((number, claims_by_set[number][place - 1]), resource_id)
        side_tables = self._tables.side_tables
        keys, blobs = batch.request_keys, batch.file_ids
        key_rows = await connection.fetch(side_tables.select_keys, keys) if keys else []
        blob_rows = await connection.fetch(side_tables.share_blobs, blobs) if blobs else []
        batch.add_blobs_and_keys((file_id for (file_id,) in blob_rows), key_rows)
        batch.decide()
        if batch.lines:
            await self._apply_and_persist(connection, batch)
        return transaction_id

    async def _apply_and_persist(self, connection: Any, batch: Batch) -> None:
        """Both at once: neither counts before COMMIT, and each takes its time elsewhere."""
        persisting = asyncio.ensure_future(self._persist(batch))
        try:
            await apply(connection, self._tables, batch)
        finally:
            # Records that are still on their way could not be discarded.
            await asyncio.wait([persisting])
        persisting.result()

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

    async def _erase_purged(self, batch: Batch) -> list[Outcome]:
        if not batch.purged_ids():
            return batch.outcomes
        try:
            await self._erase()
        except AutoCRUDError as error:
            message = f"Purged, but not yet erased; that is finished at the next purge or start. {error}"
            return batch.with_purges_refused(StorageUnavailable(message))
        return batch.outcomes

    async def _erase(self, *, deferred: bool = False) -> None:
        """Erase purged records now. Erase pruned records only if `deferred` is set."""
        history = self._tables.history
        pending = [tuple(row) for row in await self._pool.fetch(history.pending_erasures, deferred)]
        if pending:
            await self._records.erase(pending)
            async with self._pool.connection() as connection:
                await connection.execute(history.delete_erasures, [place for place, _ in pending])
