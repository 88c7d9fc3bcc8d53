"""The history of one model in PostgreSQL: a row per commit, and the statements on it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from autocrud.resource import CommitKind, RevisionStatus
from autocrud.storage.metadata.postgres.compiler import TableNames
from autocrud.storage.metadata.sql.revisions import FOREVER, select_revisions
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Commit, RevisionSpan, Write

COMMIT_COLUMNS = {
    "resource_id": "text",
    "version": "bigint",
    "kind": "text",
    "time": "timestamptz",
    "by": "text",
    "revision_id": "text",
    "parent_revision_id": "text",
    "status": "text",
    "is_deleted": "boolean",
    "schema_version": "integer",
    "data_hash": "text",
    "size": "bigint",
    "locator": "text",
    "total_revision_count": "bigint",
    "sequence": "bigint",
    "ordinal": "integer",
}
_POSITION = ("sequence", "ordinal")
_FIRST_TIME, _LAST_TIME = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


class PostgresHistoryTables:
    """The statements for one model.

    Args:
        names: the model's table names.
        heads: the table of the heads.
    """

    def __init__(self, names: TableNames, heads: str) -> None:
        self.commits = names.qualified("commits")
        columns = ", ".join(f'"{name}"' for name in COMMIT_COLUMNS)
        casts = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(COMMIT_COLUMNS.values(), 1))
        self.insert_commits = (
            f"INSERT INTO {self.commits} ({columns}) SELECT * FROM unnest({casts})"
            " RETURNING sequence, ordinal, resource_id, version, kind"
        )
        self.purge = f"DELETE FROM {self.commits} WHERE resource_id = ANY($1::text[])"
        self.prune = (
            # The hash of data is erased with it: it stands in the data part of the record.
            f"UPDATE {self.commits} c SET locator = NULL, data_hash = '' FROM unnest($1::text[], $2::bigint[])"
            " AS pruned (resource_id, version) WHERE c.resource_id = pruned.resource_id AND c.version = pruned.version"
        )
        self.places = (
            "SELECT resource_id, version, revision_id, sequence, ordinal, locator IS NOT NULL"
            f" FROM {self.commits} WHERE resource_id = ANY($1::text[])"
        )
        self.places_with_data = f"{self.places} AND locator IS NOT NULL"
        commits = f"SELECT {commit_columns()} FROM {self.commits} WHERE resource_id = $1"
        self.commits_of = f"{commits} AND version < $2 ORDER BY version DESC LIMIT $3"
        self.all_commits_of = (
            f"SELECT {commit_columns()} FROM {self.commits} WHERE resource_id = ANY($1::text[])"
            " ORDER BY resource_id, version"
        )
        self.commit_at = f"{commits} AND time <= $2 ORDER BY version DESC LIMIT 1"
        self.expired_revisions = (
            f"SELECT DISTINCT c.resource_id FROM {self.commits} c JOIN {heads} h USING (resource_id)"
            " WHERE c.locator IS NOT NULL AND c.time < $1 AND c.revision_id <> h.current_revision_id"
            " AND c.resource_id > $2 ORDER BY c.resource_id LIMIT $3"
        )

    def revisions(self, resource_id: str, span: RevisionSpan) -> tuple[str, list[Any]]:
        """Return the statement for revisions, newest first, and its arguments."""
        sql = select_revisions(
            self.commits, "$1", "$2",
            condition="made.version < $3 AND made.time BETWEEN $4 AND $5",
            page="ORDER BY made.version DESC LIMIT $6",
        )  # fmt: skip
        before = FOREVER if span.before is None else span.before
        since, until = span.since or _FIRST_TIME, span.until or _LAST_TIME
        return sql, [resource_id, FOREVER, before, since, until, span.limit]

    def revision(self, resource_id: str, number: int, version: int | None) -> tuple[str, list[Any]]:
        """Return the statement for one revision, as of a version, and its arguments."""
        sql = select_revisions(
            self.commits, "$1", "$2",
            # Revision n is made by commit n or a later one, so that the search begins where it most often ends.
            condition="made.version >= $3 AND made.revision_id = $4",
            page="ORDER BY made.version LIMIT 1",
        )  # fmt: skip
        return sql, [resource_id, version or FOREVER, number, f"{resource_id}:{number}"]


def commit_columns(table: str = "") -> str:
    """Return the columns that `commit_of_row` reads, of a table that has this alias."""
    prefix = f"{table}." if table else ""
    return ", ".join(f'{prefix}"{name}"' for name in COMMIT_COLUMNS if name not in _POSITION)


def commit_of_row(row: Iterable[Any]) -> Commit:
    """A row of `commits_of` or `commit_at`."""
    resource_id, version, kind, time, by, revision_id, parent, status, *rest = row
    return Commit(resource_id, version, CommitKind(kind), time, by, revision_id, parent, RevisionStatus(status), *rest)


def commit_row(write: Write, locator: str | None, position: Position) -> tuple[Any, ...]:
    """A row for `insert_commits`."""
    meta, revision = write.meta, write.revision
    parent, data_hash, size = (
        (None, None, None) if revision is None else (revision.parent_revision_id, revision.data_hash, revision.size)
    )
    if data_hash and locator is None:
        data_hash = ""  # a later write of the batch prunes the data
    return (
        meta.resource_id, meta.version, write.kind.value, meta.updated_time, meta.updated_by, meta.current_revision_id,
        parent, meta.status.value, meta.is_deleted, meta.schema_version, data_hash, size, locator,
        meta.total_revision_count, *position,
    )  # fmt: skip
