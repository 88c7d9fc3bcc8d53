"""Filters in the query string: `age=3`, `age__gte=18`, `status__in=a,b` for index fields, `qb=` for expressions."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import StringConstraints

from autocrud.query import parser
from autocrud.query.conditions import Condition, all_of
from autocrud.query.operators import Operand
from autocrud.query.parser import parse_expression
from autocrud.query.resolver import Resolver
from autocrud.routes.request.query_parameters import Parameter

# Parameters of routes with filters. An index field of such a name is filtered by `limit__eq`.
RESERVED = frozenset(
    {
        "at", "blobs", "count", "cursor", "dry_run", "expand", "fields", "group_by", "history", "include_deleted",
        "limit", "metrics", "q", "qb", "raw", "returns", "sort", "unreadable",
    }
)  # fmt: skip
LIST_VALUED = {Operand.values, Operand.items, Operand.pair}

QB = Parameter(
    "qb",
    Annotated[str, StringConstraints(min_length=1, max_length=parser.MAX_LENGTH)],
    None,
    "A filter expression on index fields. Combine conditions with `&`, `|` and `~`; comparison operators such as"
    " `==` work, too.",
    'QB["version"].gte(2) & ~(QB["created_by"] == "ada")',
)


class Filters:
    """Reads the filters of one model's index fields from a query string."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    @property
    def field_names(self) -> str:
        """Return the names of the filters that need no operator, as text for messages."""
        resolver = self._resolver
        names = resolver.all_names
        return ", ".join(f"{name}__{resolver.default_operator(name)}" if name in RESERVED else name for name in names)

    def is_filter(self, name: str) -> bool:
        """Return True if a parameter of this name is a filter.

        Raises:
            InvalidParameter: the name has an index field, but no operator of the field.
        """
        return name not in RESERVED and self._resolver.parameter(name) is not None

    def is_list_filter(self, name: str) -> bool:
        """Return True if a filter may be repeated, because it takes a list of values."""
        found = self._resolver.parameter(name)
        return found is not None and self._resolver.operators_of(found[0])[found[1]].takes in LIST_VALUED

    def parse_condition(self, texts: Mapping[str, Sequence[str]], expression: str | None) -> Condition | None:
        """Return the condition of all filters and the `qb` expression together; None without any.

        Args:
            texts: the values of each filter, by its name.

        Raises:
            InvalidParameter: a value or the expression is malformed.
        """
        conditions: list[Condition] = [self._resolver.compare(name, *values) for name, values in texts.items()]
        return all_of(*conditions, *([] if expression is None else [parse_expression(expression)]))
