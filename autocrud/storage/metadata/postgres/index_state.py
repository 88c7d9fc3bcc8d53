"""Index states of one model in PostgreSQL: the progress of each index field's backfill, and the stale columns.

Processes of several versions of a service may share the tables. A process that does not know a field leaves its columns
empty, and marks them as stale in the same transaction. The columns are filled again later.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.column_names import version_of_name
from autocrud.storage.index_backfill.column_state import (
    FieldState,
    point_in_time_column,
    point_in_time_signature,
    same_version_condition,
    signature,
)
from autocrud.storage.metadata.postgres.compiler import (
    column_name,
    column_type,
    folded_name,
    is_folded,
    to_driver_value,
)

_MISSING = "missing."  # begins the column and the signature that stand for states that other versions did not write


class PostgresIndexStates:
    """The statements on the states of one model's index fields, including the fields of other versions of the model.

    Args:
        table, heads: quoted, and with their schema.

    Attributes:
        mark_stale: a statement that marks the columns as stale that this process does not know.
    """

    def __init__(self, spec: ModelSpec[Any], table: str, heads: str) -> None:
        self.table = table
        self._own_signatures = {field.column: signature(field) for field in spec.index_fields}
        self._states_signature, self._states_column = point_in_time_signature(spec), point_in_time_column(spec)
        signatures = _literals(self._own_signatures.values())
        self._version = version = spec.schema.version
        self._known_signatures = {*self._own_signatures.values(), *([self._states_signature] if spec.temporal else [])}
        self.missing_column = f"{_MISSING}{version}"
        self._prepare_marks()
        self.mark_missing = f"UPDATE {table} SET passed_by = true WHERE signature = '{self.missing_column}'"
        self.has_other_versions = (
            f"EXISTS (SELECT 1 FROM {table} WHERE NOT ({same_version_condition(version)})"
            f" AND signature NOT LIKE '{_MISSING}%')"
        )
        self.create = (
            f'CREATE TABLE {table} ("column" text PRIMARY KEY, signature text NOT NULL, after text COLLATE "C",'
            " done bigint NOT NULL, total bigint NOT NULL, passed_by boolean NOT NULL)"
        )
        self.begin = (
            f'INSERT INTO {table} VALUES ($1, $2, $3, 0, $4, false) ON CONFLICT ("column") DO UPDATE SET'
            " signature = $2, after = $3, done = 0, total = $4, passed_by = false"
        )
        self.restart_stale = (
            f"UPDATE {table} SET after = '', done = 0, total = (SELECT count(*) FROM {heads}), passed_by = false"
            f" WHERE passed_by AND signature IN ({signatures or 'NULL'})"
        )
        self.advance = f'UPDATE {table} SET after = $1, done = done + $2 WHERE "column" = ANY($3::text[])'
        self._states = f'SELECT "column", signature, after, done, total, passed_by FROM {table}'

    def use_rule(self, text: str) -> None:
        """Add the signature of a rule that this process keeps: of claims, or of references."""
        self._known_signatures.add(text)
        self._prepare_marks()

    def _prepare_marks(self) -> None:
        signatures = _literals(sorted(self._known_signatures))
        self._strangers = f"signature NOT IN ({signatures})" if signatures else "true"
        missing_states = f"signature LIKE '{_MISSING}%' AND signature <> '{self.missing_column}'"
        stale = f"({self._strangers} AND {same_version_condition(self._version)} AND signature NOT LIKE '{_MISSING}%')"
        # Part of a statement that every write makes, so that it costs no more than a look at a few rows.
        self.mark_stale = (
            f"UPDATE {self.table} SET passed_by = true WHERE NOT passed_by AND ({stale} OR ({missing_states}))"
        )

    def mark_version_stale(self, version: int) -> str:
        """Return the statement for a write of data of another schema version.

        That version cannot tell such a row from its own, such as a revision that is made current again.
        """
        condition = f"{same_version_condition(version)} AND signature NOT LIKE '{_MISSING}%'"
        return f"UPDATE {self.table} SET passed_by = true WHERE NOT passed_by AND {self._strangers} AND {condition}"

    async def holds_states(self, connection: Any) -> bool:
        """Return True if the stored states have these fields, and are not stale."""
        if not await connection.fetchval("SELECT to_regclass($1)::text", self.table):
            return False
        sql = f'SELECT 1 FROM {self.table} WHERE "column" = $1 AND signature = $2 AND NOT passed_by'
        return bool(await connection.fetchval(sql, self._states_column, self._states_signature))

    async def begin_states(self, connection: Any) -> None:
        """Note that states are written from now on. A process that does not know them will mark them as stale."""
        # Without the table, which comes later, nothing notes who does: the next start fills them again.
        if await connection.fetchval("SELECT to_regclass($1)::text", self.table):
            await connection.execute(self.begin, self._states_column, self._states_signature, None, 0)

    async def begin_missing_states(self, connection: Any) -> None:
        """Let processes of other schema versions note that they write no states to this version's table."""
        if await connection.fetchval("SELECT to_regclass($1)::text", self.table):
            name = self.missing_column
            sql = f"INSERT INTO {self.table} VALUES ($1, $1, NULL, 0, 0, false) ON CONFLICT DO NOTHING"
            await connection.execute(sql, name)

    async def states(self, connection: Any) -> dict[str, FieldState[str]]:
        """Return the states, by column."""
        return {row[0]: FieldState(*row) for row in await connection.fetch(self._states)}

    async def pending(self, connection: Any) -> list[FieldState[str]]:
        """Return the states of the model's own unfilled columns, the least filled first.

        A column that another version of the model defines in another way is filled by that version alone.
        """
        states = (await self.states(connection)).values()
        unfilled = (state for state in states if state.after is not None and self._is_own(state))
        return sorted(unfilled, key=lambda state: (state.after or "", state.column))

    def version_of(self, column: str) -> int | None:
        """Return the schema version of a column, or of a name that stands in its place."""
        name, _, version = column.partition(".")
        return int(version) if f"{name}." == _MISSING and version.isdigit() else version_of_name(column)

    def is_current(self, state: FieldState[str] | None, field: IndexField) -> bool:
        """Return True if the columns were filled, in whole or in part, for this field, and are not stale."""
        return state is not None and state.signature == signature(field) and not state.stale

    def _is_own(self, state: FieldState[str]) -> bool:
        return self._own_signatures.get(state.column) == state.signature


def _literals(signatures: Iterable[str]) -> str:
    # Signatures are hexadecimal digits, so that nothing in them needs to be escaped.
    return ", ".join(f"'{signature}'" for signature in signatures)


def columns_of_field(field: IndexField) -> dict[str, str]:
    """Return the columns of an index field, with their types."""
    folded = {folded_name(field): "text"} if is_folded(field) else {}
    return {column_name(field): column_type(field), **folded}


def values_of_field(field: IndexField, value: IndexValue) -> list[Any]:
    """Return the values of these columns for a field's value."""
    folded = [value.casefold() if isinstance(value, str) else None] if is_folded(field) else []
    return [to_driver_value(field, value), *folded]


def driver_values(fields: Sequence[IndexField], index: Sequence[IndexValue]) -> list[Any]:
    """Return the values of the columns of several fields."""
    return [part for field, value in zip(fields, index, strict=True) for part in values_of_field(field, value)]


def least_filled_fields(
    states: Iterable[FieldState[str]], fields: Iterable[IndexField]
) -> tuple[list[IndexField], str]:
    """Return the fields whose columns are least filled, all to the same resource, and the resource's id."""
    by_column = {field.column: field for field in fields}
    found = [state for state in states if state.column in by_column]
    if not found:
        return [], ""
    after = found[0].after or ""
    return [by_column[state.column] for state in found if state.after == after], after
