"""Tables of all models in a PostgreSQL schema, registered or not."""

from autocrud.storage.metadata.postgres.compiler import quote
from autocrud.storage.metadata.postgres.connection import PostgresConnections

_SUFFIX = "_resources"


async def stored_tables(pool: PostgresConnections, schema: str) -> set[str]:
    """Return the models whose tables have rows, by the start of the names of the tables."""
    rows = await pool.fetch(
        # Tables of other users and other programs are left out.
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = $1 AND c.relkind = 'r' AND right(c.relname, $2) = $3"
        " AND has_table_privilege(c.oid, 'SELECT') AND EXISTS (SELECT 1 FROM pg_class o WHERE"
        " o.relnamespace = c.relnamespace AND o.relname = left(c.relname, -$2) || '_commits')",
        schema,
        len(_SUFFIX),
        _SUFFIX,
    )
    found = set[str]()
    for (table,) in rows:
        ((has_rows,),) = await pool.fetch(f"SELECT EXISTS(SELECT 1 FROM {quote(schema)}.{quote(table)})")
        if has_rows:
            found.add(table.removesuffix(_SUFFIX))
    return found
