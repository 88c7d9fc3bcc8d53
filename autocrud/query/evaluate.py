"""Evaluate conditions and sort keys in Python. The conformance suite compares every engine with this module."""

from collections.abc import Callable, Mapping
from typing import Any

from autocrud.query.conditions import And, Condition, Matches, Not, Or, Sort, Term
from autocrud.query.operators import Operator
from autocrud.query.regex import compile_pattern
from autocrud.query.text_search import RankField
from autocrud.schema.column_types import ColumnValue
from autocrud.schema.index_field import IndexField

# Column values by column name; a tuple for a list field.
Row = Mapping[str, Any]


def holds(condition: Condition | None, row: Row) -> bool:
    """Return True if a condition of terms holds for a row."""
    match condition:
        case None:
            return True
        case And(parts):
            return all(holds(part, row) for part in parts)
        case Or(parts):
            return any(holds(part, row) for part in parts)
        case Not(part):
            return not holds(part, row)
        case Term(field, operator, value):
            return _term_holds(operator, row[field.column], value)
        case Matches(field, text):
            return text.matches(row[field.column])
    raise TypeError(f"{condition!r} is not a condition of terms")


def sort_key(sort: tuple[Sort, ...], row: Row) -> tuple[Any, ...]:
    """Return a key that sorts rows by the sort keys, with nulls last in both directions."""
    return tuple(SortValue(value_in(row, key.field), key.descending) for key in sort)


def value_in(row: Row, field: IndexField) -> Any:
    """Return the value of a field in a row."""
    return field.value_in(row) if isinstance(field, RankField) else row[field.column]


class SortValue:
    """A column value that compares in the direction of its sort key, with None last."""

    __slots__ = ("_descending", "_value")

    def __init__(self, value: ColumnValue, descending: bool) -> None:
        self._value: Any = value
        self._descending = descending

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SortValue) and self._value == other._value

    def __lt__(self, other: "SortValue") -> bool:
        if self._value is None or other._value is None:
            return self._value is not None and other._value is None
        return bool(self._value > other._value if self._descending else self._value < other._value)

    __hash__ = None  # type: ignore[assignment]  # only for comparison


def _term_holds(operator: Operator, stored: Any, value: Any) -> bool:
    if operator is Operator.is_null:
        return (stored is None) is bool(value)
    if operator in _NEGATED:
        return not _term_holds(_NEGATED[operator], stored, value)
    if stored is None or value is None:
        return False
    if isinstance(stored, tuple):
        items = value if isinstance(value, tuple) else (value,)
        if operator is Operator.contains_any:
            return any(item in stored for item in items)
        return set(items) <= set(stored)
    return _COMPARE[operator](stored, value)


_NEGATED = {Operator.ne: Operator.eq, Operator.not_in: Operator.in_}
_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.eq: lambda stored, value: bool(stored == value),
    Operator.gt: lambda stored, value: bool(stored > value),
    Operator.gte: lambda stored, value: bool(stored >= value),
    Operator.lt: lambda stored, value: bool(stored < value),
    Operator.lte: lambda stored, value: bool(stored <= value),
    Operator.between: lambda stored, value: bool(value[0] <= stored <= value[1]),
    Operator.in_: lambda stored, value: stored in value,
    Operator.contains: lambda stored, value: value in stored,
    Operator.icontains: lambda stored, value: value in stored.casefold(),
    Operator.starts_with: lambda stored, value: bool(stored.startswith(value)),
    Operator.ends_with: lambda stored, value: bool(stored.endswith(value)),
    Operator.regex: lambda stored, value: compile_pattern(value).search(stored) is not None,
}
