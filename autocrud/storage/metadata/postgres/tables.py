"""The statements on the heads of one model in PostgreSQL. Names come from the model, values are bound."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from autocrud.query.aggregation import Aggregation
from autocrud.query.conditions import Query
from autocrud.resource import ResourceMeta, timestamp
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.column_names import marker_name
from autocrud.storage.metadata.postgres.aggregate import PostgresAggregates
from autocrud.storage.metadata.postgres.compiler import (
    PostgresCompiler,
    TableNames,
    column_name,
    column_type,
    converter,
    folded_name,
    is_folded,
    load_columns,
    names_of,
    quote,
    row_value,
    rows_of,
)
from autocrud.storage.metadata.postgres.history_tables import PostgresHistoryTables
from autocrud.storage.metadata.postgres.index_state import PostgresIndexStates
from autocrud.storage.metadata.postgres.point_in_time import FILTER_COLUMNS, PostgresStates
from autocrud.storage.metadata.postgres.side_tables import PostgresSideTables
from autocrud.storage.metadata.sql.compiler import Segment
from autocrud.storage.ports.types import Head, Write

TEXT = 'text COLLATE "C"'  # whose order is that of the bytes, as everywhere else
META_COLUMNS = {**FILTER_COLUMNS, "meta": "bytea"}
DATA_COLUMNS = {"revision_info": "bytea", "head": "bytea", "head_locator": "text", "constraints": "bytea"}
NULLABLE = {
    "created_by",
    "updated_by",
    "head",
    "constraints",
    "by",
    "parent_revision_id",
    "data_hash",
    "size",
    "locator",
}

HEAD = "resource_id, version, is_deleted, created_time, meta, revision_info, head, head_locator"


class PostgresTables:
    """The statements for one model.

    Args:
        schema: the PostgreSQL schema that the tables are in.
        inline_limit: bytes; larger data is left out of the heads, and read from the records.
    """

    def __init__(self, spec: ModelSpec[Any], schema: str, inline_limit: int) -> None:
        self._inline_limit = inline_limit
        self.fields = spec.index_fields
        self.schema = schema
        self.schema_version = spec.schema.version
        self.marker = marker_name(self.schema_version)
        self.model = spec.folder
        base = spec.folder.replace("-", "_")
        self.heads_name = f"{base}_resources"
        self.names = names = TableNames(schema, base)
        self.heads = names.qualified("resources")
        self.index_states = PostgresIndexStates(spec, names.qualified("fields"), self.heads)
        self.history = PostgresHistoryTables(names, self.heads)
        self.side_tables = PostgresSideTables(names)
        self._converters = [converter(field) for field in self.fields]
        self._value_columns = {column_name(field): column_type(field) for field in self.fields}
        self._folded = [number for number, field in enumerate(self.fields) if is_folded(field)]
        folded = {folded_name(self.fields[number]): "text" for number in self._folded}
        self.index_columns = {**self._value_columns, **folded}
        self.states = PostgresStates(spec, names, self.heads, self.history.commits, self.index_columns)
        self._head_columns = {"resource_id": "text", **META_COLUMNS, **DATA_COLUMNS, **self.index_columns}
        values = ", ".join(row_value(name, kind) for name, kind in self._head_columns.items())
        into = f"INSERT INTO {self.heads} ({names_of(self._head_columns)})"
        self.insert = f"{into} SELECT {values} FROM {rows_of(self._head_columns)}"
        self.update = self._update_statement(self._head_columns)
        self.update_meta = self._update_statement({"resource_id": "text", **META_COLUMNS})
        states = load_columns("resource_id", "version", time="created_time", flag="is_deleted", content="constraints")
        self.load_states = f"SELECT {states} FROM {self.heads} WHERE resource_id = ANY($1::text[])"
        self.update_constraints = (
            f"UPDATE {self.heads} h SET constraints = row.constraints"
            f" FROM {rows_of({'resource_id': 'text', 'constraints': 'bytea'})} WHERE h.resource_id = row.resource_id"
        )
        self.purge_heads = f"DELETE FROM {self.heads} WHERE resource_id = ANY($1::text[])"
        self.get = f"SELECT {HEAD} FROM {self.heads} WHERE resource_id = ANY($1::text[])"

    def to_driver_values(self, index: Sequence[IndexValue]) -> list[Any]:
        """Index values, in the order of the fields, as PostgreSQL takes them."""
        pairs = zip(self._converters, index, strict=True)
        return [value if value is None else convert(value) for convert, value in pairs]

    def index_row(self, index: Sequence[IndexValue]) -> list[Any]:
        """The values of all index columns."""
        folded = [index[number] for number in self._folded]
        return [*self.to_driver_values(index), *(text.casefold() if isinstance(text, str) else None for text in folded)]

    def searches(self, query: Query) -> Iterator[Callable[[int], tuple[str, list[Any]]]]:
        """For each part of the order, its statement and arguments for so many rows."""
        for segment in PostgresCompiler().segments(query):

            def statement(limit: int, segment: Segment = segment) -> tuple[str, list[Any]]:
                compiler = PostgresCompiler()
                where = f"{compiler.live(query)} AND {compiler.where(query.where)}"
                where += f" AND {segment.condition} AND {compiler.cursor_condition(segment)}"
                order = f"ORDER BY {compiler.order_by(segment.keys)} LIMIT {compiler.placeholder(limit, 'bigint')}"
                return f"SELECT {HEAD} FROM {self.heads} WHERE {where} {order}", compiler.values

            yield statement

    def count(self, query: Query) -> tuple[str, list[Any]]:
        """The statement and its arguments for how many there are."""
        compiler = PostgresCompiler()
        if query.at is not None:
            return self.states.count(compiler, query), compiler.values
        where = f"{compiler.live(query)} AND {compiler.where(query.where)}"
        heads = f"{self.heads} WHERE {where}"
        if query.count_limit is not None:
            heads = f"(SELECT 1 FROM {heads} LIMIT {query.count_limit:d}) AS counted_heads"
        return f"SELECT count(*) FROM {heads}", compiler.values

    def aggregate(self, aggregation: Aggregation) -> tuple[str, PostgresAggregates]:
        """The statement for a page of groups, and what holds its arguments and reads its rows."""
        compiler = PostgresAggregates()
        return compiler.statement(self.heads, aggregation), compiler

    def head_row(
        self, meta: ResourceMeta, meta_json: bytes, data: Write | None, locator: str, constraints: bytes | None
    ) -> tuple[Any, ...]:
        """A row for `insert` or `update`; without data one for `update_meta`."""
        row = (meta.resource_id, *_meta_row(meta, meta_json))
        if data is None or data.data is None:
            return row
        inline = data.data if len(data.data) <= self._inline_limit else None
        return (*row, data.revision_json, inline, locator, constraints, *self.index_row(data.index))

    def _update_statement(self, columns: dict[str, str]) -> str:
        values = {name: row_value(name, kind) for name, kind in columns.items() if name != "resource_id"}
        assignments = ", ".join(f"{quote(name)} = {value}" for name, value in values.items())
        return f"UPDATE {self.heads} h SET {assignments} FROM {rows_of(columns)} WHERE h.resource_id = row.resource_id"


def head_of(row: Any) -> Head:
    """A row of `get` or `search`."""
    resource_id, version, is_deleted, created_time, meta, revision_info, head, locator = row
    return Head(resource_id, version, is_deleted, timestamp(created_time), meta, revision_info, head, locator)


def columns_of(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Rows as the arrays that `unnest` takes apart again."""
    return [list(column) for column in zip(*rows, strict=True)]


def column_definitions(columns: dict[str, str], *, nullable: bool = False) -> str:
    """Column definitions; where `nullable` is set, each of them can be null."""
    kinds = {name: TEXT if kind == "text" else kind for name, kind in columns.items()}
    can_be = columns.keys() if nullable else NULLABLE
    return ", ".join(f"{quote(name)} {kind}{'' if name in can_be else ' NOT NULL'}" for name, kind in kinds.items())


def _meta_row(meta: ResourceMeta, meta_json: bytes) -> tuple[Any, ...]:
    return (
        meta.version, meta.current_revision_id, meta.total_revision_count, meta.is_deleted, meta.created_time,
        meta.updated_time, meta.created_by, meta.updated_by, meta.schema_version, meta.status.value, meta_json,
    )  # fmt: skip
