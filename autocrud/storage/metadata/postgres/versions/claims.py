"""Unique values in PostgreSQL that schema versions dispute: each version holds its own writes to its own rules."""

from collections.abc import Sequence
from typing import Any

from autocrud.schema.versions.column_names import columns_in_target, version_in_target
from autocrud.storage.metadata.postgres.compiler import quote
from autocrud.storage.metadata.postgres.schema import present_indexes
from autocrud.storage.metadata.postgres.tables import PostgresTables


async def give_up_claims_of_other_version(
    connection: Any, tables: PostgresTables, constraint: str, resource_ids: Sequence[str]
) -> None:
    """Clear the columns of another schema version whose unique index refuses a batch of this version.

    Such a column holds an older value, which the batch leaves as it is, for instance when a resource is restored.

    Args:
        constraint: name of the index. An index of this version has no effect.
        resource_ids: resources of the batch.
    """
    statement = (await present_indexes(connection, tables)).get(constraint) or ""
    target = statement.partition(f" ON {tables.heads} ")[2]
    version = version_in_target(target)
    if version in (None, tables.schema_version):
        return
    assignments = ", ".join(f"{quote(name)} = NULL" for name in columns_in_target(target))
    await connection.execute(
        f"UPDATE {tables.heads} SET {assignments} WHERE resource_id = ANY($1::text[])", sorted(resource_ids)
    )
    await connection.execute(tables.index_states.mark_version_stale(version))
