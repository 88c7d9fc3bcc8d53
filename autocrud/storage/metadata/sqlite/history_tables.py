"""The history of one model in SQLite: a row per commit, and every SQL statement on these."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from sqlite3 import Connection
from typing import Any

from autocrud.resource import CommitKind, RevisionStatus, timestamp
from autocrud.storage.metadata.sql.revisions import FOREVER, revision_of, select_revisions
from autocrud.storage.metadata.sqlite.engine.record_place import RecordPlace
from autocrud.storage.metadata.sqlite.engine.store_tables import Erasure, add_erasure
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Commit, Revision, RevisionSpan, Write

COMMIT_COLUMNS = {
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
    "total_revision_count": "INTEGER NOT NULL",
    "record": "TEXT NOT NULL",
    "erases": "TEXT",
}
# Columns of the history of records, which no commit has.
_RECORD_COLUMNS = ("record", "erases")
_FIRST_TIME, _LAST_TIME = "", "~"


class SqliteHistoryTables:
    """The statements for one model."""

    def __init__(self, base: str) -> None:
        self.heads = f"{base}_resources"
        self.commits = f"{base}_commits"
        self._insert = f"INSERT INTO {self.commits} VALUES ({', '.join('?' for _ in COMMIT_COLUMNS)})"

    def insert_all(self, db: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Enter rows of applied writes, as `commit_row` returns them."""
        db.executemany(self._insert, rows)

    def purge(self, db: Connection, resource_id: str, purged: int) -> set[Position]:
        """Drop a resource's commits, and note that their records are to be erased.

        Returns the positions of the records, and the positions that the records have erased.
        """
        find = f"SELECT record, erases FROM {self.commits} WHERE resource_id = ?"
        positions: set[Position] = set()
        for text, erases in db.execute(find, (resource_id,)).fetchall():
            record = RecordPlace.parse(text)
            add_erasure(db, Erasure(record.line_locator, 3, purged), deferred=False)
            positions |= {record.position, *(Position(*position) for position in json.loads(erases or "[]"))}
        db.execute(f"DELETE FROM {self.commits} WHERE resource_id = ?", (resource_id,))
        return positions

    def prune(self, db: Connection, write: Write, purged: int) -> dict[int, Position]:
        """Give up the data of old revisions, and note that it is to be erased.

        Returns the positions of the records, by the version of the commit.
        """
        resource_id = write.meta.resource_id
        number = f"CAST(substr(revision_id, {len(resource_id) + 2}) AS INTEGER)"
        rows = db.execute(
            f"SELECT version, record FROM {self.commits} WHERE resource_id = ? AND locator IS NOT NULL"
            f" AND {number} <= ? AND revision_id <> ?",
            (resource_id, write.prunes, write.meta.current_revision_id),
        ).fetchall()
        pruned: dict[int, Position] = {}
        for version, text in rows:
            record = RecordPlace.parse(text)
            add_erasure(db, Erasure(record.last_part_locator, 3, purged), deferred=True)
            drop = f"UPDATE {self.commits} SET locator = NULL, data_hash = '' WHERE resource_id = ? AND version = ?"
            db.execute(drop, (resource_id, version))
            pruned[version] = record.position
        return pruned

    def set_erases(self, db: Connection, write: Write, positions: Iterable[Position]) -> None:
        """Note the positions that the record of a write erases."""
        update = f"UPDATE {self.commits} SET erases = ? WHERE resource_id = ? AND version = ?"
        db.execute(update, (json.dumps(sorted(positions)), write.meta.resource_id, write.meta.version))

    def commits_of(self, db: Connection, resource_id: str, before: int | None, limit: int) -> list[Commit]:
        """Commits, newest first."""
        where = "resource_id = ? AND version < ? ORDER BY version DESC LIMIT ?"
        values = (resource_id, FOREVER if before is None else before, limit)
        return [
            commit_of_row(row)
            for row in db.execute(f"SELECT {commit_columns()} FROM {self.commits} WHERE {where}", values)
        ]

    def all_commits_of(self, db: Connection, resource_ids: Sequence[str]) -> list[Commit]:
        """All commits of some resources, one resource after the other, the oldest first."""
        where = "resource_id IN (SELECT value FROM json_each(?)) ORDER BY resource_id, version"
        sql = f"SELECT {commit_columns()} FROM {self.commits} WHERE {where}"
        return [commit_of_row(row) for row in db.execute(sql, (json.dumps(resource_ids),))]

    def commit_at(self, db: Connection, resource_id: str, time: datetime) -> Commit | None:
        """The last commit that is not after the time."""
        where = "resource_id = ? AND time <= ? ORDER BY version DESC LIMIT 1"
        sql = f"SELECT {commit_columns()} FROM {self.commits} WHERE {where}"
        return next(map(commit_of_row, db.execute(sql, (resource_id, timestamp(time)))), None)

    def revisions(self, db: Connection, resource_id: str, span: RevisionSpan) -> list[Revision]:
        """Revisions, newest first."""
        sql = select_revisions(
            self.commits, ":id", ":until",
            condition="made.version < :before AND made.time BETWEEN :since AND :since_until",
            page="ORDER BY made.version DESC LIMIT :limit",
        )  # fmt: skip
        values = {
            "id": resource_id,
            "until": FOREVER,
            "before": FOREVER if span.before is None else span.before,
            "since": _FIRST_TIME if span.since is None else timestamp(span.since),
            "since_until": _LAST_TIME if span.until is None else timestamp(span.until),
            "limit": span.limit,
        }
        return [revision_of(row) for row in db.execute(sql, values)]

    def revision(self, db: Connection, resource_id: str, number: int, version: int | None) -> Revision | None:
        """Return one revision, as of a version."""
        sql = select_revisions(
            self.commits, ":id", ":until",
            # Revision n is made by commit n or a later one, so that the search begins where it most often ends.
            condition="made.version >= :number AND made.revision_id = :revision_id",
            page="LIMIT 1",
        )  # fmt: skip
        values = {
            "id": resource_id,
            "until": FOREVER if version is None else version,
            "number": number,
            "revision_id": f"{resource_id}:{number}",
        }
        return next(map(revision_of, db.execute(sql, values)), None)

    def expired_revisions(self, db: Connection, before: datetime, after: str, limit: int) -> list[str]:
        """Resources with data of revisions from before the time, but for the current ones."""
        sql = (
            f"SELECT DISTINCT c.resource_id FROM {self.commits} c JOIN {self.heads} h USING (resource_id)"
            " WHERE c.locator IS NOT NULL AND c.time < ? AND c.revision_id <> h.current_revision_id"
            " AND c.resource_id > ? ORDER BY c.resource_id LIMIT ?"
        )
        return [resource_id for (resource_id,) in db.execute(sql, (timestamp(before), after, limit))]


def commit_columns(table: str = "") -> str:
    """Return the columns that `commit_of_row` reads, of a table that has this alias."""
    prefix = f"{table}." if table else ""
    return ", ".join(f"{prefix}{name}" for name in COMMIT_COLUMNS if name not in _RECORD_COLUMNS)


def commit_of_row(row: Sequence[Any]) -> Commit:
    """Return the commit in a row of `commit_columns`."""
    resource_id, version, kind, time, by, revision_id, parent, status, is_deleted, *rest = row
    return Commit(
        resource_id, version, CommitKind(kind), datetime.fromisoformat(time), by, revision_id, parent,
        RevisionStatus(status), bool(is_deleted), *rest,
    )  # fmt: skip


def commit_row(write: Write, locator: str | None, record: str) -> tuple[Any, ...]:
    """Return the row of a write in the history, with the locator of its data and the place of its record."""
    meta, revision = write.meta, write.revision
    parent, data_hash, size = (
        (None, None, None) if revision is None else (revision.parent_revision_id, revision.data_hash, revision.size)
    )
    return (
        meta.resource_id, meta.version, write.kind, timestamp(meta.updated_time), meta.updated_by,
        meta.current_revision_id, parent, meta.status, meta.is_deleted, meta.schema_version, data_hash, size, locator,
        meta.total_revision_count, record, None,
    )  # fmt: skip
