"""Unique values in PostgreSQL that schema versions dispute: each version holds its own writes to its own rules."""

from collections.abc import Sequence

from autocrud.schema.versions.column_names import columns_in_target, version_in_target
from autocrud.storage.metadata.postgres.compiler import quote
from autocrud.storage.metadata.postgres.connection import PostgresConnections, WriteRace
from autocrud.storage.metadata.postgres.schema import present_indexes
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.ports.types import Item, Write


async def give_up_claims_of_other_version(
    pool: PostgresConnections, tables: PostgresTables, error: WriteRace, batch: Sequence[Item]
) -> None:
    """Clear the columns of another schema version whose unique index refuses a batch of this version.

    Such a column holds an older value, which the batch leaves as it is, for instance when a resource is restored.

    Args:
        error: what refused the batch. An index of this version, and other reasons, have no effect.
    """
    if error.constraint is None:
        return
    resource_ids = sorted({item.meta.resource_id for item in batch if isinstance(item, Write)})
    async with pool.connection() as connection, connection.transaction():
        statement = (await present_indexes(connection, tables)).get(error.constraint) or ""
        target = statement.partition(f" ON {tables.heads} ")[2]
        version = version_in_target(target)
        if version is None or version == tables.schema_version:
            return
        assignments = ", ".join(f"{quote(name)} = NULL" for name in columns_in_target(target))
        sql = f"UPDATE {tables.heads} SET {assignments} WHERE resource_id = ANY($1::text[])"
        await connection.execute(sql, resource_ids)
        await connection.execute(tables.index_states.mark_version_stale(version))
