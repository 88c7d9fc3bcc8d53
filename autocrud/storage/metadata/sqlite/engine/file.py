"""The SQLite file of a store: its connections, and the lock of the writer."""

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

from autocrud.storage.metadata.sql.query_slots import QuerySlots
from autocrud.storage.metadata.sqlite.connection import SqliteConnection, in_transaction

R = TypeVar("R")

_MAX_QUERY_READERS = 4
_MAX_SCANS = 8  # each has a connection and a thread of its own
_EXPENSIVE_LOAD = 1_000_000  # a plain query waits behind any number of others rather than behind this one


class QueryReaders:
    """Connections for queries. Expensive queries leave one of them to the others.

    Args:
        size: number of connections, at least two.
    """

    def __init__(self, size: int) -> None:
        self.connections = [SqliteConnection(read_only=True) for _ in range(size)]
        self._loads = [0] * size
        self._slots = QuerySlots(size - 1)

    async def run(self, work: Callable[[Connection], R], *, expensive: bool = False) -> R:
        """Run a function that reads, on the connection with the least load.

        Raises:
            Overloaded: the query is expensive, and no slot became free in time.
            StorageUnavailable, DataCorrupted: as `SqliteConnection.run`.
        """
        if not expensive:
            return await self._run(work, 1)
        async with self._slots.hold():
            return await self._run(work, _EXPENSIVE_LOAD)

    async def _run(self, work: Callable[[Connection], R], load: int) -> R:
        number = min(range(len(self._loads)), key=self._loads.__getitem__)
        self._loads[number] += load
        try:
            return await self.connections[number].run(work)
        finally:
            self._loads[number] -= load


class StoreFile:
    """Connections to one SQLite file, which all models of a store share.

    Args:
        locate: returns the path of the file, each time that it opens.

    Attributes:
        writer: the connection that writes. Its transactions begin and end under `lock`.
        short_reader: connection for reads by id, which no query may hold up.
        queries: connections for queries.
        scan_slots: slots of snapshot scans.
    """

    def __init__(self, locate: Callable[[], Path]) -> None:
        self._locate = locate
        self.path = Path()
        self.lock = asyncio.Lock()
        self.writer = SqliteConnection()
        self.short_reader = SqliteConnection(read_only=True)
        self.queries = QueryReaders(min(_MAX_QUERY_READERS, max(os.cpu_count() or 1, 2)))
        self.scan_slots = QuerySlots(_MAX_SCANS)

    def locate(self) -> Path:
        """Set and return the path."""
        self.path = self._locate()
        return self.path

    async def open_readers(self) -> None:
        """Connect the readers."""
        for reader in (self.short_reader, *self.queries.connections):
            await reader.open(self.path)

    async def close(self) -> None:
        """Disconnect. May be called twice."""
        for connection in (self.short_reader, *self.queries.connections, self.writer):
            await connection.close()

    async def write(self, work: Callable[[Connection], Any]) -> None:
        """Run a function in a transaction that writes."""
        async with self.lock:
            await self.writer.run(partial(in_transaction, work))
