"""PostgreSQL's compiler of aggregates."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from autocrud.resource import timestamp
from autocrud.schema.column_types import ColumnKind, ColumnValue, decimal_key
from autocrud.schema.index_field import IndexField
from autocrud.storage.metadata.postgres.compiler import PostgresCompiler
from autocrud.storage.metadata.sql.aggregate import AggregateCompiler


class PostgresAggregates(AggregateCompiler, PostgresCompiler):
    """Compile one aggregate query for PostgreSQL."""

    def item(self, field: IndexField, place: int) -> tuple[str, str]:
        collation = ' COLLATE "C"' if field.kind in (ColumnKind.text, ColumnKind.time) else ""
        return (
            f" LEFT JOIN LATERAL unnest({self.column(field)}) AS g{place} (item) ON true",
            f"g{place}.item{collation}",
        )

    def sums(self, field: IndexField) -> list[str]:
        return [f"sum({self.column(field)})"]

    def combine_sum(self, field: IndexField, parts: Sequence[Any]) -> Any:
        return int(parts[0]) if field.kind is ColumnKind.integer and parts[0] is not None else parts[0]

    def mean(self, field: IndexField, names: Sequence[str]) -> str:
        return f"{names[0]} / nullif({names[1]}, 0)"

    def extreme(self, function: str, field: IndexField) -> str:
        column = self.column(field)
        return f'{function}({column}::text COLLATE "C")' if field.kind is ColumnKind.uuid else f"{function}({column})"

    def column_value(self, value: Any) -> ColumnValue:
        match value:
            case Decimal():
                return decimal_key(value)
            case datetime():
                return timestamp(value)
            case date():
                return value.isoformat()
            case UUID():
                return str(value)
            case bool():
                return int(value)
        found: ColumnValue = value
        return found
