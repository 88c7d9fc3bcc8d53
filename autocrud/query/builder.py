"""`QB`: conditions in Python, as in `QB["age"].gte(18) & ~QB["tags"].contains("x")`."""

from collections.abc import Iterable
from typing import Any

from autocrud.query.conditions import Compare, Condition
from autocrud.query.operators import Operator


class FieldBuilder:
    """Asks something of one field: by the names of the operators, or by Python's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def eq(self, value: Any) -> Condition:
        """It is this; None asks for null."""
        return self._ask(Operator.eq, value)

    def ne(self, value: Any) -> Condition:
        """It is not this. Null is not, unless null is what it must not be."""
        return self._ask(Operator.ne, value)

    def gt(self, value: Any) -> Condition:
        """It is greater."""
        return self._ask(Operator.gt, value)

    def gte(self, value: Any) -> Condition:
        """It is this or greater."""
        return self._ask(Operator.gte, value)

    def lt(self, value: Any) -> Condition:
        """It is less."""
        return self._ask(Operator.lt, value)

    def lte(self, value: Any) -> Condition:
        """It is this or less."""
        return self._ask(Operator.lte, value)

    def between(self, first: Any, last: Any) -> Condition:
        """It is from the first to the last, both included."""
        return self._ask(Operator.between, (first, last))

    def in_(self, values: Iterable[Any]) -> Condition:
        """It is one of these."""
        return self._ask(Operator.in_, _listed(values))

    def not_in(self, values: Iterable[Any]) -> Condition:
        """It is none of these. Null is none."""
        return self._ask(Operator.not_in, _listed(values))

    def contains(self, value: Any) -> Condition:
        """Its text contains this text, or its list has this item."""
        return self._ask(Operator.contains, value)

    def icontains(self, text: str) -> Condition:
        """Its text contains this text, in whatever case."""
        return self._ask(Operator.icontains, text)

    def starts_with(self, text: str) -> Condition:
        """Its text starts with this text."""
        return self._ask(Operator.starts_with, text)

    def ends_with(self, text: str) -> Condition:
        """Its text ends with this text."""
        return self._ask(Operator.ends_with, text)

    def regex(self, pattern: str) -> Condition:
        """A part of its text is matched by this pattern (see `query/patterns.py`)."""
        return self._ask(Operator.regex, pattern)

    def contains_any(self, values: Iterable[Any]) -> Condition:
        """Its list has one of these items."""
        return self._ask(Operator.contains_any, _listed(values))

    def contains_all(self, values: Iterable[Any]) -> Condition:
        """Its list has all of these items."""
        return self._ask(Operator.contains_all, _listed(values))

    def is_null(self, flag: bool = True) -> Condition:
        """It is null, or it is not."""
        return self._ask(Operator.is_null, flag)

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]  # a question, not an answer
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

    __hash__ = None  # type: ignore[assignment]  # it is not a value

    def __bool__(self) -> bool:
        raise TypeError("a field is not a condition; ask something of it")

    def _ask(self, operator: Operator, value: Any) -> Condition:
        return Compare(self._name, operator, value)


class QueryBuilder:
    """`QB["age"]` asks something of the field `age`; conditions combine by `&`, `|` and `~`."""

    def __getitem__(self, name: str) -> FieldBuilder:
        return FieldBuilder(name)


QB = QueryBuilder()


def _listed(values: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(values, str | bytes):
        raise TypeError("takes several values, not one text")
    return tuple(values)
