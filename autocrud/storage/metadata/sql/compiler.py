"""Base of the SQL compilers: compiles conditions, sort orders and cursors, and binds every value."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from autocrud.query.aggregation import Aggregation
from autocrud.query.conditions import And, Condition, Matches, Not, Or, Query, Term
from autocrud.query.operators import Operator
from autocrud.query.text_search import RankField, TextQuery
from autocrud.schema.column_types import ColumnValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.search_document import DocumentField

_COMPARISONS = {
    Operator.eq: "=", Operator.gt: ">", Operator.gte: ">=", Operator.lt: "<", Operator.lte: "<=",
}  # fmt: skip
_NEGATED = {Operator.ne: Operator.eq, Operator.not_in: Operator.in_}
_SURROGATES = 0xD800, 0xE000
_LAST = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Key:
    """A key of an order, within a segment."""

    field: IndexField
    descending: bool
    nullable: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an order: resources whose first key is null, or resources whose first key has a value.

    Nulls come last, and no index of an engine has them there in both directions.

    Attributes:
        keys: sort keys of the segment.
        after: values of the keys in the last resource of the page before; None at the beginning.
    """

    condition: str
    keys: tuple[Key, ...]
    after: tuple[ColumnValue, ...] | None


class Compiler(ABC):
    """Compile one statement: the methods return its conditions, and `values` collects the bound values.

    Attributes:
        not_deleted: condition of live rows, in the form of the partial indexes.
    """

    not_deleted: str

    def __init__(self) -> None:
        self.values: list[Any] = []

    def live(self, query: Query | Aggregation) -> str:
        """Return the condition of live rows, or `true` if the query includes deleted rows."""
        return "true" if query.include_deleted else self.not_deleted

    def column(self, field: IndexField) -> str:
        """Return the quoted column of a field, or the expression of a computed field."""
        if isinstance(field, RankField):
            return field.sql(self.name(field.document), self.bind_text)
        return self.name(field)

    @abstractmethod
    def name(self, field: IndexField) -> str:
        """Return the quoted name of the field's column."""

    @abstractmethod
    def bind(self, field: IndexField, value: ColumnValue) -> str:
        """Bind a value of the field's column, and return its placeholder."""

    @abstractmethod
    def bind_text(self, text: str) -> str:
        """Bind a text, and return its placeholder."""

    @abstractmethod
    def in_term(self, field: IndexField, values: Sequence[ColumnValue]) -> str:
        """Compile the condition `in` on a column."""

    @abstractmethod
    def text_term(self, field: IndexField, operator: Operator, text: str) -> str:
        """Compile `contains`, `icontains`, `ends_with` or `regex` on a text."""

    @abstractmethod
    def list_term(self, field: IndexField, operator: Operator, values: Sequence[ColumnValue]) -> str:
        """Compile `contains`, `contains_any` or `contains_all` on a list."""

    @abstractmethod
    def matches(self, field: DocumentField, text: TextQuery) -> str:
        """Compile the match of a document with a text query."""

    def where(self, condition: Condition | None) -> str:
        """Compile a condition: true for matching rows, and false or null for other rows."""
        match condition:
            case None:
                return "true"
            case And(parts):
                return f"({' AND '.join(map(self.where, parts))})"
            case Or(parts):
                return f"({' OR '.join(map(self.where, parts))})"
            case Not(part):
                return f"({self.where(part)}) IS NOT TRUE"
            case Term(field, operator, value):
                return self._term(field, operator, value)
            case Matches(field, text):
                return self.matches(field, text)
        raise TypeError(f"{condition!r} is not a condition of terms")

    def order_by(self, keys: Sequence[Key]) -> str:
        """Return the terms of an order, nulls last."""
        terms = []
        for key in keys:
            column = self.column(key.field)
            terms += [f"{column} IS NULL"] if key.nullable else []
            terms.append(f"{column} {'DESC' if key.descending else 'ASC'}")
        return ", ".join(terms)

    def cursor_condition(self, segment: Segment) -> str:
        """Compile the condition of the rows behind the segment's cursor."""
        return "true" if segment.after is None else self._cursor_condition(segment.keys, segment.after)

    def segments(self, query: Query) -> Iterator[Segment]:
        """Yield the segments of a query's order, from its cursor on."""
        keys = tuple(Key(key.field, key.descending, key.field.nullable) for key in query.order)
        first, rest = keys[0], keys[1:]
        after = None if query.after is None else query.after.values
        if not first.nullable:
            yield Segment("true", keys, after)
            return
        column = self.column(first.field)
        if after is None or after[0] is not None:
            yield Segment(f"{column} IS NOT NULL", (replace(first, nullable=False), *rest), after)
        yield Segment(f"{column} IS NULL", rest, after[1:] if after and after[0] is None else None)

    def _term(self, field: IndexField, operator: Operator, value: Any) -> str:
        if operator in _NEGATED:
            return f"({self._term(field, _NEGATED[operator], value)}) IS NOT TRUE"
        column = self.column(field)
        if operator is Operator.is_null:
            return f"{column} IS {'' if value else 'NOT '}NULL"
        if field.is_list:
            return self.list_term(field, operator, value if isinstance(value, tuple) else (value,))
        if operator in _COMPARISONS:
            return f"{column} {_COMPARISONS[operator]} {self.bind(field, value)}"
        if operator is Operator.between:
            return f"{column} BETWEEN {self.bind(field, value[0])} AND {self.bind(field, value[1])}"
        if operator is Operator.in_:
            return self.in_term(field, value)
        if operator is Operator.starts_with:
            # As a range, for which an index will do.
            end = _end_of_prefix(value)
            upper = "" if end is None else f" AND {column} < {self.bind_text(end)}"
            return f"({column} >= {self.bind_text(value)}{upper})"
        return self.text_term(field, operator, value)

    def _cursor_condition(self, keys: Sequence[Key], values: Sequence[ColumnValue]) -> str:
        if not keys:
            return "false"
        if len({key.descending for key in keys}) == 1 and not any(key.nullable for key in keys):
            # A row of values, which both engines look up in an index.
            columns = ", ".join(self.column(key.field) for key in keys)
            places = ", ".join(self.bind(key.field, value) for key, value in zip(keys, values, strict=True))
            return f"({columns}) {'<' if keys[0].descending else '>'} ({places})"
        first, value = keys[0], values[0]
        column, sign = self.column(first.field), "<" if first.descending else ">"
        if value is None:
            return f"({column} IS NULL AND {self._cursor_condition(keys[1:], values[1:])})"
        # Where there are no nulls it is said twice, so that the engine sees where to begin in an index.
        start = "true" if first.nullable else f"{column} {sign}= {self.bind(first.field, value)}"
        strictly_after = f"{column} {sign} {self.bind(first.field, value)}"
        nulls = f" OR {column} IS NULL" if first.nullable else ""
        same = f"{column} = {self.bind(first.field, value)} AND {self._cursor_condition(keys[1:], values[1:])}"
        return f"({start} AND ({strictly_after}{nulls} OR ({same})))"


def _end_of_prefix(prefix: str) -> str | None:
    """Return the first text, by code points, that follows all texts with a prefix; None if there is no such text."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last <= _LAST:
            return prefix[:-1] + chr(_SURROGATES[1] if last == _SURROGATES[0] else last)
        prefix = prefix[:-1]
    return None
