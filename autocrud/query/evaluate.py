"""What a condition and an order mean, in Python: the oracle that every compiler is held against."""

from collections.abc import Callable, Mapping
from typing import Any

from autocrud.query.conditions import And, Condition, Matches, Not, Or, Sort, Term
from autocrud.query.operators import Operator
from autocrud.query.regex import compiled
from autocrud.query.text_search import RankField
from autocrud.schema.column_types import ColumnValue
from autocrud.schema.index_field import IndexField

# What a row holds, by the column of the field: a value, or a tuple of them for a list.
Row = Mapping[str, Any]


def holds(condition: Condition | None, row: Row) -> bool:
    """Whether a condition of terms holds for a row."""
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
            return _term(operator, row[field.column], value)
        case Matches(field, text):
            return text.matches(row[field.column])
    raise TypeError(f"{condition!r} is not a condition of terms")


def sort_key(sort: tuple[Sort, ...], row: Row) -> tuple[Any, ...]:
    """A key by which rows stand in the order: nulls last, and each key in its direction."""
    return tuple(Place(value_in(row, key.field), key.descending) for key in sort)


def value_in(row: Row, field: IndexField) -> Any:
    """What a row holds of a field."""
    return field.value_in(row) if isinstance(field, RankField) else row[field.column]


class Place:
    """A value's place in the order of one key."""

    __slots__ = ("_descending", "_value")

    def __init__(self, value: ColumnValue, descending: bool) -> None:
        self._value: Any = value
        self._descending = descending

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self._value == other._value

    def __lt__(self, other: "Place") -> bool:
        if self._value is None or other._value is None:
            return self._value is not None and other._value is None
        return bool(self._value > other._value if self._descending else self._value < other._value)

    __hash__ = None  # type: ignore[assignment]  # it is there to be compared


def _term(operator: Operator, held: Any, value: Any) -> bool:
    if operator is Operator.is_null:
        return (held is None) is bool(value)
    if operator in _NEGATED:
        return not _term(_NEGATED[operator], held, value)
    if held is None or value is None:
        return False
    if isinstance(held, tuple):
        wanted = value if isinstance(value, tuple) else (value,)
        return any(item in held for item in wanted) if operator is Operator.contains_any else set(wanted) <= set(held)
    return _COMPARE[operator](held, value)


_NEGATED = {Operator.ne: Operator.eq, Operator.not_in: Operator.in_}
_COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    Operator.eq: lambda held, value: bool(held == value),
    Operator.gt: lambda held, value: bool(held > value),
    Operator.gte: lambda held, value: bool(held >= value),
    Operator.lt: lambda held, value: bool(held < value),
    Operator.lte: lambda held, value: bool(held <= value),
    Operator.between: lambda held, value: bool(value[0] <= held <= value[1]),
    Operator.in_: lambda held, value: held in value,
    Operator.contains: lambda held, value: value in held,
    Operator.icontains: lambda held, value: value in held.casefold(),
    Operator.starts_with: lambda held, value: bool(held.startswith(value)),
    Operator.ends_with: lambda held, value: bool(held.endswith(value)),
    Operator.regex: lambda held, value: compiled(value).search(held) is not None,
}
