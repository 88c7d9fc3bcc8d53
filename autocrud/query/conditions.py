"""Conditions and queries: the expression tree that selects resources, and the order and limit of a list.

A condition is a tree of `And`, `Or` and `Not`. A leaf is a `Compare` with a field name and a client's value. The
resolver turns each `Compare` into a `Term` with an index field and a column value. Logic has two values: a comparison
with null is false, and `Not` negates that to true. Every backend returns the same resources in the same order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from autocrud.query.metadata_fields import CREATED_TIME, RESOURCE_ID
from autocrud.query.operators import Operator
from autocrud.query.text_search import TextQuery
from autocrud.schema.column_types import ColumnValue
from autocrud.schema.index_field import IndexField
from autocrud.schema.search_document import DocumentField

# The operand of a term: one column value, or several.
TermValue = ColumnValue | tuple[ColumnValue, ...]

_IMMUTABLE_FIELDS = {CREATED_TIME, RESOURCE_ID}


class Condition:
    """A node of the expression tree. Conditions combine with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: "Condition") -> "Condition":
        return And((self, other))

    def __or__(self, other: "Condition") -> "Condition":
        return Or((self, other))

    def __invert__(self) -> "Condition":
        return Not(self)

    def __bool__(self) -> bool:
        raise TypeError("combine conditions with & | ~ instead of and, or, not")


@dataclass(frozen=True, slots=True)
class And(Condition):
    """A condition that holds if all parts hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or(Condition):
    """A condition that holds if at least one part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """A condition that holds if its part does not hold."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """An unresolved leaf: a field name, an operator and a client's value."""

    field: str
    operator: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class Term(Condition):
    """A resolved leaf: an index field, an operator and a column value."""

    field: IndexField
    operator: Operator
    value: TermValue


@dataclass(frozen=True, slots=True)
class Matches(Condition):
    """A leaf that holds if a resource's search document matches a text query."""

    field: DocumentField
    text: TextQuery


@dataclass(frozen=True, slots=True)
class ReferenceFilter(Condition):
    """A leaf that holds if a referred resource satisfies a condition. A search finds the referred resources first.

    Attributes:
        field: the index field of the reference.
        model: the name of the referred model.
        part: a condition of terms on the referred model's columns.
    """

    field: IndexField
    model: str
    part: Condition


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort key. Nulls come last in both directions."""

    field: IndexField
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """The start of a page: the values of the sort keys in the last resource of the previous page."""

    values: tuple[ColumnValue, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """A resolved query: a condition, a total order and a page.

    Args:
        where: a condition of terms; None selects all resources.
        sort: the sort keys; newest first if empty. Creation time and id follow in the direction of the last key.
        limit: the maximum number of items on a page, at least 1. A count ignores `limit` and `after`.
        after: the position to continue after; None starts with the first resource.
        at: the point in time to read; None reads the current state.
        count_limit: number at which a count may stop; None counts all resources.
        max_bytes: size of the stored data at which a page ends, so that its memory is bounded. A page has at least one
            item. None sets no limit.
    """

    where: Condition | None = None
    sort: tuple[Sort, ...] = ()
    include_deleted: bool = False
    limit: int = 20
    after: Position | None = None
    at: datetime | None = None
    count_limit: int | None = None
    max_bytes: int | None = None

    @property
    def order(self) -> tuple[Sort, ...]:
        """All sort keys. The last key is the id, which makes the order total."""
        if not self.sort:
            return (Sort(CREATED_TIME, descending=True), Sort(RESOURCE_ID, descending=True))
        present, descending = {key.field for key in self.sort}, self.sort[-1].descending
        rest = [field for field in (CREATED_TIME, RESOURCE_ID) if field not in present]
        return self.sort if RESOURCE_ID in present else (*self.sort, *(Sort(field, descending) for field in rest))

    @property
    def needs_history(self) -> bool:
        """True if the query filters, or sorts by a field whose value can change. At a past time it needs history."""
        return self.where is not None or any(key.field not in _IMMUTABLE_FIELDS for key in self.sort)


def all_of(*conditions: Condition) -> Condition | None:
    """Return one condition that holds if all conditions hold; None without conditions."""
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return And(conditions)


def leaves(condition: Condition | None) -> Iterator[Compare | Term | Matches | ReferenceFilter]:
    """Yield the leaves of a tree from left to right."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case Compare() | Term() | Matches() | ReferenceFilter():
            yield condition


def replace_compares(condition: Condition, replace: Callable[[Compare], Condition]) -> Condition:
    """Return the tree with each `Compare` replaced by the result of `replace`."""
    match condition:
        case And(parts):
            return And(tuple(replace_compares(part, replace) for part in parts))
        case Or(parts):
            return Or(tuple(replace_compares(part, replace) for part in parts))
        case Not(part):
            return Not(replace_compares(part, replace))
        case Compare():
            return replace(condition)
    return condition
