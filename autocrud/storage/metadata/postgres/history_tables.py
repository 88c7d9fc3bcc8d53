"""The history of one model in PostgreSQL: a row per commit, what is to be erased, and the statements on these."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from autocrud.resource import CommitKind, RevisionStatus
from autocrud.storage.metadata.postgres.compiler import TableNames
from autocrud.storage.metadata.sql.revisions import FOREVER, select_revisions
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
    "record": "text",
}
_FIRST_TIME, _LAST_TIME = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


class PostgresHistoryTables:
    """The statements for one model.

    Args:
        names: the model's table names.
        heads: the table of the heads.
        mark_stale: the common table expression that each write to the history begins with.
    """

    def __init__(self, names: TableNames, heads: str, mark_stale: str) -> None:
        self.commits, self.erasures = names.qualified("commits"), names.qualified("erasures")
        columns = ", ".join(f'"{name}"' for name in COMMIT_COLUMNS)
        casts = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(COMMIT_COLUMNS.values(), 1))
        self.insert_commits = f"WITH {mark_stale} INSERT INTO {self.commits} ({columns}) SELECT * FROM unnest({casts})"
        self.purge = (
            f"WITH {mark_stale},"
            f" gone AS (DELETE FROM {self.commits} WHERE resource_id = ANY($1::text[]) RETURNING record)"
            f" INSERT INTO {self.erasures} (record, step, deferred)"
            " SELECT record, 3, false FROM gone UNION SELECT unnest($2::text[]), 3, false"
        )
        # Lives of an id that began at the same time, as imports may have them, are told apart by their first records.
        self.first_records = (
            f"SELECT DISTINCT ON (resource_id) resource_id, record FROM {self.commits}"
            " WHERE resource_id = ANY($1::text[]) ORDER BY resource_id, version"
        )
        self.prune = self._prune()
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
        self.insert_erasures = f"INSERT INTO {self.erasures} SELECT unnest($1::text[]), 3, unnest($2::boolean[])"
        self.pending_erasures = f"SELECT record, step FROM {self.erasures} WHERE deferred <= $1"
        self.delete_erasures = f"DELETE FROM {self.erasures} WHERE record = ANY($1::text[])"

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

    def _prune(self) -> str:
        """Return the statement that gives up data of old revisions, and returns the versions that had it."""
        # The number of a revision stands behind the colon of its id; ids of resources have none.
        return (
            f"WITH old AS (SELECT DISTINCT c.resource_id, c.version, c.locator FROM {self.commits} c JOIN"
            " unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) AS p (resource_id, number, current, version)"
            " ON c.resource_id = p.resource_id AND c.version <= p.version"
            " WHERE c.locator IS NOT NULL AND split_part(c.revision_id, ':', 2)::bigint <= p.number"
            f" AND c.revision_id <> p.current), gone AS (UPDATE {self.commits} c SET locator = NULL FROM old"
            " WHERE c.resource_id = old.resource_id AND c.version = old.version),"
            f" noted AS (INSERT INTO {self.erasures} (record, step, deferred) SELECT locator, 3, true FROM old)"
            " SELECT resource_id, version FROM old"
        )


def commit_columns(table: str = "") -> str:
    """Return the columns that `commit_of_row` reads, of a table that has this alias."""
    prefix = f"{table}." if table else ""
    return ", ".join(f'{prefix}"{name}"' for name in COMMIT_COLUMNS if name != "record")


def commit_of_row(row: Iterable[Any]) -> Commit:
    """A row of `commits_of` or `commit_at`."""
    resource_id, version, kind, time, by, revision_id, parent, status, *rest = row
    return Commit(resource_id, version, CommitKind(kind), time, by, revision_id, parent, RevisionStatus(status), *rest)


def commit_row(write: Write, locator: str | None, record: str) -> tuple[Any, ...]:
    """A row for `insert_commits`."""
    meta, revision = write.meta, write.revision
    parent, data_hash, size = (
        (None, None, None) if revision is None else (revision.parent_revision_id, revision.data_hash, revision.size)
    )
    return (
        meta.resource_id, meta.version, write.kind.value, meta.updated_time, meta.updated_by, meta.current_revision_id,
        parent, meta.status.value, meta.is_deleted, meta.schema_version, data_hash, size, locator,
        meta.total_revision_count, record,
    )  # fmt: skip
