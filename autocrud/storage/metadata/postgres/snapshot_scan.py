"""Snapshot scan of a model's tables, page by page, while writers go on."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from autocrud.query.conditions import Query
from autocrud.storage.metadata.postgres.compiler import PostgresCompiler
from autocrud.storage.metadata.postgres.connection import PostgresConnections
from autocrud.storage.metadata.postgres.history_tables import commit_columns, commit_of_row
from autocrud.storage.metadata.postgres.tables import HEAD, PostgresTables, head_of
from autocrud.storage.ports.types import CommitEntry, ScanItem

_PAGE = 200
_NO_TIMEOUTS = "SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0"
_PAGE_TIMEOUT_S = 600.0  # for a page: the first one may need a sort of all


async def snapshot_scan(
    pool: PostgresConnections, tables: PostgresTables, query: Query, history: bool
) -> AsyncIterator[Sequence[ScanItem]]:
    """Yield the query's heads, or their commits, as of the call. The transaction holds a connection until it ends."""
    compiler = PostgresCompiler()
    sql = (_select_commits if history else _select_heads)(compiler, tables, query)
    to_item = _commit_entry if history else head_of
    moment = {"isolation": "repeatable_read", "readonly": True}
    async with pool.query_slot(expensive=True), pool.connection() as connection, connection.transaction(**moment):
        # Whoever reads slowly is idle in between, and no statement takes long but for the first.
        await connection.execute(_NO_TIMEOUTS)
        cursor = await connection.cursor(sql, *compiler.values)
        while rows := await cursor.fetch(_PAGE, timeout=_PAGE_TIMEOUT_S):
            yield [to_item(row) for row in rows]


def _select_heads(compiler: PostgresCompiler, tables: PostgresTables, query: Query) -> str:
    where = f"{compiler.live(query)} AND {compiler.where(query.where)}"
    return f"SELECT {HEAD} FROM {tables.heads} WHERE {where} ORDER BY resource_id"


def _select_commits(compiler: PostgresCompiler, tables: PostgresTables, query: Query) -> str:
    selection = f"SELECT resource_id FROM {tables.heads} WHERE {compiler.live(query)} AND {compiler.where(query.where)}"
    joined_tables = f"{tables.history.commits} c JOIN {tables.heads} h ON h.resource_id = c.resource_id"
    where = f"c.resource_id IN ({selection}) ORDER BY c.resource_id, c.version"
    return f"SELECT h.created_time, h.created_by, {commit_columns('c')} FROM {joined_tables} WHERE {where}"


def _commit_entry(row: Any) -> ScanItem:
    created_time, created_by, *commit = row
    return CommitEntry(commit_of_row(commit), created_time, created_by)
