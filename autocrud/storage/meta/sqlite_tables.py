"""The tables of one model in SQLite, and every SQL statement on them. Names come from the model, values are bound."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from sqlite3 import Connection, IntegrityError
from typing import Any

from autocrud.errors import AlreadyExists, Conflict, UniqueViolation
from autocrud.fields import ColumnKind, ColumnValue
from autocrud.model import ModelSpec
from autocrud.query.conditions import Query
from autocrud.resource import CommitKind, RevisionStatus, timestamp
from autocrud.storage.base import Commit, Head, Outcome, Write, commit_of
from autocrud.storage.log import Tail

_LAYOUT = 2  # of the tables; counted up with each change of them

_META_COLUMNS = {
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
_DATA_COLUMNS = {"revision_info": "BLOB NOT NULL", "head": "BLOB", "head_locator": "TEXT NOT NULL"}
_COMMIT_COLUMNS = {
    "resource_id": "TEXT NOT NULL",
    "version": "INTEGER NOT NULL",
    "kind": "TEXT NOT NULL",
    "time": "TEXT NOT NULL",
    "by": "TEXT",
    "revision_id": "TEXT NOT NULL",
    "parent_revision_id": "TEXT",
    "status": "TEXT NOT NULL",
    "is_deleted": "INTEGER NOT NULL",
    "schema_version": "INTEGER NOT NULL",
    "data_hash": "TEXT",
    "size": "INTEGER",
    "locator": "TEXT",
    "record": "TEXT NOT NULL",
}
_COLUMN_TYPES = {
    ColumnKind.integer: "INTEGER",
    ColumnKind.boolean: "INTEGER",
    ColumnKind.real: "REAL",
}
# One head as one text, and a page of heads as one row: each row that sqlite3 fetches gives the interpreter up and must
# win it back, which under load costs more than the row. JSON, ids and times hold no control characters.
_FIELD, _ROW = b"\x1f", b"\x1e"
_HEAD = (
    "printf('%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'||char(31)||'%s'"
    "||char(31)||'%s', resource_id, version, is_deleted, created_time, head_locator, meta, revision_info, head)"
)
_HEADS = "SELECT CAST(group_concat(one, char(30)) AS BLOB) FROM"


def quoted(name: str) -> str:
    """A name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


class SqliteTables:
    """The statements for one model.

    Args:
        inline_limit: bytes; larger data is left out of the heads, and read from the log.
    """

    def __init__(self, spec: ModelSpec[Any], inline_limit: int) -> None:
        self._inline_limit = inline_limit
        self._fields = spec.index_fields
        base = spec.name.replace("-", "_")
        self.heads = f"{base}_resources"
        self.commits = f"{base}_commits"
        self.log = f"{base}_log"
        self.erasures = f"{base}_erasures"
        self.index_columns = {f"ix_{field.name}": _COLUMN_TYPES.get(field.kind, "TEXT") for field in self._fields}
        self._by_field = {field.name: quoted(f"ix_{field.name}") for field in self._fields}
        data_columns = [*_DATA_COLUMNS, *map(quoted, self.index_columns)]
        columns = ["resource_id", *_META_COLUMNS, *data_columns]
        self._insert = f"INSERT INTO {self.heads} ({', '.join(columns)}) VALUES ({_marks(columns)})"
        self._update = self._update_of([*_META_COLUMNS, *data_columns])
        self._update_meta = self._update_of(_META_COLUMNS)
        self._insert_commit = f"INSERT INTO {self.commits} VALUES ({_marks(_COMMIT_COLUMNS)})"

    def create_tables(self, db: Connection) -> None:
        """Create the tables that are missing, without the columns and indexes of index fields.

        Tables of an older layout are dropped: the log has everything that they hold.
        """
        (layout,) = db.execute("PRAGMA user_version").fetchone()
        if layout != _LAYOUT:
            for table in (self.heads, self.commits, self.log, self.erasures):
                db.execute(f"DROP TABLE IF EXISTS {table}")
            db.execute(f"PRAGMA user_version = {_LAYOUT}")
        heads, commits = _declared(_META_COLUMNS | _DATA_COLUMNS), _declared(_COMMIT_COLUMNS)
        erasures = "record TEXT PRIMARY KEY NOT NULL, purged INTEGER"
        log = "one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, nonce TEXT NOT NULL"
        for statement in (
            f"CREATE TABLE IF NOT EXISTS {self.heads} (resource_id TEXT PRIMARY KEY NOT NULL, {heads})",
            f"CREATE TABLE IF NOT EXISTS {self.commits} ({commits}, PRIMARY KEY (resource_id, version)) WITHOUT ROWID",
            f"CREATE TABLE IF NOT EXISTS {self.log} ({log})",
            f"CREATE TABLE IF NOT EXISTS {self.erasures} ({erasures}) WITHOUT ROWID",
            f"INSERT OR IGNORE INTO {self.log} VALUES (1, 0, '')",
        ):
            db.execute(statement)

    def tail(self, db: Connection) -> Tail:
        """The last log entry that has been applied."""
        return Tail(*db.execute(f"SELECT sequence, nonce FROM {self.log}").fetchone())

    def set_tail(self, db: Connection, tail: Tail) -> None:
        """Remember the last log entry that has been applied."""
        db.execute(f"UPDATE {self.log} SET sequence = ?, nonce = ?", (tail.sequence, tail.nonce))

    def apply(self, db: Connection, write: Write) -> Outcome:
        """Apply a write to the heads; what refuses it is returned, and leaves nothing behind."""
        resource_id = write.meta.resource_id
        try:
            if write.kind is CommitKind.purge:
                sql = f"DELETE FROM {self.heads} WHERE resource_id = ? AND version = ?"
                changed = db.execute(sql, (resource_id, write.follows)).rowcount
            elif write.follows == 0:
                changed = db.execute(self._insert, (resource_id, *_meta_row(write), *self._data_row(write))).rowcount
            elif write.data is None:
                changed = db.execute(self._update_meta, (*_meta_row(write), resource_id, write.follows)).rowcount
            else:
                row = (*_meta_row(write), *self._data_row(write), resource_id, write.follows)
                changed = db.execute(self._update, row).rowcount
        except IntegrityError as error:
            return self._refusal(db, write, str(error))
        return None if changed else Conflict(resource_id, write.follows)

    def remove(self, db: Connection, resource_id: str) -> None:
        """Remove a head, whatever its version."""
        db.execute(f"DELETE FROM {self.heads} WHERE resource_id = ?", (resource_id,))

    def record(self, db: Connection, write: Write, locator: str | None, record: str) -> None:
        """Enter an applied write into the history, now that it is known where its record stands."""
        resource_id = write.meta.resource_id
        if write.kind is CommitKind.purge:
            forget = f"INSERT OR IGNORE INTO {self.erasures} SELECT record, ? FROM {self.commits} WHERE resource_id = ?"
            db.execute(forget, (int(record.partition(":")[0]), resource_id))
            db.execute(f"DELETE FROM {self.commits} WHERE resource_id = ?", (resource_id,))
            return
        commit = commit_of(write, locator)
        row = (
            resource_id, commit.version, commit.kind, timestamp(commit.time), commit.by, commit.revision_id,
            commit.parent_revision_id, commit.status, commit.is_deleted, commit.schema_version, commit.data_hash,
            commit.size, locator, record,
        )  # fmt: skip
        db.execute(self._insert_commit, row)
        if write.data is not None and len(write.data) > self._inline_limit:
            move = f"UPDATE {self.heads} SET head_locator = ? WHERE resource_id = ?"
            db.execute(move, (locator, resource_id))

    def get(self, db: Connection, resource_ids: Sequence[str]) -> dict[str, Head]:
        """Those heads that there are, by their ids."""
        rows = f"(SELECT {_HEAD} AS one FROM json_each(?) CROSS JOIN {self.heads} ON resource_id = value)"
        heads = _unpack(db.execute(f"{_HEADS} {rows}", (json.dumps(resource_ids),)).fetchone())
        return {head.resource_id: head for head in heads}

    def search(self, db: Connection, query: Query) -> list[Head]:
        """The heads of one page, and one more where there is a next page."""
        where, values = self._where(query)
        if query.after is not None:
            where += " AND (created_time, resource_id) < (?, ?)"
            values.extend(query.after)
        order = "ORDER BY created_time DESC, resource_id DESC LIMIT ?"
        rows = f"(SELECT {_HEAD} AS one FROM {self.heads} WHERE {where} {order})"
        return _unpack(db.execute(f"{_HEADS} {rows}", (*values, query.limit + 1)).fetchone())

    def count(self, db: Connection, query: Query) -> int:
        """How many heads the query selects."""
        where, values = self._where(query)
        (number,) = db.execute(f"SELECT count(*) FROM {self.heads} WHERE {where}", values).fetchone()
        return int(number)

    def history(self, db: Connection, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        """Commits, newest first."""
        sql = (
            f"SELECT {', '.join(list(_COMMIT_COLUMNS)[:-1])} FROM {self.commits}"
            " WHERE resource_id = ? AND version < ? ORDER BY version DESC LIMIT ?"
        )
        rows = db.execute(sql, (resource_id, 2**62 if before is None else before, limit))
        return [_commit(row) for row in rows]

    def data_rows(self, db: Connection, after: str, limit: int) -> list[tuple[str, bytes | None, str]]:
        """Ids with their data or its locator, in the order of the ids, for filling new columns."""
        sql = f"SELECT resource_id, head, head_locator FROM {self.heads} WHERE resource_id > ? ORDER BY 1 LIMIT ?"
        return db.execute(sql, (after, limit)).fetchall()

    def set_index_values(self, db: Connection, rows: Iterable[tuple[ColumnValue, ...]]) -> None:
        """Set the index columns of resources; each row is the values and then the id."""
        assignments = ", ".join(f"{quoted(column)} = ?" for column in self.index_columns)
        db.executemany(f"UPDATE {self.heads} SET {assignments} WHERE resource_id = ?", rows)

    def pending_erasures(self, db: Connection) -> list[tuple[str, int]]:
        """The records of purged resources that may still stand in the log, each with the entry that purged it."""
        return db.execute(f"SELECT record, purged FROM {self.erasures}").fetchall()

    def forget_erasures(self, db: Connection, records: Iterable[str]) -> None:
        """Note that these records are erased."""
        db.executemany(f"DELETE FROM {self.erasures} WHERE record = ?", [(record,) for record in records])

    def _update_of(self, columns: Iterable[str]) -> str:
        assignments = ", ".join(f"{column} = ?" for column in columns)
        return f"UPDATE {self.heads} SET {assignments} WHERE resource_id = ? AND version = ?"

    def _data_row(self, write: Write) -> tuple[ColumnValue | bytes, ...]:
        data = write.data or b""
        inline = data if len(data) <= self._inline_limit else None
        return (write.revision_json or b"", inline, "", *write.index)

    def _where(self, query: Query) -> tuple[str, list[ColumnValue]]:
        terms = ["true" if query.include_deleted else "is_deleted = 0"]
        terms += [f"{self._by_field[condition.field]} = ?" for condition in query.where]
        return " AND ".join(terms), [condition.value for condition in query.where]

    def _refusal(self, db: Connection, write: Write, message: str) -> Outcome:
        """Tell what an IntegrityError is about: a taken id, then the first taken value. SQLite names any of them."""
        resource_id = write.meta.resource_id
        if write.follows == 0 and self.get(db, [resource_id]):
            return AlreadyExists(resource_id)
        others = f"SELECT 1 FROM {self.heads} WHERE is_deleted = 0 AND resource_id <> ?"
        own: str
        value: ColumnValue
        for number, field in enumerate(self._fields):
            column = self._by_field[field.name]
            if write.data is None:
                own, value = f"(SELECT {column} FROM {self.heads} WHERE resource_id = ?)", resource_id
            else:
                own, value = "?", write.index[number]
            if field.unique and db.execute(f"{others} AND {column} = {own}", (resource_id, value)).fetchone():
                return UniqueViolation(field.name)
        raise IntegrityError(message)


def _declared(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


def _marks(columns: Iterable[str]) -> str:
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
    return [] if row[0] is None else [_head(*one.split(_FIELD)) for one in row[0].split(_ROW)]


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


def _commit(row: tuple[Any, ...]) -> Commit:
    resource_id, version, kind, time, by, revision_id, parent, status, is_deleted, *rest = row
    return Commit(
        resource_id, version, CommitKind(kind), datetime.fromisoformat(time), by, revision_id, parent,
        RevisionStatus(status), bool(is_deleted), *rest,
    )  # fmt: skip
