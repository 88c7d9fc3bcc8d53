"""Reads of a SQLite file that are no older than the log. One look at the log serves all models."""

from collections.abc import Callable, Sequence
from sqlite3 import Connection
from typing import TypeVar

from autocrud.errors import DataCorrupted
from autocrud.storage.commit_log.group_commit import GroupCommit
from autocrud.storage.commit_log.shared_looks import SharedLooks
from autocrud.storage.identity.guard import StoreGuard
from autocrud.storage.metadata.sqlite.connection import SqliteConnection
from autocrud.storage.metadata.sqlite.engine.commit_path import CommitPath
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.ports.types import Head

R = TypeVar("R")


class FreshReads:
    """Reads what is no older than the log was when the read began, or as old as the store is allowed to be.

    Args:
        guard: learns of damage that a look at the log finds.
    """

    def __init__(self, file: StoreFile, commits: CommitPath, guard: StoreGuard) -> None:
        self._file = file
        self._commits = commits
        self._guard = guard
        self._looks = SharedLooks(self._look)
        self._gets: GroupCommit[tuple[SqliteTables, str], Head | None] = GroupCommit(self._get)

    async def run(
        self,
        work: Callable[[Connection], R],
        *,
        reader: SqliteConnection | None = None,
        current: bool = False,
        expensive: bool = False,
    ) -> R:
        """Run a function that reads, on a connection for queries unless another is given.

        Args:
            current: the answer must not be stale.
            expensive: the time of the query grows with the model.

        Raises:
            Overloaded: the query is expensive, and no slot became free in time.
        """
        if self._commits.needs_look(current=current):
            await self.refresh()
        return await (self._file.queries.run(work, expensive=expensive) if reader is None else reader.run(work))

    async def get(self, tables: SqliteTables, resource_id: str, current: bool) -> Head | None:
        """Return a head."""
        if self._commits.needs_look(current=current):
            await self.refresh()
        return await self._gets.submit((tables, resource_id))

    async def refresh(self) -> None:
        """Apply what the log already has. One look serves all the reads that wait for it."""
        await self._looks.wait()

    async def drain(self) -> None:
        """Return when no read is under way."""
        await self._looks.drain()
        await self._gets.drain()

    async def _get(self, requests: Sequence[tuple[SqliteTables, str]]) -> list[Head | None]:
        """Reads by id that arrived together: one statement per model."""
        names: dict[SqliteTables, list[str]] = {}
        for tables, resource_id in requests:
            names.setdefault(tables, []).append(resource_id)

        def read(db: Connection) -> dict[SqliteTables, dict[str, Head]]:
            return {tables: tables.get(db, resource_ids) for tables, resource_ids in names.items()}

        heads = await self._file.short_reader.run(read)
        return [heads[tables].get(resource_id) for tables, resource_id in requests]

    async def _look(self) -> None:
        # A look at a log that may be another one finds out nothing.
        self._guard.require_intact()
        try:
            await self._commits.refresh()
        except DataCorrupted as error:
            raise self._guard.refuse(error) from error
