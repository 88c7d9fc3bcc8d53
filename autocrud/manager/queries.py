"""ModelQueries: builds the storage queries of one model from conditions, parameters and texts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Condition, Query, ReferenceFilter, leaves
from autocrud.query.resolver import Resolver, combine, filters_by_deleted, rank_order
from autocrud.references.graph import Graph, ModelNode
from autocrud.references.reference_filters import resolve_reference_filters

# A filter: a condition, or values by the names of URL parameters.
Where = Condition | Mapping[str, Any] | None

MAX_LIMIT = 1000


class ModelQueries:
    """Builds the storage queries of one model."""

    def __init__(self, node: ModelNode, graph: Graph) -> None:
        self._spec = node.spec
        self._graph = graph

    @property
    def fields(self) -> Resolver:
        """The resolver of the model's fields."""
        return self._graph.resolver(self._spec.name)

    def parse(self, where: Where) -> Condition | None:
        """Return a filter as a condition.

        Raises:
            InvalidParameter: a parameter names no index field, or no operator of the field.
        """
        return where if isinstance(where, Condition) else self.fields.parse_mapping(where)

    def build(
        self,
        where: Where,
        include_deleted: bool,
        at: datetime | None = None,
        sort: str | None = None,
        limit: int = 1,
        text: str | None = None,
    ) -> Query:
        """Return the query with all names and values resolved. Arguments and errors are those of `search`."""
        condition = self.fields.condition(self.parse(where))
        order = self.fields.sort(sort) if sort is not None else ()
        if text is not None:
            if at is not None:
                raise InvalidParameter("at", "excludes q: the text search covers current resources only")
            matches = self.fields.text(text)
            condition, order = combine(condition, matches), order or rank_order(matches)
        include_deleted = include_deleted or filters_by_deleted(condition)
        query = Query(condition, order, include_deleted, limit, at=check_aware("at", at))
        if at is not None:
            self._check_point_in_time(query)
        return query

    async def resolve_reference_filters(self, query: Query) -> Query:
        """Return the query with each reference filter replaced by the ids that the filter selects.

        Raises:
            InvalidParameter: a reference filter selects too many resources.
        """
        return replace(query, where=await resolve_reference_filters(query.where, self._graph.nodes))

    def _check_point_in_time(self, query: Query) -> None:
        if query.needs_history and not self._spec.temporal:
            reason = f"needs a model that was registered by add_model(temporal=True), which {self._spec.name} was not"
            raise InvalidParameter("at", f"with filters or an order {reason}")
        if any(isinstance(leaf, ReferenceFilter) for leaf in leaves(query.where)):
            raise InvalidParameter("at", "excludes filters through references, which read current resources only")


def check_limit(limit: int) -> int:
    """Return the page size.

    Raises:
        InvalidParameter: the page size is not within 1 and 1000.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidParameter("limit", f"must be from 1 to {MAX_LIMIT}")
    return limit


def check_aware(name: str, time: datetime | None) -> Any:
    """Return a time that the parameter `name` gives.

    Raises:
        InvalidParameter: the time has no offset from UTC.
    """
    if time is not None and time.tzinfo is None:
        raise InvalidParameter(name, "must have an offset from UTC, as in 2026-01-02T03:04:05Z")
    return time
