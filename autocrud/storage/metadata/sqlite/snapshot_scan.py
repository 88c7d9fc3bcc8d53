"""Snapshot scan of a SQLite file, page by page, while writers go on."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection, Cursor
from typing import Any

from autocrud.query.conditions import Query
from autocrud.storage.metadata.sqlite.compiler import SqliteCompiler
from autocrud.storage.metadata.sqlite.connection import SqliteConnection
from autocrud.storage.metadata.sqlite.history_tables import commit_columns, commit_of_row
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.types import CommitEntry, Head, ScanItem

_PAGE = 200
_HEAD = "resource_id, version, is_deleted, created_time, meta, revision_info, head, head_locator"


async def snapshot_scan(
    path: Path, tables: SqliteTables, query: Query, history: bool
) -> AsyncIterator[Sequence[ScanItem]]:
    """Yield the query's heads, or their commits, as of the call, on a connection of its own.

    The scan is one statement, run once: SQLite retains for it the pages that writers replace meanwhile.
    """
    select = _select_commits if history else _select_heads
    to_item = _commit_entry if history else _head
    connection = SqliteConnection(read_only=True)
    await connection.open(path)
    cursor: Cursor | None = None
    try:
        cursor = rows = await connection.run(lambda db: select(db, tables, query))
        while page := await connection.run(lambda db: rows.fetchmany(_PAGE)):
            yield [to_item(row) for row in page]
    finally:
        if cursor is not None:
            await connection.run(lambda db: rows.close())
        await connection.close()


def _select_heads(db: Connection, tables: SqliteTables, query: Query) -> Cursor:
    compiler = SqliteCompiler(tables.base)
    where = f"{compiler.live(query)} AND {compiler.where(query.where)}"
    return db.execute(f"SELECT {_HEAD} FROM {tables.heads} WHERE {where} ORDER BY resource_id", compiler.values)


def _select_commits(db: Connection, tables: SqliteTables, query: Query) -> Cursor:
    compiler = SqliteCompiler(tables.base)
    selection = f"{compiler.live(query)} AND {compiler.where(query.where)}"
    # The commits come in the order of their key, and each finds its head by one look.
    joined_tables = f"{tables.history.commits} c CROSS JOIN {tables.heads} h ON h.resource_id = c.resource_id"
    where = f"EXISTS (SELECT 1 FROM {tables.heads} s WHERE s.resource_id = c.resource_id AND {selection})"
    order = "ORDER BY c.resource_id, c.version"
    sql = f"SELECT h.created_time, h.created_by, {commit_columns('c')} FROM {joined_tables} WHERE {where} {order}"
    return db.execute(sql, compiler.values)


def _head(row: Sequence[Any]) -> ScanItem:
    resource_id, version, is_deleted, *rest = row
    return Head(resource_id, version, bool(is_deleted), *rest)


def _commit_entry(row: Iterable[Any]) -> ScanItem:
    created_time, created_by, *commit = row
    return CommitEntry(commit_of_row(commit), datetime.fromisoformat(created_time), created_by)
