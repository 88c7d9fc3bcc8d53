"""What a search asks for, as a value. Every backend gives the same answer to the same query, in the same order.

A condition is a tree of `And`, `Or` and `Not`. Its leaves are `Compare` as it was asked for, and `Term` once the field
is found and the value is what the field's column holds. There are two truth values: a comparison with null is false,
and `Not` turns that around.
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

# What a term compares with: one value, or several.
TermValue = ColumnValue | tuple[ColumnValue, ...]

_FIXED = {CREATED_TIME, RESOURCE_ID}  # of a resource, all its life


class Condition:
    """Conditions combine by `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: "Condition") -> "Condition":
        return And((self, other))

    def __or__(self, other: "Condition") -> "Condition":
        return Or((self, other))

    def __invert__(self) -> "Condition":
        return Not(self)

    def __bool__(self) -> bool:
        raise TypeError("conditions combine by & | ~, not by and, or, not")


@dataclass(frozen=True, slots=True)
class And(Condition):
    """All of them hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or(Condition):
    """One of them holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """It does not hold."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """What somebody asks of a field, by its name."""

    field: str
    operator: Operator
    value: Any


@dataclass(frozen=True, slots=True)
class Term(Condition):
    """What is asked of an index column."""

    field: IndexField
    operator: Operator
    value: TermValue


@dataclass(frozen=True, slots=True)
class Matches(Condition):
    """Its texts answer a text query."""

    field: DocumentField
    text: TextQuery


@dataclass(frozen=True, slots=True)
class ReferenceFilter(Condition):
    """What is asked of the resources that a reference leads to. A search looks for these first.

    Attributes:
        field: the reference; `model` is the one that it leads to.
        part: of terms on that model's columns.
    """

    field: IndexField
    model: str
    part: Condition


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of an order. Nulls come last, whichever way it goes."""

    field: IndexField
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the order of a list: the values of its sort keys in the resource that stands just before it."""

    values: tuple[ColumnValue, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """The resources for which a condition holds, in an order that is total.

    Args:
        where: of terms; None for all resources.
        sort: the order; newest first if there is none. Creation time and id follow in the direction of the last key.
        limit: the most items on a page, at least 1. A count ignores it, and `after`.
        after: begin behind this place; None begins at the beginning.
        at: the resources as a reader would have seen them then; None for now.
    """

    where: Condition | None = None
    sort: tuple[Sort, ...] = ()
    include_deleted: bool = False
    limit: int = 20
    after: Position | None = None
    at: datetime | None = None

    @property
    def order(self) -> tuple[Sort, ...]:
        """All keys of the order; the last one is the id, so that it is total."""
        if not self.sort:
            return (Sort(CREATED_TIME, descending=True), Sort(RESOURCE_ID, descending=True))
        present, descending = {key.field for key in self.sort}, self.sort[-1].descending
        rest = [field for field in (CREATED_TIME, RESOURCE_ID) if field not in present]
        return self.sort if RESOURCE_ID in present else (*self.sort, *(Sort(field, descending) for field in rest))

    @property
    def asks_what_changes(self) -> bool:
        """Whether it filters, or sorts by what may have been other than it is."""
        return self.where is not None or any(key.field not in _FIXED for key in self.sort)


def all_of(*conditions: Condition) -> Condition | None:
    """One condition that holds where all of these do; None where there are none."""
    if len(conditions) < 2:
        return conditions[0] if conditions else None
    return And(conditions)


def leaves(condition: Condition | None) -> Iterator[Compare | Term | Matches | ReferenceFilter]:
    """The leaves of a tree, from left to right."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from leaves(part)
        case Not(part):
            yield from leaves(part)
        case Compare() | Term() | Matches() | ReferenceFilter():
            yield condition


def mapped(condition: Condition, change: Callable[[Compare], Condition]) -> Condition:
    """The same tree with other leaves in the place of each `Compare`."""
    match condition:
        case And(parts):
            return And(tuple(mapped(part, change) for part in parts))
        case Or(parts):
            return Or(tuple(mapped(part, change) for part in parts))
        case Not(part):
            return Not(mapped(part, change))
        case Compare():
            return change(condition)
    return condition
