"""Tables of states in PostgreSQL that temporal models of several schema versions have."""

from collections.abc import Sequence
from typing import Any

from autocrud.schema.versions.column_names import version_of_name
from autocrud.storage.metadata.postgres.compiler import quote
from autocrud.storage.metadata.postgres.tables import PostgresTables, columns_of


async def state_tables(connection: Any, tables: PostgresTables) -> dict[str, int]:
    """Return the schema versions of the tables of states, by quoted name."""
    base = tables.heads_name.removesuffix("resources")
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relkind = 'r' AND starts_with(c.relname, $2)",
        tables.schema,
        f"{base}states",
    )
    names = [name for (name,) in rows]
    versions = {name: version_of_name(name.removeprefix(base)) for name in names}
    return {
        f"{quote(tables.schema)}.{quote(name)}": version for name, version in versions.items() if version is not None
    }


async def purge_other_states(connection: Any, tables: PostgresTables, resource_ids: Sequence[str]) -> None:
    """Erase purged resources from the tables of other schema versions, whose processes may never run again."""
    for table in await _other_tables(connection, tables):
        await connection.execute(f"DELETE FROM {table} WHERE resource_id = ANY($1::text[])", resource_ids)


async def prune_other_states(connection: Any, tables: PostgresTables, pruned: Sequence[tuple[Any, ...]]) -> None:
    """Erase states of pruned data from the tables of other schema versions.

    A process of such a version finds that they are missing, and adds them without the data.

    Args:
        pruned: resources and versions.
    """
    for table in await _other_tables(connection, tables):
        await connection.execute(
            f"DELETE FROM {table} s USING {tables.history.commits} c"
            " JOIN unnest($1::text[], $2::bigint[]) AS gone (resource_id, version) USING (resource_id, version)"
            " WHERE s.resource_id = c.resource_id AND s.current_revision_id = c.revision_id",
            *columns_of(pruned),
        )


async def _other_tables(connection: Any, tables: PostgresTables) -> list[str]:
    found = await state_tables(connection, tables)
    return [table for table, version in found.items() if version != tables.schema_version]
