"""Point-in-time queries of one model in PostgreSQL, and the table of a temporal model's states.

Each commit of a temporal model has a row in that table, with the metadata and index values after the commit, and the
time of the next commit. The batch that commits writes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from autocrud.query.conditions import Query
from autocrud.resource import ResourceMeta
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.schema.versions.column_names import versioned
from autocrud.storage.metadata.postgres.compiler import (
    PostgresCompiler,
    TableNames,
    column_name,
    names_of,
    quote,
    row_value,
    rows_of,
)
from autocrud.storage.metadata.postgres.connection import fetch_limited
from autocrud.storage.metadata.postgres.history_tables import commit_of_row
from autocrud.storage.metadata.sql.point_in_time import PastQueries, StateQueries, past_head_of
from autocrud.storage.ports.query_limit import query_seconds
from autocrud.storage.ports.types import Head, Write

_PLACES = "unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS wanted (resource_id, version, place)"
# The metadata that queries can filter and sort by.
FILTER_COLUMNS = {
    "version": "bigint",
    "current_revision_id": "text",
    "total_revision_count": "bigint",
    "is_deleted": "boolean",
    "created_time": "timestamptz",
    "updated_time": "timestamptz",
    "created_by": "text",
    "updated_by": "text",
    "schema_version": "integer",
    "status": "text",
}


class PostgresStates:
    """The statements for one model.

    Args:
        names: the model's table names.
        index_columns: those of the heads that hold index values, with their types.

    Attributes:
        temporal: whether there is the table.
        select: the states of resources at versions, which are two arrays.
        insert: rows of `row`, as arrays; `purge` and `prune` take ids, and versions whose data is given up.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        names: TableNames,
        heads: str,
        commits: str,
        index_columns: Mapping[str, str],
    ) -> None:
        self.temporal = spec.temporal
        self._fields = spec.index_fields
        self._past_queries = PastQueries(heads, commits)
        self.select = self._past_queries.states(_PLACES, "JOIN")
        self._name = versioned("states", spec.schema.version)
        self.table = names.qualified(self._name)
        self._names = names
        self._state_queries = StateQueries(self.table)
        self.columns = {"resource_id": "text", **FILTER_COLUMNS, **index_columns}
        columns = {**self.columns, "until": "timestamptz"}
        values = ", ".join(row_value(name, kind) for name, kind in self.columns.items())
        into = f"INSERT INTO {self.table} ({names_of(columns)})"
        until = "coalesce(row.until, 'infinity')"
        self.insert = f"{into} SELECT {values}, {until} FROM {rows_of(columns)}"
        inherited_columns = {"resource_id": "text", **FILTER_COLUMNS, "until": "timestamptz", "base": "bigint"}
        meta = ", ".join(f"row.{quote(name)}" for name in ("resource_id", *FILTER_COLUMNS))
        index = "".join(f", base.{quote(name)}" for name in index_columns)
        self._inherit = (
            f"{into} SELECT {meta}{index}, {until} FROM {rows_of(inherited_columns)}"
            f" LEFT JOIN {self.table} base ON base.resource_id = row.resource_id AND base.version = row.base"
        )
        ended_columns = {"resource_id": "text", "version": "bigint", "until": "timestamptz"}
        self._end = (
            f"UPDATE {self.table} s SET until = row.until FROM {rows_of(ended_columns)}"
            " WHERE s.resource_id = row.resource_id AND s.version = row.version"
        )
        self.purge = f"DELETE FROM {self.table} WHERE resource_id = ANY($1::text[])"
        nothing = ", ".join(f"{quote(name)} = NULL" for name in index_columns) or "until = until"
        self.prune = (
            f"UPDATE {self.table} s SET {nothing} FROM {commits} c"
            " JOIN unnest($1::text[], $2::bigint[]) AS gone (resource_id, version) USING (resource_id, version)"
            " WHERE s.resource_id = c.resource_id AND s.current_revision_id = c.revision_id"
        )

    def places(self, query: Query) -> Iterator[tuple[str, list[Any]]]:
        """For each part of the order, the statement for the ids and versions of a page, and its arguments."""
        for segment in PostgresCompiler().segments(query):
            compiler = PostgresCompiler()
            limit = compiler.placeholder(query.limit + 1, "bigint")
            yield self._queries_for(query).page(compiler, query, segment, limit), compiler.values

    def count(self, compiler: PostgresCompiler, query: Query) -> str:
        """The statement for how many there were."""
        return (self._past_queries if query.where is None else self._state_queries).count(compiler, query)

    def row(self, meta: ResourceMeta, until: datetime | None, index: Sequence[Any]) -> tuple[Any, ...]:
        """A row for `insert`: what was, until when, and the values of all index columns."""
        return (*_meta_row(meta), *index, until)

    def plan_statements(
        self,
        resources: Iterable[tuple[int, Sequence[tuple[Write, int]]]],
        index_row: Callable[[Sequence[Any]], Sequence[Any]],
    ) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """Return the statements that write the states of a batch, in order, each with its rows.

        Args:
            resources: for each resource its former version, or 0, and its writes in order. With each write comes the
                version of the state whose index values it inherits, or 0 if it brings its own.
        """
        if not self.temporal:
            return []
        ended_rows: list[tuple[Any, ...]] = []
        own_rows: list[tuple[Any, ...]] = []
        inherited_rows: list[tuple[Any, ...]] = []
        for version, writes in resources:
            if version and writes:
                first = writes[0][0].meta
                ended_rows.append((first.resource_id, version, first.updated_time))
            for number, (write, base) in enumerate(writes):
                until = writes[number + 1][0].meta.updated_time if number + 1 < len(writes) else None
                if base:
                    inherited_rows.append((*_meta_row(write.meta), until, base))
                else:
                    own_rows.append(self.row(write.meta, until, index_row(write.index)))
        return [(self._end, ended_rows), (self.insert, own_rows), (self._inherit, inherited_rows)]

    def indexes(self) -> dict[str, str]:
        """The statements that make the indexes, by their names with the schema."""
        # With the span of time in them, so that the states of other times are passed over without being read.
        order_columns = "created_time, resource_id, updated_time, until"
        found = {f"{self._name}_all": f"({order_columns})"}
        for field in self._fields:
            if isinstance(field, DocumentField):
                continue  # texts are searched as they are now, and may be longer than such an index takes
            if not field.is_list:
                target = f"({quote(column_name(field))}, {order_columns}) WHERE NOT is_deleted"
                found[f"{self._name}_{field.column}"] = target
            else:
                target = f"USING gin ({quote(column_name(field))}) WITH (fastupdate = off)"
                found[f"{self._name}_{field.column}"] = target
        return {
            self._names.qualified(name): f"CREATE INDEX {self._names.local(name)} ON {self.table} {columns}"
            for name, columns in found.items()
        }

    def _queries_for(self, query: Query) -> PastQueries | StateQueries:
        """Return the queries on the heads, of which there are fewer rows, unless the query needs past values."""
        return self._state_queries if query.needs_history else self._past_queries


async def search_past(connection: Any, states: PostgresStates, query: Query) -> list[Head]:
    """The heads of one page as they were, and one more where there is a next page."""
    found: list[tuple[str, int]] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # all statements see one moment
        for sql, values in states.places(query):
            found += [tuple(row) for row in await fetch_limited(connection, sql, values, query_seconds.get())]
            if len(found) > query.limit:
                break
        places = found[: query.limit + 1]
        columns = [list(column) for column in zip(*places, strict=True)]
        rows = await connection.fetch(states.select, *columns) if places else []
    return [past_head_of(tuple(row), commit_of_row) for row in rows]


def _meta_row(meta: ResourceMeta) -> tuple[Any, ...]:
    return (
        meta.resource_id, meta.version, meta.current_revision_id, meta.total_revision_count, meta.is_deleted,
        meta.created_time, meta.updated_time, meta.created_by, meta.updated_by, meta.schema_version, meta.status.value,
    )  # fmt: skip
