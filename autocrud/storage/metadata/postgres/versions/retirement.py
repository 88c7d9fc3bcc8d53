"""Drops what schema versions have in PostgreSQL whose processes no longer run."""

import logging
from typing import Any

from autocrud.schema.versions.column_names import retired_versions, version_of_name
from autocrud.storage.metadata.postgres.compiler import quote
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.metadata.postgres.versions.state_tables import state_tables

logger = logging.getLogger(__name__)


async def drop_retired_versions(connection: Any, tables: PostgresTables, lock_wait: str) -> None:
    """Drop columns, indexes and tables of schema versions below the two next lower ones, in the open transaction.

    Args:
        lock_wait: time limit for a lock, as PostgreSQL reads it.

    Raises:
        asyncpg.LockNotAvailableError: others read for too long.
    """
    rows = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped",
        tables.heads,
    )
    columns = {name: version_of_name(name) for (name,) in rows}
    states = await state_tables(connection, tables)
    present = {version for version in columns.values() if version is not None} | set(states.values())
    retired = retired_versions(tables.schema_version, present)
    if not retired:
        return
    logger.info("%s: dropping the index columns of schema versions %s", tables.heads_name, sorted(retired))
    await connection.execute(f"SET LOCAL lock_timeout = '{lock_wait}'")
    for table, version in states.items():
        if version in retired:
            await connection.execute(f"DROP TABLE {table}")
    # With a column, PostgreSQL drops its indexes.
    drops = ", ".join(f"DROP COLUMN {quote(name)}" for name, version in columns.items() if version in retired)
    if drops:
        await connection.execute(f"ALTER TABLE {tables.heads} {drops}")
    await connection.execute("SET LOCAL lock_timeout = 0")
    fields = tables.index_states
    names = [column for column in await fields.states(connection) if fields.version_of(column) in retired]
    await connection.execute(f'DELETE FROM {fields.table} WHERE "column" = ANY($1::text[])', names)
