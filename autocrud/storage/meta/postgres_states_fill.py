"""Creates the table of the states of a temporal model in PostgreSQL, and fills it from the commits and their data."""

import logging
from itertools import groupby
from typing import Any

from autocrud.model import ModelSpec
from autocrud.resource import ResourceMeta
from autocrud.storage.meta.postgres_history import commit_of_row
from autocrud.storage.meta.postgres_records import PostgresRecords
from autocrud.storage.meta.postgres_tables import PostgresTables, columns_of, declared
from autocrud.storage.states import meta_then, states_of, values_of

logger = logging.getLogger(__name__)

_RESOURCES = 200  # at a time


async def create_states(connection: Any, tables: PostgresTables) -> None:
    """Create the table, if it is not there; one with other columns, or that the model no longer wants, is dropped."""
    states = tables.states
    columns = ", ".join(
        (
            declared({"resource_id": "text", "version": "bigint"}),
            *(declared({name: kind}, nullable=name in tables.index_columns) for name, kind in _rest(tables).items()),
            "until timestamptz NOT NULL",
        )
    )
    create = f"CREATE TABLE {states.table} ({columns}, PRIMARY KEY (resource_id, version))"
    comment = create.replace("'", "''")
    made = await connection.fetchval("SELECT obj_description(to_regclass($1), 'pg_class')", states.table)
    if states.temporal and made == create:
        return
    await connection.execute(f"DROP TABLE IF EXISTS {states.table}")
    if states.temporal:
        await connection.execute(create)
        await connection.execute(f"COMMENT ON TABLE {states.table} IS '{comment}'")


async def fill_states(connection: Any, spec: ModelSpec[Any], tables: PostgresTables, records: PostgresRecords) -> None:
    """Fill the table, some resources at a time, and create its indexes, which say that it is filled.

    Raises:
        ConfigurationError: stored data does not fit a column.
    """
    if not spec.temporal:
        return
    lacking = [
        sql
        for name, sql in tables.states.indexes().items()
        if not await connection.fetchval("SELECT to_regclass($1)::text", name)
    ]
    if not lacking:
        return
    after: str | None = ""
    done = 0
    while after is not None:
        after, some = await _fill_some(connection, spec, tables, records, after)
        done += some
        if some:
            logger.info("%s: filled the states of %d resources", spec.name, done)
    for sql in lacking:
        await connection.execute(sql)


async def _fill_some(
    connection: Any, spec: ModelSpec[Any], tables: PostgresTables, records: PostgresRecords, after: str
) -> tuple[str | None, int]:
    """Fill some resources; the id to go on behind, None at the end, and how many they were."""
    states = tables.states
    rows = await connection.fetch(
        f"SELECT resource_id, meta, head FROM {tables.heads} h WHERE resource_id > $1"
        f" AND NOT EXISTS (SELECT 1 FROM {states.table} s WHERE s.resource_id = h.resource_id AND s.version = 1)"
        f" ORDER BY resource_id LIMIT {_RESOURCES}",
        after,
    )
    if not rows:
        return None, 0
    born = {resource_id: ResourceMeta.model_validate_json(meta) for resource_id, meta, _ in rows}
    found = await connection.fetch(tables.history.all_commits_of, list(born))
    commits = [commit_of_row(row) for row in found]
    values = await values_of(spec, commits, records.data, {resource_id: data for resource_id, _, data in rows})
    nothing = (None,) * len(spec.index_fields)
    entered = []
    for resource_id, group in groupby(commits, key=lambda commit: commit.resource_id):
        for state in states_of(list(group), values.get(resource_id, {}), nothing):
            meta = meta_then(state.commit, born[resource_id])
            entered.append(states.row(meta, state.until, tables.index_row(state.index)))
    await connection.execute(states.purge, list(born))
    await connection.execute(states.insert, *columns_of(entered))
    return rows[-1][0], len(rows)


def _rest(tables: PostgresTables) -> dict[str, str]:
    return {name: kind for name, kind in tables.states.columns.items() if name not in ("resource_id", "version")}
