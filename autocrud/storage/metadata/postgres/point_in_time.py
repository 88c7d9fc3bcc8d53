"""What the resources of one model were at some time, in PostgreSQL.

Of a temporal model there is a table with a row for each state: what a commit left, the index values of then, and until
when. The batch that commits writes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from autocrud.query.conditions import Query
from autocrud.resource import ResourceMeta
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.storage.metadata.postgres.compiler import (
    PostgresCompiler,
    TableNames,
    column_name,
    given,
    names_of,
    quoted,
    rows_of,
)
from autocrud.storage.metadata.postgres.history_tables import commit_of_row
from autocrud.storage.metadata.sql.point_in_time import PastQueries, StateQueries, state_of
from autocrud.storage.ports.types import Head, Write

_WANTED = "unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS wanted (resource_id, version, place)"
# Of the metadata, what can be asked for.
ASKED_COLUMNS = {
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
        self._past = PastQueries(heads, commits)
        self.select = self._past.states(_WANTED, "JOIN")
        self.table = names.qualified("states")
        self._names = names
        self._current = StateQueries(self.table)
        self.columns = {"resource_id": "text", **ASKED_COLUMNS, **index_columns}
        columns = {**self.columns, "until": "timestamptz"}
        values = ", ".join(given(name, kind) for name, kind in self.columns.items())
        into = f"INSERT INTO {self.table} ({names_of(columns)})"
        until = "coalesce(row.until, 'infinity')"
        self.insert = f"{into} SELECT {values}, {until} FROM {rows_of(columns)}"
        kept = {"resource_id": "text", **ASKED_COLUMNS, "until": "timestamptz", "base": "bigint"}
        meta = ", ".join(f"row.{quoted(name)}" for name in ("resource_id", *ASKED_COLUMNS))
        index = "".join(f", base.{quoted(name)}" for name in index_columns)
        self._inherit = (
            f"{into} SELECT {meta}{index}, {until} FROM {rows_of(kept)}"
            f" LEFT JOIN {self.table} base ON base.resource_id = row.resource_id AND base.version = row.base"
        )
        ended = {"resource_id": "text", "version": "bigint", "until": "timestamptz"}
        self._end = (
            f"UPDATE {self.table} s SET until = row.until FROM {rows_of(ended)}"
            " WHERE s.resource_id = row.resource_id AND s.version = row.version"
        )
        self.purge = f"DELETE FROM {self.table} WHERE resource_id = ANY($1::text[])"
        nothing = ", ".join(f"{quoted(name)} = NULL" for name in index_columns) or "until = until"
        self.prune = (
            f"UPDATE {self.table} s SET {nothing} FROM {commits} c"
            " JOIN unnest($1::text[], $2::bigint[]) AS gone (resource_id, version) USING (resource_id, version)"
            " WHERE s.resource_id = c.resource_id AND s.current_revision_id = c.revision_id"
        )

    def places(self, query: Query) -> Iterator[tuple[str, list[Any]]]:
        """For each part of the order, the statement for the ids and versions of a page, and its arguments."""
        for segment in PostgresCompiler().segments(query):
            compiler = PostgresCompiler()
            limit = compiler.place(query.limit + 1, "bigint")
            yield self._queries(query).page(compiler, query, segment, limit), compiler.values

    def count(self, compiler: PostgresCompiler, query: Query) -> str:
        """The statement for how many there were."""
        return (self._past if query.where is None else self._current).count(compiler, query)

    def row(self, meta: ResourceMeta, until: datetime | None, index: Sequence[Any]) -> tuple[Any, ...]:
        """A row for `insert`: what was, until when, and the values of all index columns."""
        return (*_meta_row(meta), *index, until)

    def changes(
        self,
        resources: Iterable[tuple[int, Sequence[tuple[Write, int]]]],
        index_row: Callable[[Sequence[Any]], Sequence[Any]],
    ) -> list[tuple[str, list[tuple[Any, ...]]]]:
        """The statements that enter what a batch wrote, in order, each with its rows.

        Args:
            resources: for each one the version that it had, 0 for none, and its writes in order; with each write the
                version of the state whose index values it leaves as they are, 0 where it brings its own.
        """
        ended: list[tuple[Any, ...]] = []
        own: list[tuple[Any, ...]] = []
        inherited: list[tuple[Any, ...]] = []
        for version, writes in resources:
            if version and writes:
                first = writes[0][0].meta
                ended.append((first.resource_id, version, first.updated_time))
            for number, (write, base) in enumerate(writes):
                until = writes[number + 1][0].meta.updated_time if number + 1 < len(writes) else None
                if base:
                    inherited.append((*_meta_row(write.meta), until, base))
                else:
                    own.append(self.row(write.meta, until, index_row(write.index)))
        return [(self._end, ended), (self.insert, own), (self._inherit, inherited)] if self.temporal else []

    def indexes(self) -> dict[str, str]:
        """The statements that make the indexes, by their names with the schema."""
        # With the span of time in them, so that the states of other times are passed over without being read.
        behind = "created_time, resource_id, updated_time, until"
        found = {"states_all": f"({behind})"}
        for field in self._fields:
            if isinstance(field, DocumentField):
                continue  # texts are searched as they are now, and may be longer than such an index takes
            if not field.is_list:
                found[f"states_{field.column}"] = f"({quoted(column_name(field))}, {behind}) WHERE NOT is_deleted"
            else:
                found[f"states_{field.column}"] = f"USING gin ({quoted(column_name(field))}) WITH (fastupdate = off)"
        return {
            self._names.qualified(name): f"CREATE INDEX {self._names.local(name)} ON {self.table} {columns}"
            for name, columns in found.items()
        }

    def _queries(self, query: Query) -> PastQueries | StateQueries:
        """What does not ask for what changes is answered by the heads, of which there are fewer."""
        return self._current if query.asks_what_changes else self._past


async def heads_then(connection: Any, states: PostgresStates, query: Query) -> list[Head]:
    """The heads of one page as they were, and one more where there is a next page."""
    found: list[tuple[str, int]] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):  # all statements see one moment
        for sql, values in states.places(query):
            found += [tuple(row) for row in await connection.fetch(sql, *values)]
            if len(found) > query.limit:
                break
        places = found[: query.limit + 1]
        columns = [list(column) for column in zip(*places, strict=True)]
        rows = await connection.fetch(states.select, *columns) if places else []
    return [state_of(tuple(row), commit_of_row) for row in rows]


def _meta_row(meta: ResourceMeta) -> tuple[Any, ...]:
    return (
        meta.resource_id, meta.version, meta.current_revision_id, meta.total_revision_count, meta.is_deleted,
        meta.created_time, meta.updated_time, meta.created_by, meta.updated_by, meta.schema_version, meta.status.value,
    )  # fmt: skip
