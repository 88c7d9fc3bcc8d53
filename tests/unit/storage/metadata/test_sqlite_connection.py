"""SQLite connections: calls that wait together, errors, and processes that share one file."""

import asyncio
import sqlite3
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.metadata.sqlite.connection import SqliteConnection, begin, read_once
from autocrud.storage.ports.not_open import StorageNotOpen


class _RecoveredFile(sqlite3.Connection):
    """A connection to a file that another process opens for the first time."""

    refusals = 2

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if sql == "BEGIN IMMEDIATE" and self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
            raise error
        return super().execute(sql, *arguments)


def test_transaction_on_a_file_that_another_process_recovers_waits() -> None:
    """Two processes that start on a new store do not fail."""
    connection = sqlite3.connect(":memory:", factory=_RecoveredFile, isolation_level=None)
    begin(connection)
    assert connection.in_transaction
    connection.close()


async def test_calls_that_wait_together_are_answered_in_order(tmp_path: Path) -> None:
    """An error answers its own call only. All run on the thread of the connection."""
    connection, gate = SqliteConnection(), threading.Event()
    await connection.open(tmp_path / "one.sqlite")
    threads: list[str] = []

    def select(number: int, db: sqlite3.Connection) -> int:
        threads.append(threading.current_thread().name)
        return 10 // number

    first = connection.run(lambda db: gate.wait())
    calls = [connection.run(partial(select, number)) for number in (1, 0, 2)]
    cancelled = connection.run(partial(select, 5))
    cancelled.cancel()
    gate.set()
    await first
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [results[0], type(results[1]), results[2]] == [10, ZeroDivisionError, 5]
    assert set(threads) == {"sqlite one.sqlite"}
    await connection.close()


async def test_closed_connection_finishes_its_calls_and_opens_again(tmp_path: Path) -> None:
    """A second close has no effect, and a closed connection refuses calls."""
    connection = SqliteConnection()
    for number in range(2):
        await connection.open(tmp_path / "one.sqlite")
        last = connection.run(lambda db: db.execute("CREATE TABLE IF NOT EXISTS t (a)").fetchone())
        await asyncio.gather(connection.close(), connection.close())
        assert last.done(), number
        with pytest.raises(StorageNotOpen):
            await connection.run(lambda db: None)
    assert await read_once(tmp_path / "one.sqlite", lambda db: db.execute("SELECT count(*) FROM t").fetchone()) == (0,)


async def test_cancelled_open_leaves_no_connection(tmp_path: Path) -> None:
    """The thread ends, also if it had connected."""
    opening = asyncio.ensure_future(SqliteConnection().open(tmp_path / "cancelled.sqlite"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    for thread in threading.enumerate():
        if thread.name == "sqlite cancelled.sqlite":
            await asyncio.to_thread(thread.join, 10)
            assert not thread.is_alive()


async def test_errors_of_sqlite_become_errors_of_the_project(tmp_path: Path) -> None:
    """A file that is no database is damage. A statement that fails, or a write by a reader, is unavailability."""
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database" * 1000)
    with pytest.raises(DataCorrupted, match="Remove it"):
        await read_once(damaged, lambda db: None)
    with pytest.raises(StorageUnavailable, match="readonly"):
        await read_once(tmp_path / "one.sqlite", lambda db: db.execute("CREATE TABLE t (a)"))
