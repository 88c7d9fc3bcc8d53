"""What PostgreSQL knows of the index fields of one model: how far the columns of each are filled, and whether a process
passed them by.

Processes of several versions of a service may share the tables. One that does not know a field writes past its columns,
and says so in the same transaction: they are filled again later.
"""

from collections.abc import Iterable
from typing import Any

from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.index_backfill.column_state import (
    POINT_IN_TIME_COLUMN,
    FieldState,
    point_in_time_signature,
    signature,
)
from autocrud.storage.metadata.postgres.compiler import column_name, column_type, folded_name, is_folded, to_driver


class PostgresIndexStates:
    """The statements on the states of one model's index fields, also of those that other versions of it have.

    Args:
        table, heads: quoted, and with their schema.

    Attributes:
        mark_stale: a common table expression that marks the columns as stale that this process does not know.
    """

    def __init__(self, spec: ModelSpec[Any], table: str, heads: str) -> None:
        self.table = table
        self._own_signatures = {field.column: signature(field) for field in spec.index_fields}
        self._states_signature = point_in_time_signature(spec)
        signatures = _literals(self._own_signatures.values())
        known_signatures = (
            _literals([self._states_signature, *self._own_signatures.values()]) if spec.temporal else signatures
        )
        strangers = f"AND signature NOT IN ({known_signatures})" if known_signatures else ""
        # Part of a statement that every write makes, so that it costs no more than a look at a few rows.
        self.mark_stale = f"passed AS (UPDATE {table} SET passed_by = true WHERE NOT passed_by {strangers})"
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

    async def holds_states(self, connection: Any) -> bool:
        """Whether the states that are kept are of these fields, and were not passed by."""
        if not await connection.fetchval("SELECT to_regclass($1)::text", self.table):
            return False
        wanted = f'SELECT 1 FROM {self.table} WHERE "column" = $1 AND signature = $2 AND NOT passed_by'
        return bool(await connection.fetchval(wanted, POINT_IN_TIME_COLUMN, self._states_signature))

    async def begin_states(self, connection: Any) -> None:
        """From now on states are kept: whoever does not know them passes by."""
        # Without the table, which comes later, nothing notes who does: the next start fills them again.
        if await connection.fetchval("SELECT to_regclass($1)::text", self.table):
            await connection.execute(self.begin, POINT_IN_TIME_COLUMN, self._states_signature, None, 0)

    async def states(self, connection: Any) -> dict[str, FieldState[str]]:
        """The states, by the columns."""
        return {row[0]: FieldState(*row) for row in await connection.fetch(self._states)}

    async def pending(self, connection: Any) -> list[FieldState[str]]:
        """The states of the model's own columns that are not filled, those furthest behind first.

        Those that another version of the model fills, for what the field is to it, are its own.
        """
        states = (await self.states(connection)).values()
        found = (
            state
            for state in states
            if state.after is not None and self._own_signatures.get(state.column) == state.signature
        )
        return sorted(found, key=lambda state: (state.after or "", state.column))

    def is_current(self, state: FieldState[str] | None, field: IndexField) -> bool:
        """Whether what the columns hold, or what has been filled of them, is of this field, and was not passed by."""
        return state is not None and state.signature == signature(field) and not state.stale

    def _is_own(self, state: FieldState[str]) -> bool:
        return self._own_signatures.get(state.column) == state.signature


def _literals(signatures: Iterable[str]) -> str:
    # Signatures are hexadecimal digits, so that nothing in them needs to be escaped.
    return ", ".join(f"'{signature}'" for signature in signatures)


def columns_of_field(field: IndexField) -> dict[str, str]:
    """The columns of an index field, and their types."""
    folded = {folded_name(field): "text"} if is_folded(field) else {}
    return {column_name(field): column_type(field), **folded}


def values_of_field(field: IndexField, value: IndexValue) -> list[Any]:
    """What these columns hold for a value."""
    folded = [value.casefold() if isinstance(value, str) else None] if is_folded(field) else []
    return [to_driver(field, value), *folded]


def least_filled(states: Iterable[FieldState[str]], fields: Iterable[IndexField]) -> tuple[list[IndexField], str]:
    """Those of the fields that are furthest behind, all at the same resource, and its id."""
    wanted = {field.column: field for field in fields}
    found = [state for state in states if state.column in wanted]
    if not found:
        return [], ""
    after = found[0].after or ""
    return [wanted[state.column] for state in found if state.after == after], after
