"""Queries as SQLite's SQL."""

import json
from collections.abc import Sequence
from sqlite3 import Connection

from autocrud.columns import ColumnValue, IndexValue
from autocrud.fields import IndexField
from autocrud.query.operators import Operator
from autocrud.query.patterns import compiled
from autocrud.storage.meta.sql import Compiler


def quoted(name: str) -> str:
    """A name as an SQL identifier, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def add_functions(db: Connection) -> None:
    """Give a connection the functions that queries call: SQLite's own know no Unicode and no regular expressions."""
    db.create_function("casefold", 1, _casefold, deterministic=True)
    db.create_function("matches", 2, _matches, deterministic=True)


def stored(value: IndexValue) -> ColumnValue:
    """A column's value as SQLite has it: a list as JSON."""
    return json.dumps([*map(item, value)], ensure_ascii=False) if isinstance(value, tuple) else value


def item(value: ColumnValue) -> ColumnValue:
    """An item of a list as SQLite has it. A float is a text there: SQLite's JSON does not read each one as it was."""
    return repr(value + 0.0) if isinstance(value, float) else value  # zero has one sign


def items_table(field: IndexField) -> str:
    """The table of the items of a list field, quoted."""
    return quoted(f"_items_{field.column}")


class SqliteCompiler(Compiler):
    """One statement for SQLite, with `?n` for each value."""

    def column(self, field: IndexField) -> str:
        return quoted(field.column)

    def bound(self, field: IndexField, value: ColumnValue) -> str:
        return self.place(value)

    def bound_text(self, text: str) -> str:
        return self.place(text)

    def place(self, value: ColumnValue) -> str:
        """Bind a value."""
        self.values.append(value)
        return f"?{len(self.values)}"

    def one_of(self, field: IndexField, values: Sequence[ColumnValue]) -> str:
        return f"{self.column(field)} IN ({', '.join(self.bound(field, value) for value in values)})"

    def text_term(self, field: IndexField, operator: Operator, text: str) -> str:
        column = self.column(field)
        if operator is Operator.contains:
            return f"instr({column}, {self.bound_text(text)}) > 0"
        if operator is Operator.icontains:
            return f"instr(casefold({column}), {self.bound_text(text)}) > 0"
        if operator is Operator.regex:
            return f"matches({column}, {self.bound_text(text)})"
        return f"substr({column}, -{len(text)}) = {self.bound_text(text)}" if text else f"{column} IS NOT NULL"

    def list_term(self, field: IndexField, operator: Operator, values: Sequence[ColumnValue]) -> str:
        wanted = dict.fromkeys(map(item, values))
        if not wanted and operator is not Operator.contains_any:
            return f"{self.column(field)} IS NOT NULL"
        rows = f"SELECT row FROM {items_table(field)} WHERE value IN ({', '.join(map(self.place, wanted))})"
        if operator is not Operator.contains_any and len(wanted) > 1:
            rows += f" GROUP BY row HAVING count(*) = {len(wanted)}"
        return f"row IN ({rows})"


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _matches(text: str | None, pattern: str) -> bool | None:
    return None if text is None else compiled(pattern).search(text) is not None
