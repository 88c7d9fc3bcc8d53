"""Point-in-time queries for both engines: the statements on heads, commits and states, and their rows."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from autocrud.query.conditions import Query
from autocrud.query.metadata_fields import CREATED_TIME
from autocrud.resource import ResourceMeta, timestamp
from autocrud.storage.metadata.sql.compiler import Compiler, Segment
from autocrud.storage.metadata.sql.revisions import CREATING_KINDS, REWRITING_KINDS, revision_of
from autocrud.storage.point_in_time import resource_at
from autocrud.storage.ports.types import Commit, Head

# A driver takes the very last time for one that is behind all times, until which the current states are.
_LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

# The columns of a commit, as the histories of both engines have them.
_COMMIT = (
    "resource_id", "version", "kind", "time", "by", "revision_id", "parent_revision_id", "status", "is_deleted",
    "schema_version", "data_hash", "size", "locator", "total_revision_count",
)  # fmt: skip


class PastQueries:
    """The point-in-time statements on a model's heads and commits.

    The engine goes through the heads in order, and looks up the last commit of each head up to the time of the query.
    If no commit is later than that time, the head itself has the answer.
    """

    def __init__(self, heads: str, commits: str) -> None:
        self._heads = heads
        self._commits = commits

    def page(self, compiler: Compiler, query: Query, segment: Segment, limit: str) -> str:
        """Return the statement for the ids and versions of a segment's first rows."""
        at = _bound_at(compiler, query)
        where = f"{self._exists_at(query, at)} AND {_created_before(segment, at)}"
        where += f" AND {compiler.cursor_condition(segment)}"
        order = compiler.order_by(segment.keys)
        select = f"SELECT resource_id, {self._column_at('version', at)} FROM {self._heads} h"
        return f"{select} WHERE {where} ORDER BY {order} LIMIT {limit}"

    def count(self, compiler: Compiler, query: Query) -> str:
        """Return the statement for the number of resources at the time of the query."""
        at = _bound_at(compiler, query)
        return f"SELECT count(*) FROM {self._heads} h WHERE created_time <= {at} AND {self._exists_at(query, at)}"

    def states(self, places: str, join: str) -> str:
        """Return the statement for the states of resources at versions, whose rows `past_head_of` reads.

        Args:
            places: rows of resource_id, version and place, which is their order.
            join: joins tables in the order in which they are named.
        """
        commits = self._commits
        number = "CAST(substr(c.revision_id, length(c.resource_id) + 2) AS bigint)"
        of_revision = "resource_id = c.resource_id AND {0}.revision_id = c.revision_id AND {0}.version <= c.version"
        # Revision n is made by commit n or a later one, so that the search begins where it most often ends.
        made = (
            f"SELECT min(m.version) FROM {commits} m WHERE m.{of_revision.format('m')}"
            f" AND m.version >= {number} AND m.kind IN {CREATING_KINDS}"
        )
        rewritten = (
            f"SELECT max(later.version) FROM {commits} later WHERE later.{of_revision.format('later')}"
            f" AND later.kind IN {REWRITING_KINDS}"
        )
        newest = f"SELECT max(d.version) FROM {commits} d WHERE d.resource_id = h.resource_id AND d.size IS NOT NULL"
        return (
            f"SELECT {', '.join(f'c.{name}' for name in _COMMIT)}, h.meta,"
            " CASE WHEN c.version = h.version THEN h.revision_info END,"
            f" CASE WHEN held.version = ({newest}) THEN h.head END,"
            " made.version, held.version, made.revision_id, made.parent_revision_id, made.time, made.by,"
            " held.schema_version, held.status, held.data_hash, held.size, held.locator"
            f" FROM {places} {join} {self._heads} h ON h.resource_id = wanted.resource_id"
            f" {join} {commits} c ON c.resource_id = h.resource_id AND c.version = wanted.version"
            f" {join} {commits} made ON made.resource_id = c.resource_id AND made.version = ({made})"
            f" {join} {commits} held ON held.resource_id = c.resource_id"
            f" AND held.version = coalesce(({rewritten}), made.version) ORDER BY wanted.place"
        )

    def _column_at(self, column: str, at: str) -> str:
        """Return a column of both tables as of a time; null if the resource did not exist."""
        last = f"c.resource_id = h.resource_id AND c.time <= {at} ORDER BY c.version DESC LIMIT 1"
        commit = f"SELECT c.{column} FROM {self._commits} c WHERE {last}"
        return f"CASE WHEN h.updated_time <= {at} THEN h.{column} ELSE ({commit}) END"

    def _exists_at(self, query: Query, at: str) -> str:
        """Return the condition for resources in existence at a time; null counts as false."""
        if query.include_deleted:
            return f"{self._column_at('version', at)} IS NOT NULL"
        return f"NOT ({self._column_at('is_deleted', at)})"


class StateQueries:
    """The point-in-time statements on the states of a temporal model. Each state has a span of time.

    Of several commits with the same time, only the last one has a span that is not empty.
    """

    def __init__(self, table: str) -> None:
        self._table = table

    def page(self, compiler: Compiler, query: Query, segment: Segment, limit: str) -> str:
        """Return the statement for the ids and versions of a segment's first rows."""
        at = _bound_at(compiler, query)
        where = f"{self._where(compiler, query, at)} AND {_created_before(segment, at)}"
        where += f" AND {segment.condition} AND {compiler.cursor_condition(segment)}"
        order = compiler.order_by(segment.keys)
        return f"SELECT resource_id, version FROM {self._table} WHERE {where} ORDER BY {order} LIMIT {limit}"

    def count(self, compiler: Compiler, query: Query) -> str:
        """Return the statement for the number of resources at the time of the query."""
        at = _bound_at(compiler, query)
        where = f"{self._where(compiler, query, at)} AND created_time <= {at}"
        return f"SELECT count(*) FROM {self._table} WHERE {where}"

    def _where(self, compiler: Compiler, query: Query, at: str) -> str:
        return f"{compiler.live(query)} AND updated_time <= {at} AND until > {at} AND {compiler.where(query.where)}"


def past_head_of(row: Sequence[Any], commit_of: Callable[[Sequence[Any]], Commit]) -> Head:
    """Return the head in a row of `PastQueries.states`; `commit_of` reads the engine's rows of commits."""
    commit, (meta, current_info, data) = commit_of(row[: len(_COMMIT)]), row[len(_COMMIT) : len(_COMMIT) + 3]
    head_meta, revision = ResourceMeta.model_validate_json(meta), revision_of(row[len(_COMMIT) + 3 :])
    if current_info is not None:
        created = timestamp(head_meta.created_time)
        return Head(
            commit.resource_id, commit.version, commit.is_deleted, created, meta, current_info, data, revision.locator
        )
    return resource_at(commit, head_meta, revision.info, data, revision.locator)


def _created_before(segment: Segment, at: str) -> str:
    """Return the condition that a resource was created up to a time, which narrows the range of an index scan.

    A cursor in the order of creation, newest first, narrows the range more: then the condition is left out.
    """
    first = segment.keys[0]
    begins = segment.after is not None and first.descending and first.field == CREATED_TIME
    return "true" if begins else f"created_time <= {at}"


def _bound_at(compiler: Compiler, query: Query) -> str:
    if query.at is None:
        raise ValueError("a query of the past has a time")
    return compiler.bind(CREATED_TIME, timestamp(min(query.at, _LAST)))
