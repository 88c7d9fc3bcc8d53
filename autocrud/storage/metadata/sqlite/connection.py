"""A SQLite connection on a thread of its own, so that the event loop never waits for a file (invariant 10)."""

import asyncio
import fcntl
import os
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from autocrud.errors import DataCorrupted, QueryTooExpensive, StorageUnavailable
from autocrud.storage.metadata.sqlite.aggregate import add_aggregates
from autocrud.storage.metadata.sqlite.compiler import add_functions
from autocrud.storage.ports.not_open import StorageNotOpen
from autocrud.storage.ports.private_files import open_private

R = TypeVar("R")

Work = Callable[[sqlite3.Connection], Any]
_Call = tuple[Work, asyncio.Future[Any]]
_Result = tuple[asyncio.Future[Any], Any, BaseException | None]

# How long to wait for another process's transaction, in seconds, before the store counts as away.
_BUSY_TIMEOUT = 30.0
_CHECKPOINT_TIMEOUT = 5.0
_PROGRESS_STEPS = 1000  # instructions of SQLite between two looks at the clock; a pattern is matched in one of them

# A checkpoint syncs, and holds up the batch in which it falls; 64 MiB of log between two of them. Pages that are
# written often, as those of indexes are, are copied once.
_CHECKPOINT_PAGES = 16384

# Indexes are written all over; what is not in memory is read and written again for each row. With 32 MiB, 200,000 bulk
# creates on S3 or on disk took no less CPU time, and the process took 28 MiB more.
_WRITER_CACHE_KIB = 16 * 1024


class BatchingConnection(aiosqlite.Connection):
    """An aiosqlite connection that also runs functions of several statements, each as a whole.

    Calls that wait together are run, and answered, in one hop to the thread and back: under load a hop costs many
    calls next to nothing.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        super().__init__(partial(_connect, path, read_only), iter_chunk_size=64)
        self._path = path
        self._calls: deque[_Call] = deque()
        self._is_hop_queued = False
        self._thread.name = f"sqlite {path.name}"
        self._thread.daemon = True  # a process that ends without closing must not wait for it

    def run(self, work: Callable[[sqlite3.Connection], R]) -> asyncio.Future[R]:
        """Run the function on the thread. The future has its result or error."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._calls.append((work, future))
        if not self._is_hop_queued:
            self._is_hop_queued = True
            # aiosqlite's own calls take one hop each, so this goes to its queue.
            self._tx.put_nowait((None, self._run_calls))
        return future

    def _run_calls(self) -> None:
        # Cleared before the calls are counted: a call that is not counted queues a hop of its own.
        self._is_hop_queued = False
        connection, results = self._conn, list[_Result]()
        for _ in range(len(self._calls)):
            work, future = self._calls.popleft()
            try:
                results.append((future, work(connection), None))
            except BaseException as error:  # the thread's boundary: the caller gets it
                results.append((future, None, _translate(error, self._path)))
        if results:
            results[0][0].get_loop().call_soon_threadsafe(_deliver, results)


class SqliteConnection:
    """A connection to a SQLite file that can be opened again after it was closed.

    Args:
        read_only: refuse to write.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._connection: BatchingConnection | None = None

    async def open(self, path: Path) -> None:
        """Connect to the database file, which is created if absent.

        Raises:
            StorageUnavailable, DataCorrupted: as `run`.
        """
        connection = BatchingConnection(path, read_only=self._read_only)
        connecting = asyncio.ensure_future(connection)
        try:
            await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # The thread connects all the same.
            with suppress(sqlite3.Error, OSError):
                await connecting
                await connection.close()
            raise
        except sqlite3.Error as error:
            raise _translate(error, path) from error
        self._connection = connection

    def run(self, work: Callable[[sqlite3.Connection], R]) -> asyncio.Future[R]:
        """Run the function on the thread. The future has its result or error.

        Raises:
            StorageNotOpen: `open` was not called.
            StorageUnavailable: the database is locked, full, or cannot be read or written.
            DataCorrupted: the file is not the database that was written.
        """
        if self._connection is None:
            raise StorageNotOpen
        return self._connection.run(work)

    async def close(self) -> None:
        """Finish what was asked for, and disconnect. May be called twice."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()


async def read_once(path: Path, work: Callable[[sqlite3.Connection], R]) -> R:
    """Run the function on a connection of its own that refuses to write.

    Raises:
        StorageUnavailable, DataCorrupted: as `SqliteConnection.run`.
    """
    connection = SqliteConnection(read_only=True)
    await connection.open(path)
    try:
        return await connection.run(work)
    finally:
        await connection.close()


def with_limit(work: Callable[[sqlite3.Connection], R], seconds: float | None) -> Callable[[sqlite3.Connection], R]:
    """Return the function with a limit of time, after which SQLite interrupts its statement.

    The returned function raises:
        QueryTooExpensive: the statement took too long.
    """
    if seconds is None:
        return work

    def limited(db: sqlite3.Connection) -> R:
        end = time.monotonic() + seconds
        db.set_progress_handler(lambda: time.monotonic() > end, _PROGRESS_STEPS)
        try:
            return work(db)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise QueryTooExpensive from error
            raise
        finally:
            db.set_progress_handler(None, 0)

    return limited


def begin(db: sqlite3.Connection) -> None:
    """Begin a transaction that writes; processes that share the file take turns, a millisecond or so at a time.

    SQLite's own waiting backs off to a tenth of a second, and lets the process that has just finished be the next.
    """
    deadline = time.monotonic() + _BUSY_TIMEOUT
    db.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                # The low byte of an extended code, such as SQLITE_BUSY_RECOVERY while another process opens a new file.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(0.0002, 0.001))
            else:
                return
    finally:
        db.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT * 1000:.0f}")


def truncate_wal(db: sqlite3.Connection) -> None:
    """Empty the write-ahead log into the file.

    SQLite waits for readers and writers by itself, but not for another process's checkpoint
    (https://www.sqlite.org/c3ref/wal_checkpoint_v2.html).

    Raises:
        StorageUnavailable: a reader keeps it from being emptied.
    """
    deadline = time.monotonic() + _CHECKPOINT_TIMEOUT
    while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        if time.monotonic() > deadline:
            raise StorageUnavailable("A reader keeps SQLite's write-ahead log from being emptied.")
        time.sleep(random.uniform(0.001, 0.01))


def in_transaction(work: Work, db: sqlite3.Connection) -> None:
    """Run the work in a transaction of its own: all of it, or none."""
    begin(db)
    try:
        work(db)
        db.commit()
    except BaseException:
        db.rollback()
        raise


def _connect(path: Path, read_only: bool) -> sqlite3.Connection:
    # The switch to WAL needs the file alone, and does not wait for it: processes that start together take turns.
    with open(path.with_suffix(".lock"), "a", opener=open_private) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # SQLite gives its other files the mode of this file. To close a file that is in use would end all locks of this
        # process on it (POSIX), so only a new file is opened.
        with suppress(FileExistsError):
            os.close(open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, cached_statements=256)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA query_only = {int(read_only)}")
            if not read_only:
                connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
            add_functions(connection)
            add_aggregates(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _deliver(results: list[_Result]) -> None:
    for future, result, error in results:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _translate(error: BaseException, path: Path) -> BaseException:
    """The project's error for the driver's: the one place where SQLite's errors are told apart."""
    if isinstance(error, sqlite3.OperationalError):
        translated: Exception = StorageUnavailable(f"{path.name}: {error}.")
    elif isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError
    ):
        translated = DataCorrupted(f"{path}: {error}. Remove it, and it is built again from the log.")
    else:
        return error
    translated.__cause__ = error
    return translated
