"""A SQLite connection on a thread of its own, so that the event loop never waits for a file (invariant 10)."""

import asyncio
import fcntl
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.metadata.sqlite.aggregate import add_aggregates
from autocrud.storage.metadata.sqlite.compiler import add_functions
from autocrud.storage.ports.not_open import StorageNotOpen

R = TypeVar("R")

Work = Callable[[sqlite3.Connection], Any]
_Call = tuple[Work, asyncio.Future[Any]]
_Result = tuple[asyncio.Future[Any], Any, BaseException | None]

# How long to wait for another process's transaction, in seconds, before the store counts as away.
_BUSY_TIMEOUT = 30.0
_CHECKPOINT_TIMEOUT = 5.0

# A checkpoint syncs, and holds up the batch in which it falls; 64 MiB of log between two of them. Pages that are
# written often, as those of indexes are, are copied once.
_CHECKPOINT_PAGES = 16384

# Indexes are written all over; what is not in memory is read and written again for each row.
_WRITER_CACHE_KIB = 32 * 1024


class SqliteConnection:
    """Runs functions on a connection, one after the other, each as a whole.

    Calls that wait together are run, and answered, in one hop to the thread and back: under load a hop costs many
    calls next to nothing.

    Args:
        read_only: refuse to write.
    """

    def __init__(self, *, read_only: bool = False) -> None:
        self._path = Path()
        self._read_only = read_only
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    async def open(self, path: Path) -> None:
        """Connect to the database file, which is created if absent.

        Raises:
            StorageUnavailable, DataCorrupted: as `run`.
        """
        self._path = path
        self._thread = threading.Thread(target=self._serve, name=f"sqlite {self._path.name}", daemon=True)
        self._thread.start()
        try:
            await self.run(lambda connection: connection.execute("SELECT 1").fetchone())
        except BaseException:
            await self.close()
            raise

    async def run(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Run the function on the thread, and return or raise what it does.

        Raises:
            StorageNotOpen: `open` was not called.
            StorageUnavailable: the database is locked, full, or cannot be read or written.
            DataCorrupted: the file is not the database that was written.
        """
        if self._thread is None:
            raise StorageNotOpen
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._calls.put((work, future))
        return await future

    async def close(self) -> None:
        """Finish what was asked for, and disconnect. May be called twice."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            self._calls.put(None)
            await asyncio.to_thread(thread.join)

    def _serve(self) -> None:
        connection: sqlite3.Connection | None = None
        stopping = False
        while not stopping:
            calls = [self._calls.get()]
            while not self._calls.empty():
                calls.append(self._calls.get())
            results: list[_Result] = []
            for call in calls:
                if call is None:
                    stopping = True
                    continue
                work, future = call
                try:
                    if connection is None:
                        connection = self._connect()
                    results.append((future, work(connection), None))
                except BaseException as error:  # the thread's boundary: whoever waits gets it
                    results.append((future, None, _translate(error, self._path)))
            if results:
                results[0][0].get_loop().call_soon_threadsafe(_deliver, results)
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        # The switch to WAL needs the file alone, and does not wait for it: processes that start together take turns.
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT, isolation_level=None, cached_statements=256)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA query_only = {int(self._read_only)}")
            if not self._read_only:
                connection.execute(f"PRAGMA cache_size = -{_WRITER_CACHE_KIB}")
            add_functions(connection)
            add_aggregates(connection)
        return connection


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
