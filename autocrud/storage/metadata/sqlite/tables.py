"""The statements on the heads of one model in SQLite. Names come from the model, values are bound."""

import json
from collections.abc import Collection, Iterable, Sequence
from sqlite3 import Connection, IntegrityError
from typing import Any

from autocrud.errors import AlreadyExists, Conflict, UniqueViolation
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.resource import CommitKind, timestamp
from autocrud.schema.column_types import ColumnKind, ColumnValue, IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import document_of
from autocrud.schema.versions.column_names import marker_name
from autocrud.storage.commit_log.log import Tail
from autocrud.storage.metadata.sqlite.aggregate import SqliteAggregates
from autocrud.storage.metadata.sqlite.compiler import SqliteCompiler, quote, scans_in_order, stored_value
from autocrud.storage.metadata.sqlite.history_tables import Erasure, SqliteHistoryTables
from autocrud.storage.metadata.sqlite.index_state import SqliteIndexStates
from autocrud.storage.metadata.sqlite.point_in_time import SqliteStates
from autocrud.storage.metadata.sqlite.side_tables import Orphan, SqliteSideTables
from autocrud.storage.metadata.sqlite.versions.claims import give_up_claim, give_up_claim_of_other_version
from autocrud.storage.ports.types import Blob, Head, Item, Outcome, Write

META_COLUMNS = {
    "version": "INTEGER NOT NULL",
    "current_revision_id": "TEXT NOT NULL",
    "total_revision_count": "INTEGER NOT NULL",
    "is_deleted": "INTEGER NOT NULL",
    "created_time": "TEXT NOT NULL",
    "updated_time": "TEXT NOT NULL",
    "created_by": "TEXT",
    "updated_by": "TEXT",
    "schema_version": "INTEGER NOT NULL",
    "status": "TEXT NOT NULL",
    "meta": "BLOB NOT NULL",
}
DATA_COLUMNS = {"revision_info": "BLOB NOT NULL", "head": "BLOB", "head_locator": "TEXT NOT NULL"}
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
_UNCHANGED_HEAD = (
    "resource_id = ? AND version = ? AND (? OR created_time = ?)"  # not what was created anew after a purge
)
_HEADS = "SELECT CAST(group_concat(one, char(30)) AS BLOB) FROM"


class SqliteTables:
    """The statements for one model.

    Args:
        inline_limit: bytes; larger data is left out of the heads, and read from the log.
    """

    def __init__(self, spec: ModelSpec[Any], inline_limit: int) -> None:
        self._inline_limit = inline_limit
        self._schema_version = spec.schema.version
        self._unique_constraints = spec.unique_constraints
        self.base = base = spec.folder.replace("-", "_")
        self.marker = marker_name(spec.schema.version)
        self.history = SqliteHistoryTables(base)
        self.side_tables = SqliteSideTables(base)
        self.heads = self.history.heads
        self.index_states = SqliteIndexStates(spec, base, self.heads)
        self.log = f"{base}_log"
        self.document = document_of(spec.index_fields)
        self.index_columns = {field.column: _column_type(field) for field in spec.index_fields}
        self.states = SqliteStates(spec, base, self.history.commits, META_COLUMNS, self.index_columns)
        data_columns = [*DATA_COLUMNS, *map(quote, self.index_columns)]
        columns = ["resource_id", *META_COLUMNS, *data_columns]
        self.insert = f"INSERT INTO {self.heads} ({', '.join(columns)}) VALUES ({_placeholders(columns)})"
        self._set_marker = f"UPDATE {self.heads} SET {self.marker} = version WHERE resource_id = ?"
        self._update = self._update_statement([*META_COLUMNS, *data_columns])
        self._update_meta = self._update_statement(META_COLUMNS)

    def begin_backfill(self, db: Connection, fields: Collection[IndexField]) -> None:
        """Begin to fill the columns of these fields."""
        if fields:
            (total,) = db.execute(f"SELECT count(*) FROM {self.heads}").fetchone()
            for field in fields:
                self.index_states.begin(db, field, total)

    def tail(self, db: Connection) -> Tail:
        """The last log entry that has been applied."""
        return Tail(*db.execute(f"SELECT sequence, nonce FROM {self.log}").fetchone())

    def set_tail(self, db: Connection, tail: Tail, versions: Iterable[int]) -> None:
        """Remember the last log entry that has been applied, and the schema versions of its data."""
        db.execute(f"UPDATE {self.log} SET sequence = ?, nonce = ?", (tail.sequence, tail.nonce))
        self.index_states.mark_stale(db, versions)

    def apply(self, db: Connection, item: Item, *, accepted: bool = False) -> Outcome:
        """Apply a write, or register a blob; what refuses it is returned, and leaves nothing behind.

        Args:
            accepted: it stands in the log, so that nothing but the order of versions is left to judge.
        """
        if isinstance(item, Blob):
            return None if self.side_tables.register(db, item) or accepted else AlreadyExists(item.file_id)
        refused: Outcome = None if accepted else self.side_tables.find_refusal(db, item)
        refused = refused or self._apply_to_head(db, item, accepted)
        if refused is None:
            self.side_tables.insert(db, item)
            if item.kind is CommitKind.purge:
                self._release(db, item)
        return refused

    def _apply_to_head(self, db: Connection, write: Write, accepted: bool) -> Outcome:
        resource_id = write.meta.resource_id
        read = (resource_id, write.follows, accepted, timestamp(write.meta.created_time))
        try:
            if write.kind is CommitKind.purge:
                changed = db.execute(f"DELETE FROM {self.heads} WHERE {_UNCHANGED_HEAD}", read).rowcount
            elif write.follows == 0:
                changed = db.execute(self.insert, self.insert_row(write)).rowcount
            elif write.revision is None:
                changed = db.execute(self._update_meta, (*_meta_row(write), *read)).rowcount
            else:
                row = (*_meta_row(write), *self._data_row(write), *read)
                changed = db.execute(self._update, row).rowcount
        except IntegrityError as error:
            return self._settle_claims(db, write, accepted, str(error))
        if accepted and self.index_columns and write.revision and write.meta.schema_version != self._schema_version:
            # The values come from upgraded data, and need no refresh.
            db.execute(self._set_marker, (resource_id,))
        return None if changed else Conflict(resource_id, write.follows)

    def _settle_claims(self, db: Connection, write: Write, accepted: bool, message: str) -> Outcome:
        """Return the refusal behind an IntegrityError, or apply the write without values that versions dispute."""
        resource_id, version = write.meta.resource_id, self._schema_version
        if (other := give_up_claim_of_other_version(db, self.heads, resource_id, message, version)) is not None:
            self.index_states.mark_stale(db, [other])
            return self._apply_to_head(db, write, accepted)
        refused = self.find_refusal(db, write, message)
        if accepted and isinstance(refused, UniqueViolation) and write.meta.schema_version != version:
            unique = next(unique for unique in self._unique_constraints if unique.names == refused.fields)
            give_up_claim(db, self.heads, write, unique)
            return self._apply_to_head(db, write, accepted)
        return refused

    def remove(self, db: Connection, purge: Write) -> None:
        """Remove a head, whatever its version, and what stands beside it."""
        db.execute(f"DELETE FROM {self.heads} WHERE resource_id = ?", (purge.meta.resource_id,))
        self.side_tables.insert_on_delete_task(db, purge)
        self._release(db, purge)

    def record(self, db: Connection, item: Item, locator: str | None, record: str) -> None:
        """Enter what was applied into the history, now that it is known where its record stands."""
        if isinstance(item, Blob):
            self.side_tables.set_record(db, item, record)
            return
        resource_id, purged = item.meta.resource_id, int(record.partition(":")[0])
        if item.kind is CommitKind.purge:
            self.history.purge(db, resource_id, purged)
            return
        self.history.insert(db, item, locator, record)
        if item.data is not None and len(item.data) > self._inline_limit:
            move = f"UPDATE {self.heads} SET head_locator = ? WHERE resource_id = ?"
            db.execute(move, (locator, resource_id))
        if item.prunes and (versions := self.history.prune(db, item, purged)):
            self._erase_blobs(db, self.side_tables.release(db, resource_id, versions), purged, deferred=True)

    def is_simple(self, item: Item) -> bool:
        """Return True if an applied item needs nothing but its row in the history."""
        if isinstance(item, Blob) or item.prunes or item.kind is CommitKind.purge:
            return False
        return item.data is None or len(item.data) <= self._inline_limit

    def insert_row(self, write: Write) -> tuple[Any, ...]:
        """A row for `insert`."""
        return (write.meta.resource_id, *_meta_row(write), *self._data_row(write))

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
        by_order = scans_in_order(db, query, self.heads)
        for segment in SqliteCompiler().segments(query):
            compiler = SqliteCompiler(scans_in_order=by_order)
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
        compiler = SqliteCompiler()
        where = f"{compiler.live(query)} AND {compiler.where(query.where)}"
        limit = "" if query.count_limit is None else f" LIMIT {query.count_limit:d}"
        heads = f"(SELECT 1 FROM {self.heads} WHERE {where}{limit})" if limit else f"{self.heads} WHERE {where}"
        (number,) = db.execute(f"SELECT count(*) FROM {heads}", compiler.values).fetchone()
        return int(number)

    def aggregate(self, db: Connection, aggregation: Aggregation) -> list[GroupRow]:
        """Return one page of groups, and one more group if there is a next page."""
        compiler = SqliteAggregates()
        sql = compiler.statement(self.heads, aggregation)
        return [compiler.group(aggregation, row) for row in db.execute(sql, compiler.values)]

    def _release(self, db: Connection, purge: Write) -> None:
        """Delete the side rows of a resource that the next entry purges."""
        resource_id = purge.meta.resource_id
        orphans = self.side_tables.release(db, resource_id, retained_ids=purge.blobs)
        self._erase_blobs(db, orphans, self.tail(db).sequence + 1, deferred=False)
        self.side_tables.delete_keys_of(db, resource_id)

    def _erase_blobs(self, db: Connection, orphans: Iterable[Orphan], purged: int, *, deferred: bool) -> None:
        for key, record in orphans:
            self.history.add_erasure(db, Erasure(key, 1, purged), deferred=deferred)
            if record is not None:
                self.history.add_erasure(db, Erasure(record, 2, purged), deferred=deferred)

    def _update_statement(self, columns: Iterable[str]) -> str:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        return f"UPDATE {self.heads} SET {assignments} WHERE {_UNCHANGED_HEAD}"

    def _data_row(self, write: Write) -> tuple[ColumnValue | bytes, ...]:
        data = write.data or b""
        inline = data if write.data is not None and len(data) <= self._inline_limit else None
        return (write.revision_json or b"", inline, "", *map(stored_value, write.index))

    def find_refusal(self, db: Connection, write: Write, message: str) -> Outcome:
        """Return the refusal behind an IntegrityError: a taken id, or the first unique set that is taken.

        SQLite's message names any of the violated constraints.
        """
        resource_id = write.meta.resource_id
        if write.follows == 0 and self.get(db, [resource_id]):
            return AlreadyExists(resource_id)
        index: Sequence[IndexValue] = write.index
        if write.data is None:
            columns = ", ".join(map(quote, self.index_columns))
            index = db.execute(f"SELECT {columns} FROM {self.heads} WHERE resource_id = ?", (resource_id,)).fetchone()
        for unique in self._unique_constraints:
            # A null is equal to nothing, and so nobody holds it.
            equal = " AND ".join(f"{quote(field.column)} = ?" for field in unique.fields)
            sql = f"SELECT resource_id FROM {self.heads} WHERE is_deleted = 0 AND resource_id <> ? AND {equal}"
            values = (index[position] for position in unique.positions)
            if (holder := db.execute(sql, (resource_id, *values)).fetchone()) is not None:
                return UniqueViolation(unique.names, holder[0])
        raise IntegrityError(message)


def _column_type(field: IndexField) -> str:
    kind = _COLUMN_TYPES.get(field.kind, "TEXT")
    return f"{kind} LIST" if field.is_list else kind  # JSON is a text, whatever the type is called


def _placeholders(columns: Iterable[str]) -> str:
    return ", ".join("?" for _ in columns)


def _meta_row(write: Write) -> tuple[Any, ...]:
    meta = write.meta
    return (
        meta.version, meta.current_revision_id, meta.total_revision_count, meta.is_deleted,
        timestamp(meta.created_time), timestamp(meta.updated_time), meta.created_by, meta.updated_by,
        meta.schema_version, meta.status, write.meta_json,
    )  # fmt: skip


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
