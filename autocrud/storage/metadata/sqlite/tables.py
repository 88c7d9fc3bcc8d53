"""The statements on the heads of one model in SQLite. Names come from the model, values are bound."""

import json
from collections.abc import Collection, Iterable, Sequence
from sqlite3 import Connection
from typing import Any

from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import document_of
from autocrud.schema.versions.column_names import marker_name
from autocrud.storage.metadata.sqlite.aggregate import SqliteAggregates
from autocrud.storage.metadata.sqlite.base_tables import META_COLUMNS, BaseTables
from autocrud.storage.metadata.sqlite.compiler import SqliteCompiler, scans_in_order
from autocrud.storage.metadata.sqlite.index_state import SqliteIndexStates
from autocrud.storage.metadata.sqlite.point_in_time import SqliteStates
from autocrud.storage.ports.types import Head

_COLUMN_TYPES = {
    ColumnKind.integer: "INTEGER",
    ColumnKind.boolean: "INTEGER",
    ColumnKind.real: "REAL",
    # Texts for SQLite; what is indexed as another kind of text is told apart, so that it is filled anew.
    ColumnKind.decimal: "TEXT DECIMAL",
    ColumnKind.datetime: "TEXT DATETIME",
    ColumnKind.time: "TEXT TIME",
}
# One head as one text, and a page of heads as one row: each row that sqlite3 fetches gives the interpreter up and must
# win it back, which under load costs more than the row. JSON, ids and times hold no control characters.
_FIELD, _ROW = b"\x1f", b"\x1e"
_HEAD = (
    "printf('%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'"
    "||char(31)||'%s', resource_id, version, is_deleted, created_time, head_locator, meta, revision_info, head)"
)
_HEADS = "SELECT CAST(group_concat(one, char(30)) AS BLOB) FROM"


class SqliteTables(BaseTables):
    """The statements for one model that this process knows.

    Args:
        inline_limit: bytes; larger data is left out of the heads, and read from the log.
        folder: folder of the model, if it is not yet in `spec.folder`.
    """

    def __init__(self, spec: ModelSpec[Any], inline_limit: int, folder: str | None = None) -> None:
        index_columns = {field.column: _column_type(field) for field in spec.index_fields}
        super().__init__(spec.folder if folder is None else folder, inline_limit, index_columns)
        self.spec = spec
        self.marker = marker_name(spec.schema.version)
        self.index_states = SqliteIndexStates(spec, self.base, self.heads)
        self.document = document_of(spec.index_fields)
        self.states = SqliteStates(spec, self.base, self.history.commits, META_COLUMNS, self.index_columns)
        self.set_marker = f"UPDATE {self.heads} SET {self.marker} = version WHERE resource_id = ?"

    def begin_backfill(self, db: Connection, fields: Collection[IndexField]) -> None:
        """Begin to fill the columns of these fields."""
        if fields:
            total = self.count_rows(db)
            for field in fields:
                self.index_states.begin(db, field, total)

    def count_rows(self, db: Connection) -> int:
        """Return the number of heads."""
        (total,) = db.execute(f"SELECT count(*) FROM {self.heads}").fetchone()
        return int(total)

    def mark_stale(self, db: Connection, versions: Iterable[int], *, has_references: bool) -> None:
        self.index_states.mark_stale(db, versions, has_references=has_references)

    def get(self, db: Connection, resource_ids: Sequence[str]) -> dict[str, Head]:
        """Return the existing heads, by id."""
        rows = f"(SELECT {_HEAD} AS one FROM json_each(?) CROSS JOIN {self.heads} ON resource_id = value)"
        heads = _unpack(db.execute(f"{_HEADS} {rows}", (json.dumps(resource_ids),)).fetchone())
        return {head.resource_id: head for head in heads}

    def search(self, db: Connection, query: Query) -> list[Head]:
        """The heads of one page, and one more where there is a next page."""
        if query.at is not None:
            return self.states.search(db, query)
        found: list[Head] = []
        by_order = scans_in_order(db, query, self.base, self.heads)
        for segment in SqliteCompiler(self.base).segments(query):
            compiler = SqliteCompiler(self.base, scans_in_order=by_order)
            source, rest = compiler.source(db, self.heads, query)
            where = f"{compiler.live(query)} AND {compiler.where(rest)}"
            where += f" AND {segment.condition} AND {compiler.cursor_condition(segment)}"
            limit = compiler.placeholder(query.limit + 1 - len(found))
            order = f"ORDER BY {compiler.order_by(segment.keys)} LIMIT {limit}"
            rows = f"(SELECT {_HEAD} AS one FROM {source} WHERE {where} {order})"
            found += _unpack(db.execute(f"{_HEADS} {rows}", compiler.values).fetchone())
            if len(found) > query.limit:
                break
        return found

    def count(self, db: Connection, query: Query) -> int:
        """Return the number of heads that the query selects."""
        if query.at is not None:
            return self.states.count(db, query)
        compiler = SqliteCompiler(self.base)
        where = f"{compiler.live(query)} AND {compiler.where(query.where)}"
        limit = "" if query.count_limit is None else f" LIMIT {query.count_limit:d}"
        heads = f"(SELECT 1 FROM {self.heads} WHERE {where}{limit})" if limit else f"{self.heads} WHERE {where}"
        (number,) = db.execute(f"SELECT count(*) FROM {heads}", compiler.values).fetchone()
        return int(number)

    def aggregate(self, db: Connection, aggregation: Aggregation) -> list[GroupRow]:
        """Return one page of groups, and one more group if there is a next page."""
        compiler = SqliteAggregates(self.base)
        sql = compiler.statement(self.heads, aggregation)
        return [compiler.group(aggregation, row) for row in db.execute(sql, compiler.values)]


def _column_type(field: IndexField) -> str:
    kind = _COLUMN_TYPES.get(field.kind, "TEXT")
    return f"{kind} LIST" if field.is_list else kind  # JSON is a text, whatever the type is called


def _unpack(row: tuple[bytes | None]) -> list[Head]:
    """The heads of one packed row."""
    return [] if row[0] is None else [_head(*head.split(_FIELD)) for head in row[0].split(_ROW)]


def _head(
    resource_id: bytes,
    version: bytes,
    is_deleted: bytes,
    created_time: bytes,
    locator: bytes,
    meta: bytes,
    revision_info: bytes,
    data: bytes,
) -> Head:
    return Head(
        resource_id.decode(),
        int(version),
        is_deleted == b"1",
        created_time.decode(),
        meta,
        revision_info,
        data or None,
        locator.decode(),
    )
