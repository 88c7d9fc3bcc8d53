"""Combines statements that write different rows into one, so that they take one round trip."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from autocrud.storage.metadata.postgres.compiler import shift_placeholders
from autocrud.storage.metadata.postgres.tables import columns_of

_CACHED_STATEMENTS = 512


class CombinedStatement:
    """Statements with their arguments. They must not read or write the same rows, because their order is open."""

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._statements: list[tuple[str, tuple[Any, ...]]] = []

    def add(self, sql: str, *arguments: Any) -> None:
        """Add a statement."""
        self._statements.append((sql, arguments))

    def add_rows(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows of a statement that takes them as arrays. Without rows the statement is left out."""
        if rows:
            self._rows.setdefault(sql, []).extend(rows)

    async def execute(self, connection: Any) -> None:
        """Execute the statements, if there are any."""
        statements = [(sql, columns_of(rows)) for sql, rows in self._rows.items()]
        statements += [(sql, list(arguments)) for sql, arguments in self._statements]
        if statements:
            sql = _combine(tuple((sql, len(arguments)) for sql, arguments in statements))
            await connection.execute(sql, *[argument for _, arguments in statements for argument in arguments])


@lru_cache(_CACHED_STATEMENTS)
def _combine(statements: tuple[tuple[str, int], ...]) -> str:
    """Return one statement, whose placeholders count through.

    Args:
        statements: each with the number of its arguments.
    """
    parts: list[str] = []
    offset = 0
    for sql, count in statements:
        parts.append(shift_placeholders(sql, offset))
        offset += count
    if len(parts) == 1:
        return parts[0]
    heads = ", ".join(f"part{number} AS ({part})" for number, part in enumerate(parts[:-1]))
    return f"WITH {heads} {parts[-1]}"
