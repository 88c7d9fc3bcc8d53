"""The SQLite file of a store: its connections, and the lock of the writer."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any

from autocrud.storage.metadata.sqlite.connection import SqliteConnection, in_transaction

_MAX_QUERY_READERS = 4


class StoreFile:
    """Connections to one SQLite file, which all models of a store share.

    Args:
        locate: returns the path of the file, each time that it opens.

    Attributes:
        writer: the connection that writes. Its transactions begin and end under `lock`.
        short_reader: connection for reads by id, which no query may hold up.
    """

    def __init__(self, locate: Callable[[], Path]) -> None:
        self._locate = locate
        self.path = Path()
        self.lock = asyncio.Lock()
        self.writer = SqliteConnection()
        self.short_reader = SqliteConnection(read_only=True)
        readers = min(_MAX_QUERY_READERS, max(os.cpu_count() or 1, 2))
        self._query_readers = [SqliteConnection(read_only=True) for _ in range(readers)]
        self._next = 0

    def locate(self) -> Path:
        """Set and return the path."""
        self.path = self._locate()
        return self.path

    async def open_readers(self) -> None:
        """Connect the readers."""
        for reader in (self.short_reader, *self._query_readers):
            await reader.open(self.path)

    async def close(self) -> None:
        """Disconnect. May be called twice."""
        for connection in (self.short_reader, *self._query_readers, self.writer):
            await connection.close()

    @property
    def query_reader(self) -> SqliteConnection:
        """A connection for queries. They take turns."""
        self._next = (self._next + 1) % len(self._query_readers)
        return self._query_readers[self._next]

    async def write(self, work: Callable[[Connection], Any]) -> None:
        """Run a function in a transaction that writes."""
        async with self.lock:
            await self.writer.run(partial(in_transaction, work))
