"""Reads of a SQLite file that are no older than the log. One look at the log serves all models."""

from collections.abc import Callable, Sequence
from math import inf
from sqlite3 import Connection
from time import monotonic
from typing import TypeVar

from autocrud.errors import DataCorrupted
from autocrud.storage.commit_log.group_commit import GroupCommit
from autocrud.storage.commit_log.log import Log
from autocrud.storage.identity.guard import StoreGuard
from autocrud.storage.metadata.sqlite.connection import SqliteConnection
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.engine.log_replay import LogReplayer
from autocrud.storage.metadata.sqlite.engine.store_tables import read_tail
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.types import Head

R = TypeVar("R")


class FreshReads:
    """Reads what is no older than the log was when the read began, or as old as the store is allowed to be.

    Args:
        guard: learns of damage that a look at the log finds.
        max_staleness: seconds that a read may be behind the log.

    Attributes:
        checked_at: time of the last look at the log.
    """

    def __init__(
        self, file: StoreFile, log: Log, replayer: LogReplayer, guard: StoreGuard, max_staleness: float
    ) -> None:
        self._file = file
        self._log = log
        self._replayer = replayer
        self._guard = guard
        self._max_staleness = max_staleness
        self.checked_at = -inf
        self._looks: GroupCommit[None, None] = GroupCommit(self._guarded_look)
        self._gets: GroupCommit[tuple[SqliteTables, str, bool], Head | None] = GroupCommit(self._get)

    async def run(
        self, work: Callable[[Connection], R], *, reader: SqliteConnection | None = None, current: bool = False
    ) -> R:
        """Run a function that reads, on a connection for queries unless another is given.

        Args:
            current: the answer must not be stale.
        """
        connection = self._file.query_reader if reader is None else reader
        if not current and self._max_staleness and monotonic() - self.checked_at <= self._max_staleness:
            return await connection.run(work)

        def read(db: Connection) -> tuple[R] | None:
            """In one hop, where a look at the log costs no more than a system call, and it has not moved on."""
            return (work(db),) if self._log.blocking_exists(self._replayer.tail.sequence + 1) is False else None

        if self._log.has_blocking_exists:
            found = await connection.run(read)
            if found is not None:
                return found[0]
        await self.refresh()
        return await connection.run(work)

    async def get(self, tables: SqliteTables, resource_id: str, current: bool) -> Head | None:
        """Return a head."""
        return await self._gets.submit((tables, resource_id, current))

    async def refresh(self) -> None:
        """Apply whatever the log already holds; one look serves all the reads that wait for it."""
        await self._looks.submit(None)

    async def drain(self) -> None:
        """Return when no read is under way."""
        await self._gets.drain()
        await self._looks.drain()

    async def _get(self, requests: Sequence[tuple[SqliteTables, str, bool]]) -> list[Head | None]:
        """Reads by id that arrived together: one statement per model."""
        names: dict[SqliteTables, list[str]] = {}
        for tables, resource_id, _ in requests:
            names.setdefault(tables, []).append(resource_id)

        def read(db: Connection) -> dict[SqliteTables, dict[str, Head]]:
            return {tables: tables.get(db, resource_ids) for tables, resource_ids in names.items()}

        current = any(current for *_, current in requests)
        heads = await self.run(read, reader=self._file.short_reader, current=current)
        return [heads[tables].get(resource_id) for tables, resource_id, _ in requests]

    async def look(self) -> None:
        """Look at the log once, and apply what follows.

        Raises:
            DataCorrupted: the next object is no entry of this log.
        """
        started_at = monotonic()
        # Processes that share the file have brought it further than this one knows.
        tail = self._replayer.tail = await self._file.short_reader.run(read_tail)
        if await self._log.read(tail.sequence + 1) is not None:
            # It may be this process's own, on its way into SQLite, and then there may be more behind it.
            async with self._file.lock:
                await self._replayer.catch_up()
        self.checked_at = started_at

    async def _guarded_look(self, waiting: Sequence[None]) -> list[None]:
        # A look at a log that may be another one finds out nothing.
        self._guard.require_intact()
        try:
            await self.look()
        except DataCorrupted as error:
            raise self._guard.refuse(error) from error
        return [None] * len(waiting)
