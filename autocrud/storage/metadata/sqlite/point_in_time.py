"""Point-in-time queries of one model in SQLite, and the table of a temporal model's states.

Each commit of a temporal model has a row in this table: metadata and index values after the commit, and the time of
the next commit. Triggers on the heads and the commits write the rows, so no writer can miss a row.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from sqlite3 import Connection
from typing import Any

from autocrud.query.conditions import Query
from autocrud.query.operators import Operator
from autocrud.resource import timestamp
from autocrud.schema.column_types import ColumnValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.schema.versions.column_names import marker_name, versioned
from autocrud.storage.index_backfill.column_state import stale_row_condition
from autocrud.storage.metadata.sql.point_in_time import PastQueries, StateQueries, past_head_of
from autocrud.storage.metadata.sqlite.compiler import SqliteCompiler, quote, stored_value
from autocrud.storage.metadata.sqlite.history_tables import commit_of_row
from autocrud.storage.point_in_time import PointInTimeRow
from autocrud.storage.ports.types import Head

_PLACES = (
    "(SELECT json_extract(value, '$[0]') AS resource_id, json_extract(value, '$[1]') AS version, key AS place"
    " FROM json_each(?)) AS wanted"
)
_FOREVER = "~"  # behind every time


def states_prefix(base: str) -> str:
    """Return the start of the names of a model's tables of states, before the schema version."""
    return f"{base}__states"


class SqliteStates:
    """Statements for a model.

    Args:
        meta_columns: metadata columns of the heads, with their types.
        index_columns: columns of index values.
    """

    def __init__(
        self,
        spec: ModelSpec[Any],
        base: str,
        commits: str,
        meta_columns: Mapping[str, str],
        index_columns: Mapping[str, str],
    ) -> None:
        self._spec = spec
        self._base = base
        self._heads, self._commits = f"{base}_resources", commits
        self._version = spec.schema.version
        self.table = states_prefix(base) + versioned("states", self._version).removeprefix("states")
        self._index = [quote(name) for name in index_columns]
        # Tables of version 1 may be older than the marker, and are filled again with the heads.
        self.has_marker = bool(index_columns) and self._version > 1
        self._marker = [quote(marker_name(self._version))] if self.has_marker else []
        kinds = {name: kind for name, kind in meta_columns.items() if name != "meta"}
        self._meta = list(kinds)
        kinds |= dict(zip(self._index, index_columns.values(), strict=True)) | dict.fromkeys(self._marker, "INTEGER")
        declared = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        self._columns = ["resource_id", *kinds]
        # With numbers for its rows, which an index names in few bytes, and are looked up only where the index says so.
        self._create = (
            f"CREATE TABLE {self.table} (row INTEGER PRIMARY KEY, resource_id TEXT NOT NULL, {declared},"
            " until TEXT NOT NULL, UNIQUE (resource_id, version))"
        )
        self._past_queries = PastQueries(self._heads, commits)
        self._state_queries = StateQueries(self.table)
        self._select = self._past_queries.states(_PLACES, "CROSS JOIN")

    def search(self, db: Connection, query: Query) -> list[Head]:
        """Return a page of past heads, plus a further head if a next page exists."""
        db.execute("BEGIN")  # all statements see the same state of the file
        try:
            places = json.dumps(self._find_places(db, query))
            return [past_head_of(row, commit_of_row) for row in db.execute(self._select, (places,))]
        finally:
            db.rollback()

    def count(self, db: Connection, query: Query) -> int:
        """Return the number of matching resources."""
        compiler = _StatesCompiler(self._base)
        queries = self._past_queries if query.where is None else self._state_queries
        sql = queries.count(compiler, query)
        return int(db.execute(sql, compiler.values).fetchone()[0])

    def drop_stale(self, db: Connection, *, holds: bool) -> None:
        """Drop the table and its triggers if their definitions are outdated, or the table is incomplete."""
        present = self._present_objects(db)
        definitions = {self.table: self._create, **self._triggers()} if self._spec.temporal else {}
        if present.items() == definitions.items() and (holds or not definitions):
            return
        for name in present.keys() - {self.table}:
            db.execute(f"DROP TRIGGER {name}")
        db.execute(f"DROP TABLE IF EXISTS {self.table}")

    def create(self, db: Connection) -> bool:
        """Create the table and the triggers if missing. Return True if the call created the table."""
        if not self._spec.temporal or self._present_objects(db):
            return False
        for statement in (self._create, *self._triggers().values()):
            db.execute(statement)
        return True

    def exists(self, db: Connection) -> bool:
        """Return True if the table exists."""
        return self.table in self._present_objects(db)

    def is_incomplete(self, db: Connection) -> bool:
        """Return True if states may be missing."""
        return self._spec.temporal and not self._indexes().keys() <= self._index_names(db)

    def create_indexes(self, db: Connection) -> None:
        """Create the indexes. Their existence marks the table as filled."""
        names = self._index_names(db)
        for name, sql in self._indexes().items():
            if name not in names:
                db.execute(sql)

    def find_stale(self, db: Connection, limit: int) -> list[str]:
        """Return some resources with states written by processes of other schema versions."""
        if not (self.has_marker and self._spec.temporal):
            return []
        sql = f"SELECT DISTINCT resource_id FROM {self.table} WHERE {stale_row_condition(self._version)} LIMIT ?"
        return [resource_id for (resource_id,) in db.execute(sql, (limit,))]

    def find_unfilled(self, db: Connection, after: str, limit: int) -> list[tuple[str, str, str | None, bytes | None]]:
        """Return resources behind an id without first states: id, time and author of the creation, inline data."""
        sql = (
            f"SELECT resource_id, created_time, created_by, head FROM {self._heads} h WHERE resource_id > ?"
            f" AND NOT EXISTS (SELECT 1 FROM {self.table} s WHERE s.resource_id = h.resource_id AND s.version = 1)"
            " ORDER BY resource_id LIMIT ?"
        )
        return db.execute(sql, (after, limit)).fetchall()

    def heads_of(self, db: Connection, resource_ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return rows of `find_unfilled` for the given resources, with their versions."""
        sql = f"SELECT resource_id, created_time, created_by, head, version FROM {self._heads} WHERE resource_id IN"
        return db.execute(f"{sql} (SELECT value FROM json_each(?))", (json.dumps(resource_ids),)).fetchall()

    def fill(
        self, db: Connection, created: Mapping[str, tuple[str, str | None]], states: Iterable[PointInTimeRow]
    ) -> None:
        """Store all states of some resources. `created` has time and author of their creation."""
        delete = f"DELETE FROM {self.table} WHERE resource_id = ?"
        db.executemany(delete, [(resource_id,) for resource_id in created])
        marks = ", ".join("?" for _ in range(len(self._columns) + 1))
        insert = f"INSERT INTO {self.table} ({', '.join(self._columns)}, until) VALUES ({marks})"
        db.executemany(insert, (self._row(state, *created[state.commit.resource_id]) for state in states))

    def _row(self, state: PointInTimeRow, created_time: str, created_by: str | None) -> tuple[Any, ...]:
        commit = state.commit
        values = {
            "version": commit.version,
            "current_revision_id": commit.revision_id,
            "total_revision_count": commit.total_revision_count,
            "is_deleted": commit.is_deleted,
            "created_time": created_time,
            "updated_time": timestamp(commit.time),
            "created_by": created_by,
            "updated_by": commit.by,
            "schema_version": commit.schema_version,
            "status": commit.status,
        }
        until = _FOREVER if state.until is None else timestamp(state.until)
        row = (commit.resource_id, *(values[name] for name in self._meta), *map(stored_value, state.index))
        return (*row, *(commit.version for _ in self._marker), until)

    def _queries_for(self, query: Query) -> PastQueries | StateQueries:
        """Return the queries on past values, or the cheaper queries on heads if these suffice."""
        return self._state_queries if query.needs_history else self._past_queries

    def _find_places(self, db: Connection, query: Query) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        for segment in SqliteCompiler(self._base).segments(query):
            compiler = _StatesCompiler(self._base)
            limit = compiler.placeholder(query.limit + 1 - len(found))
            sql = self._queries_for(query).page(compiler, query, segment, limit)
            found += db.execute(sql, compiler.values).fetchall()
            if len(found) > query.limit:
                break
        return found

    def _triggers(self) -> dict[str, str]:
        into = f"INSERT INTO {self.table} ({', '.join(self._columns)}, until)"
        new = [f"NEW.{name}" for name in self._columns]
        # A commit without data leaves the values as they were: those of the head may still have to be filled in.
        inherited = "CASE WHEN NEW.revision_info IS OLD.revision_info THEN s.{0} ELSE NEW.{0} END"
        meta = [f"NEW.{name}" for name in ("resource_id", *self._meta)]
        later_values = [*meta, *(inherited.format(name) for name in self._index)]
        later_values += [f"NEW.{name}" for name in self._marker]
        old = "resource_id = OLD.resource_id AND version = OLD.version"
        bodies = {
            "insert": f"AFTER INSERT ON {self._heads} BEGIN {into} VALUES ({', '.join(new)}, '{_FOREVER}'); END",
            "update": f"AFTER UPDATE OF version ON {self._heads} WHEN NEW.version <> OLD.version BEGIN"
            f" UPDATE {self.table} SET until = NEW.updated_time WHERE {old};"
            f" {into} SELECT {', '.join(later_values)}, '{_FOREVER}' FROM {self.table} s WHERE {old}; END",
            "delete": f"AFTER DELETE ON {self._heads}"
            f" BEGIN DELETE FROM {self.table} WHERE resource_id = OLD.resource_id; END",
        }
        if self._index:
            nothing = ", ".join(f"{name} = NULL" for name in self._index)
            of_revision = "resource_id = NEW.resource_id AND current_revision_id = NEW.revision_id"
            pruned = f"AFTER UPDATE OF locator ON {self._commits} WHEN NEW.locator IS NULL AND OLD.locator IS NOT NULL"
            bodies["prune"] = f"{pruned} BEGIN UPDATE {self.table} SET {nothing} WHERE {of_revision}; END"
        return {f"{self.table}_{name}": f"CREATE TRIGGER {self.table}_{name} {body}" for name, body in bodies.items()}

    def _indexes(self) -> dict[str, str]:
        # With the span of time in them, so that the states of other times are passed over without being read.
        order_columns = "created_time, resource_id, updated_time, until, is_deleted"
        found = {f"{self.table}_all": f"({order_columns})"}
        for field in self._spec.index_fields:
            if not (field.is_list or isinstance(field, DocumentField)):  # texts are searched as they are now
                found[f"{self.table}_{field.column}"] = f"({quote(field.column)}, {order_columns})"
        if self.has_marker:
            found[f"{self.table}_stale"] = f"(resource_id) WHERE {stale_row_condition(self._version)}"
        return {name: f"CREATE INDEX {quote(name)} ON {self.table} {columns}" for name, columns in found.items()}

    def _present_objects(self, db: Connection) -> dict[str, str]:
        """Return the stored definitions of the table and its triggers."""
        names = json.dumps([self.table, *(f"{self.table}_{name}" for name in _TRIGGERS)])
        of_these = "type IN ('table', 'trigger') AND name IN (SELECT value FROM json_each(?))"
        return dict(db.execute(f"SELECT name, sql FROM sqlite_master WHERE {of_these}", (names,)))

    def _index_names(self, db: Connection) -> set[str]:
        sql = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ?"
        return {name for (name,) in db.execute(sql, (self.table,))}


_TRIGGERS = ("insert", "update", "delete", "prune")


class _StatesCompiler(SqliteCompiler):
    """Compiler without the tables of list items, because the tables have only current values."""

    def list_term(self, field: IndexField, operator: Operator, values: Sequence[ColumnValue]) -> str:
        return self.in_column(field, operator, values)
