"""Fills the states of a model that became temporal, or got an index field, from its commits and their data."""

import logging
from collections.abc import Awaitable, Callable
from sqlite3 import Connection
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.metadata.sqlite.connection import SqliteConnection, begin
from autocrud.storage.metadata.sqlite.engine.file import StoreFile
from autocrud.storage.metadata.sqlite.tables import SqliteTables
from autocrud.storage.point_in_time import read_index_values, states_of

logger = logging.getLogger(__name__)

_RESOURCES = 200  # of one transaction


async def fill_states(
    file: StoreFile,
    spec: ModelSpec[Any],
    tables: SqliteTables,
    stored_index: StoredIndex,
    read: Callable[[str], Awaitable[bytes]],
) -> None:
    """Create what a temporal model needs, and fill it, some resources at a time; what a crash interrupts goes on.

    Args:
        read: the data that a locator names.

    Raises:
        ConfigurationError: stored data does not fit a column.
    """

    def create(db: Connection) -> None:
        if tables.states.create(db):
            tables.index_states.begin_states(db)

    if not spec.temporal:
        return
    await file.write(create)
    if not await file.writer.run(tables.states.is_incomplete):
        return
    after: str | None = ""
    done = 0
    while after is not None:
        async with file.lock:
            await file.writer.run(begin)
            try:
                after, resources = await _fill_resources(file.writer, spec, tables, stored_index, read, after)
                await file.writer.run(Connection.commit)
            except BaseException:
                await file.writer.run(Connection.rollback)
                raise
        done += resources
        if resources:
            logger.info("%s: filled the states of %d resources", spec.name, done)
    stored_index.report()
    await file.write(tables.states.create_indexes)


async def _fill_resources(
    writer: SqliteConnection,
    spec: ModelSpec[Any],
    tables: SqliteTables,
    stored_index: StoredIndex,
    read: Callable[[str], Awaitable[bytes]],
    after: str,
) -> tuple[str | None, int]:
    """Fill some resources; the id to go on behind, None at the end, and how many they were."""
    rows = await writer.run(lambda db: tables.states.find_unfilled(db, after, _RESOURCES))
    if not rows:
        return None, 0
    heads = {resource_id: data for resource_id, _, _, data in rows}
    commits = await writer.run(lambda db: tables.history.all_commits_of(db, list(heads)))
    states = states_of(spec, commits, await read_index_values(spec, stored_index, commits, read, heads))
    created = {resource_id: (time, by) for resource_id, time, by, _ in rows}
    await writer.run(lambda db: tables.states.fill(db, created, states))
    return rows[-1][0], len(rows)
