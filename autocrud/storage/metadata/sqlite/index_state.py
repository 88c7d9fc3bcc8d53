"""What SQLite knows of the index fields of one model: how far the column of each is filled, and whether it still holds.

Processes of several versions of a service may share a file, or its snapshots. One that does not know a field writes
past its column, and says so in the same transaction: the column is filled again later.
"""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any

from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import (
    POINT_IN_TIME_COLUMN,
    FieldState,
    point_in_time_signature,
    signature,
)


class SqliteIndexStates:
    """The states of one model's index fields, also of those that other versions of the model have."""

    def __init__(self, spec: ModelSpec[Any], base: str, heads: str) -> None:
        self.table = f"{base}_fields"
        self._own_signatures = {field.column: signature(field) for field in spec.index_fields}
        self._states_signature = point_in_time_signature(spec)
        signatures = _literals(self._own_signatures.values())
        known_signatures = (
            _literals([self._states_signature, *self._own_signatures.values()]) if spec.temporal else signatures
        )
        self._mark_stale = (
            f"UPDATE {self.table} SET passed_by = 1 WHERE passed_by = 0 AND signature NOT IN ({known_signatures})"
        )
        self._restart = (
            f"UPDATE {self.table} SET after = 0, done = 0, total = (SELECT count(*) FROM {heads}), passed_by = 0"
            f" WHERE passed_by = 1 AND signature IN ({signatures})"
        )

    def create_table(self, db: Connection) -> bool:
        """Create the table; says whether there was none."""
        exists = "SELECT 1 FROM sqlite_master WHERE name = ?"
        if db.execute(exists, (self.table,)).fetchone():
            return False
        columns = "column TEXT PRIMARY KEY, signature TEXT NOT NULL, after INTEGER, done INTEGER NOT NULL"
        db.execute(f"CREATE TABLE {self.table} ({columns}, total INTEGER NOT NULL, passed_by INTEGER NOT NULL)")
        return True

    def mark_stale(self, db: Connection) -> None:
        """Say that rows were written without the columns that this process does not know."""
        db.execute(self._mark_stale)

    def restart_stale(self, db: Connection) -> None:
        """Begin again with the model's own columns that were passed by."""
        db.execute(self._restart)

    def holds_states(self, db: Connection) -> bool:
        """Whether the states that are kept are of these fields, and were not passed by."""
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self.table,)).fetchone():
            return False
        wanted = f"SELECT 1 FROM {self.table} WHERE column = ? AND signature = ? AND passed_by = 0"
        return db.execute(wanted, (POINT_IN_TIME_COLUMN, self._states_signature)).fetchone() is not None

    def begin_states(self, db: Connection) -> None:
        """From now on states are kept: whoever does not know them passes by."""
        db.execute(
            f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?, NULL, 0, 0, 0)",
            (POINT_IN_TIME_COLUMN, self._states_signature),
        )

    def states(self, db: Connection) -> dict[str, FieldState[int]]:
        """The states, by the columns."""
        rows = db.execute(f"SELECT column, signature, after, done, total, passed_by FROM {self.table}")
        return {row[0]: FieldState(*row) for row in rows}

    def pending(self, db: Connection) -> list[FieldState[int]]:
        """The states of the model's own columns that are not filled, those furthest behind first.

        Those that another version of the model fills, for what the field is to it, are its own.
        """
        states = self.states(db).values()
        found = (
            state
            for state in states
            if state.after is not None and self._own_signatures.get(state.column) == state.signature
        )
        return sorted(found, key=lambda state: (state.after or 0, state.column))

    def begin(self, db: Connection, field: IndexField, total: int) -> None:
        """Begin to fill a column; where there are no resources, it is filled."""
        row = (field.column, signature(field), 0 if total else None, total)
        db.execute(f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?, ?, 0, ?, 0)", row)

    def advance(self, db: Connection, fields: Iterable[IndexField], after: int | None, rows: int) -> None:
        """Remember how far these columns are."""
        update = f"UPDATE {self.table} SET after = ?, done = done + ? WHERE column = ?"
        db.executemany(update, [(after, rows, field.column) for field in fields])

    def is_current(self, state: FieldState[int] | None, field: IndexField) -> bool:
        """Whether what a column holds, or what has been filled of it, is of this field, and was not passed by."""
        return state is not None and state.signature == signature(field) and not state.stale

    def _is_own(self, state: FieldState[int]) -> bool:
        return self._own_signatures.get(state.column) == state.signature


def _literals(signatures: Iterable[str]) -> str:
    # Signatures are hexadecimal digits, so that nothing in them needs to be escaped.
    return ", ".join(f"'{signature}'" for signature in signatures)


def least_filled(states: Sequence[FieldState[int]], fields: Sequence[IndexField]) -> tuple[list[IndexField], int]:
    """Those of the fields that are furthest behind, all at the same row, and this row."""
    wanted = {field.column: field for field in fields}
    found = [state for state in states if state.column in wanted]
    if not found:
        return [], 0
    after = found[0].after or 0
    return [wanted[state.column] for state in found if state.after == after], after
