"""Index states of one model in SQLite: the progress of each index field's backfill, and the stale columns.

Processes of several versions of a service may share a file, or its snapshots. A process that does not know a field
leaves its column empty, and marks the column as stale in the same transaction. The column is filled again later.
"""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any

from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import (
    FieldState,
    claims_column,
    claims_signature,
    point_in_time_column,
    point_in_time_signature,
    references_column,
    references_signature,
    same_version_condition,
    signature,
)


def states_table(base: str) -> str:
    """Return the name of the table of a model's index states."""
    return f"{base}_fields"


def mark_stale(db: Connection, table: str, known_signatures: Iterable[str], versions: Iterable[int]) -> None:
    """Mark the columns of schema versions as stale whose signatures a writing process does not know."""
    literals = _literals(known_signatures)
    for version in versions:
        db.execute(
            f"UPDATE {table} SET passed_by = 1 WHERE passed_by = 0 AND signature NOT IN ({literals})"
            f" AND {same_version_condition(version)}"
        )


class SqliteIndexStates:
    """The statements on the states of one model's index fields, including the fields of other versions of the model.

    The claims and the references of the model have states, too.
    """

    def __init__(self, spec: ModelSpec[Any], base: str, heads: str) -> None:
        self.table = states_table(base)
        self._heads = heads
        self._spec = spec
        self._own_signatures = {field.column: signature(field) for field in spec.index_fields}
        self._states_column = point_in_time_column(spec)
        self._states_signature = point_in_time_signature(spec)
        states = [self._states_signature] if spec.temporal else []
        self._known_signatures = [*states, claims_signature(spec), *self._own_signatures.values()]
        self._references_known: tuple[dict[int, str], str] | None = None
        self._version = spec.schema.version
        self._upgrader = spec.upgrader
        self._restart = (
            f"UPDATE {self.table} SET after = 0, done = 0, total = (SELECT count(*) FROM {heads}), passed_by = 0"
            f" WHERE passed_by = 1 AND signature IN ({_literals(self._own_signatures.values())})"
        )

    def mark_stale(self, db: Connection, versions: Iterable[int], *, has_references: bool) -> None:
        """Mark the columns as stale that this process does not know, because it writes rows without them.

        Processes of other schema versions find the rows of this version by themselves. They cannot tell the rows of
        their own version that this process writes, such as a revision that is made current again.

        Args:
            versions: the schema versions of the written data.
            has_references: True if the written records have all references of the model.
        """
        signatures = [*self._known_signatures, self._references_signature()]
        if has_references:
            sql = f"SELECT signature FROM {self.table} WHERE column = ?"
            signatures += [digits for (digits,) in db.execute(sql, (references_column(self._spec),))]
        mark_stale(db, self.table, signatures, {self._version, *versions})

    def unfilled_facts(self, db: Connection, *, only_claims: bool = False) -> list[tuple[str, str, int]]:
        """Return name, signature and progress of the claims and of the references, if the tables lack some of them.

        The progress is the last row that is filled, or -1 if the fill has to begin.
        """
        spec = self._spec
        declared = [(claims_column(spec), claims_signature(spec), bool(spec.unique_constraints))]
        if not only_claims:
            has_targets = bool(spec.reference_targets)
            declared.append((references_column(spec), self._references_signature(), has_targets))
        states = self.states(db)
        found: list[tuple[str, str, int]] = []
        for column, digits, has_facts in declared:
            state = states.get(column)
            if state is None and not has_facts:
                continue
            if state is None or state.signature != digits or state.stale:
                found.append((column, digits, -1))
            elif state.after is not None:
                found.append((column, digits, state.after))
        return found

    def set_facts(self, db: Connection, column: str, digits: str, after: int | None) -> None:
        """Note how far the claims or the references are filled. None: all of them are."""
        db.execute(f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?, ?, 0, 0, 0)", (column, digits, after))

    def note_claims(self, db: Connection) -> None:
        """Note that all claims are filled if the model has no resources yet, such as before a rebuild."""
        if self._spec.unique_constraints and not db.execute(f"SELECT 1 FROM {self._heads} LIMIT 1").fetchone():
            self.set_facts(db, claims_column(self._spec), claims_signature(self._spec), None)

    def forget_claims(self, db: Connection) -> None:
        """Let the next fill of the claims begin anew, because records had other claims than the model has."""
        db.execute(f"DELETE FROM {self.table} WHERE column = ?", (claims_column(self._spec),))

    def _references_signature(self) -> str:
        """Return the signature for the targets of now. They are set after the storages have opened."""
        targets = self._spec.reference_targets
        if self._references_known is None or self._references_known[0] != targets:
            self._references_known = (dict(targets), references_signature(self._spec))
        return self._references_known[1]

    def has_other_versions(self, db: Connection) -> bool:
        """Return True if the table has columns of other schema versions, or data of newer ones was met.

        If each node has its own file, no process of another version adds columns.
        """
        if self._upgrader.newer_versions:
            return True
        sql = f"SELECT 1 FROM {self.table} WHERE NOT ({same_version_condition(self._version)}) LIMIT 1"
        return db.execute(sql).fetchone() is not None

    def restart_stale(self, db: Connection) -> None:
        """Restart the backfill of the model's own columns that are stale."""
        db.execute(self._restart)

    def holds_states(self, db: Connection) -> bool:
        """Return True if the stored states have these fields, and are not stale."""
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (self.table,)).fetchone():
            return False
        sql = f"SELECT 1 FROM {self.table} WHERE column = ? AND signature = ? AND passed_by = 0"
        return db.execute(sql, (self._states_column, self._states_signature)).fetchone() is not None

    def begin_states(self, db: Connection) -> None:
        """Note that states are written from now on. A process that does not know them will mark them as stale."""
        db.execute(
            f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?, NULL, 0, 0, 0)",
            (self._states_column, self._states_signature),
        )

    def states(self, db: Connection) -> dict[str, FieldState[int]]:
        """Return the states, by column."""
        rows = db.execute(f"SELECT column, signature, after, done, total, passed_by FROM {self.table}")
        return {row[0]: FieldState(*row) for row in rows}

    def pending(self, db: Connection) -> list[FieldState[int]]:
        """Return the states of the model's own unfilled columns, the least filled first.

        A column that another version of the model defines in another way is filled by that version alone.
        """
        states = self.states(db).values()
        unfilled = (state for state in states if state.after is not None and self._is_own(state))
        return sorted(unfilled, key=lambda state: (state.after or 0, state.column))

    def begin(self, db: Connection, field: IndexField, total: int) -> None:
        """Begin to fill a column. Without resources it is filled at once."""
        row = (field.column, signature(field), 0 if total else None, total)
        db.execute(f"INSERT OR REPLACE INTO {self.table} VALUES (?, ?, ?, 0, ?, 0)", row)

    def advance(self, db: Connection, fields: Iterable[IndexField], after: int | None, rows: int) -> None:
        """Note the progress of these columns."""
        update = f"UPDATE {self.table} SET after = ?, done = done + ? WHERE column = ?"
        db.executemany(update, [(after, rows, field.column) for field in fields])

    def is_current(self, state: FieldState[int] | None, field: IndexField) -> bool:
        """Return True if the column was filled, in whole or in part, for this field, and is not stale."""
        return state is not None and state.signature == signature(field) and not state.stale

    def _is_own(self, state: FieldState[int]) -> bool:
        return self._own_signatures.get(state.column) == state.signature


def _literals(signatures: Iterable[str]) -> str:
    # Signatures are hexadecimal digits, so that nothing in them needs to be escaped.
    return ", ".join(f"'{signature}'" for signature in signatures)


def least_filled_fields(
    states: Sequence[FieldState[int]], fields: Sequence[IndexField]
) -> tuple[list[IndexField], int]:
    """Return the fields whose columns are least filled, all to the same row, and this row."""
    by_column = {field.column: field for field in fields}
    found = [state for state in states if state.column in by_column]
    if not found:
        return [], 0
    after = found[0].after or 0
    return [by_column[state.column] for state in found if state.after == after], after
