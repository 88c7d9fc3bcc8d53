"""`QB`: conditions in Python, as in `QB["age"].gte(18) & ~QB["tags"].contains("x")`."""

from collections.abc import Iterable
from typing import Any

from autocrud.query.conditions import Compare, Condition
from autocrud.query.operators import Operator


class FieldBuilder:
    """Builds conditions on one field, by methods named after the operators or by Python's comparison operators."""

    def __init__(self, name: str) -> None:
        self._name = name

    def eq(self, value: Any) -> Condition:
        """Equal. `eq(None)` selects null values."""
        return self._compare(Operator.eq, value)

    def ne(self, value: Any) -> Condition:
        """Not equal. Null counts as different; `ne(None)` selects non-null values."""
        return self._compare(Operator.ne, value)

    def gt(self, value: Any) -> Condition:
        """Greater than the value."""
        return self._compare(Operator.gt, value)

    def gte(self, value: Any) -> Condition:
        """Greater than or equal to the value."""
        return self._compare(Operator.gte, value)

    def lt(self, value: Any) -> Condition:
        """Less than the value."""
        return self._compare(Operator.lt, value)

    def lte(self, value: Any) -> Condition:
        """Less than or equal to the value."""
        return self._compare(Operator.lte, value)

    def between(self, first: Any, last: Any) -> Condition:
        """Between the first and the last value, both included."""
        return self._compare(Operator.between, (first, last))

    def in_(self, values: Iterable[Any]) -> Condition:
        """Equal to one of the values."""
        return self._compare(Operator.in_, _as_tuple(values))

    def not_in(self, values: Iterable[Any]) -> Condition:
        """Equal to none of the values. Null counts as different."""
        return self._compare(Operator.not_in, _as_tuple(values))

    def contains(self, value: Any) -> Condition:
        """Contain the text, for a text field, or the item, for a list field."""
        return self._compare(Operator.contains, value)

    def icontains(self, text: str) -> Condition:
        """Contain the text, ignoring case (Unicode case folding)."""
        return self._compare(Operator.icontains, text)

    def starts_with(self, text: str) -> Condition:
        """Start with the text."""
        return self._compare(Operator.starts_with, text)

    def ends_with(self, text: str) -> Condition:
        """End with the text."""
        return self._compare(Operator.ends_with, text)

    def regex(self, pattern: str) -> Condition:
        """Match the regular expression at any position of the text. `query/regex.py` defines the syntax."""
        return self._compare(Operator.regex, pattern)

    def contains_any(self, values: Iterable[Any]) -> Condition:
        """Contain at least one of the items, for a list field."""
        return self._compare(Operator.contains_any, _as_tuple(values))

    def contains_all(self, values: Iterable[Any]) -> Condition:
        """Contain all of the items, for a list field."""
        return self._compare(Operator.contains_all, _as_tuple(values))

    def is_null(self, flag: bool = True) -> Condition:
        """Null if `flag` is True, else not null."""
        return self._compare(Operator.is_null, flag)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]  # builds a condition, as SQLAlchemy's columns do
        return self.eq(value)

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return self.ne(value)

    def __gt__(self, value: Any) -> Condition:
        return self.gt(value)

    def __ge__(self, value: Any) -> Condition:
        return self.gte(value)

    def __lt__(self, value: Any) -> Condition:
        return self.lt(value)

    def __le__(self, value: Any) -> Condition:
        return self.lte(value)

    __hash__ = None  # type: ignore[assignment]  # __eq__ returns a condition, which a dict could not use

    def __bool__(self) -> bool:
        raise TypeError('a field is not a condition; compare it with a value, as in QB["age"].gte(18)')

    def _compare(self, operator: Operator, value: Any) -> Condition:
        return Compare(self._name, operator, value)


class QueryBuilder:
    """Returns a `FieldBuilder` for a field name, as in `QB["age"]`. Conditions combine with `&`, `|` and `~`."""

    def __getitem__(self, name: str) -> FieldBuilder:
        return FieldBuilder(name)


QB = QueryBuilder()


def _as_tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(values, str | bytes):
        raise TypeError("the operator takes a list of values, not a text")
    return tuple(values)
