"""Combines statements that write different rows into one, so that they take one round trip."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from autocrud.storage.metadata.postgres.compiler import shift_placeholders
from autocrud.storage.metadata.postgres.tables import columns_of

_CACHED_STATEMENTS = 512


class CombinedStatement:
    """Statements with their arguments. They must not read or write the same rows, because their order is open.

    A statement can be named. A later one without arguments then reads the rows that the named one returns.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {}
        self._statements: list[tuple[str, tuple[Any, ...]]] = []
        self._names: dict[str, str] = {}

    def add(self, sql: str, *arguments: Any) -> None:
        """Add a statement."""
        self._statements.append((sql, arguments))

    def add_rows(self, sql: str, rows: Sequence[tuple[Any, ...]], name: str = "") -> None:
        """Add rows of a statement that takes them as arrays. Without rows the statement is left out."""
        if rows:
            self._rows.setdefault(sql, []).extend(rows)
            self._names[sql] = name

    async def execute(self, connection: Any) -> None:
        """Execute the statements, if there are any."""
        statements = [(sql, columns_of(rows)) for sql, rows in self._rows.items()]
        statements += [(sql, list(arguments)) for sql, arguments in self._statements]
        if statements:
            sql = _combine(tuple((self._names.get(sql, ""), sql, len(arguments)) for sql, arguments in statements))
            await connection.execute(sql, *[argument for _, arguments in statements for argument in arguments])


@lru_cache(_CACHED_STATEMENTS)
def _combine(statements: tuple[tuple[str, str, int], ...]) -> str:
    """Return one statement, whose placeholders count through.

    Args:
        statements: each with its name, or "", and the number of its arguments.
    """
    parts: list[tuple[str, str]] = []
    offset = 0
    for number, (name, sql, count) in enumerate(statements):
        parts.append((name or f"part{number}", shift_placeholders(sql, offset)))
        offset += count
    *heads, (_, last) = parts
    return f"WITH {', '.join(f'{name} AS ({part})' for name, part in heads)} {last}" if heads else last
