"""SQLite's compiler of aggregates. Its sums neither overflow nor round."""

from collections.abc import Sequence
from decimal import Decimal
from sqlite3 import Connection
from typing import Any

from autocrud.query.aggregation import AVERAGE, EXACT
from autocrud.schema.column_types import ColumnKind, ColumnValue, decimal_key, decimal_of
from autocrud.schema.index_field import IndexField
from autocrud.storage.metadata.sql.aggregate import AggregateCompiler
from autocrud.storage.metadata.sqlite.compiler import SqliteCompiler

_LOW = 0xFFFFFFFF


def add_aggregates(db: Connection) -> None:
    """Give a connection what aggregates of decimals call, which are texts to SQLite."""
    db.create_aggregate("decimal_sum", 1, _DecimalSum)  # type: ignore[arg-type]  # its protocol asks for what is unused
    db.create_function("decimal_mean", 2, _decimal_mean, deterministic=True)


class SqliteAggregates(AggregateCompiler, SqliteCompiler):
    """Compile one aggregate query for SQLite."""

    def item(self, field: IndexField, place: int) -> tuple[str, str]:
        # Floats stand in lists as texts.
        value = f"CAST(g{place}.value AS REAL)" if field.kind is ColumnKind.real else f"g{place}.value"
        return f" LEFT JOIN json_each({self.column(field)}) AS g{place}", value

    def sums(self, field: IndexField) -> list[str]:
        column = self.column(field)
        if field.kind is ColumnKind.decimal:
            return [f"decimal_sum({column})"]
        if field.kind is ColumnKind.real:
            return [f"sum({column})"]
        # SQLite's own sum of integers fails at 64 bits.
        high, low = f"sum({column} >> 32)", f"sum({column} & {_LOW})"
        return [f"{high} + ({low} >> 32)", f"{low} & {_LOW}"]

    def combine_sum(self, field: IndexField, parts: Sequence[Any]) -> Any:
        if parts[0] is None:
            return None
        if field.kind is ColumnKind.decimal:
            return decimal_of(parts[0])
        return float(parts[0]) if field.kind is ColumnKind.real else (parts[0] << 32) + parts[1]

    def mean(self, field: IndexField, names: Sequence[str]) -> str:
        if field.kind is ColumnKind.decimal:
            return f"decimal_mean({', '.join(names)})"
        if field.kind is ColumnKind.real:
            return f"{names[0]} / {names[1]}"
        return f"({names[0]} * {_LOW + 1}.0 + {names[1]}) / {names[2]}"

    def extreme(self, function: str, field: IndexField) -> str:
        return f"{function}({self.column(field)})"

    def column_value(self, value: Any) -> ColumnValue:
        found: ColumnValue = value
        return found


class _DecimalSum:
    def __init__(self) -> None:
        self._total: Decimal | None = None

    def step(self, key: str | None) -> None:
        if key is not None:
            number = decimal_of(key)
            self._total = number if self._total is None else EXACT.add(self._total, number)

    def finalize(self) -> str | None:
        return None if self._total is None else decimal_key(self._total)


def _decimal_mean(total: str | None, number: int) -> str | None:
    return None if total is None or not number else decimal_key(AVERAGE.divide(decimal_of(total), Decimal(number)))
