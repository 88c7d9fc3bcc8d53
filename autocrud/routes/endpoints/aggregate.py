"""Endpoint `GET /{model}/aggregate`: figures of groups of resources."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.responses import Response

from autocrud.manager.aggregate import MAX_GROUPS
from autocrud.query.aggregation import Function, Metric
from autocrud.query.resolver import Resolver
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.filters import QB
from autocrud.routes.request.patterns import any_of
from autocrud.routes.request.query_parameters import (
    CURSOR,
    INCLUDE_DELETED,
    Parameter,
    choices_parameter,
    next_page,
)
from autocrud.routes.response.envelope import JsonResponse

_LIMIT = Parameter(
    "limit", Annotated[int, Query(ge=1, le=MAX_GROUPS)], 100, f"Maximum number of groups, from 1 to {MAX_GROUPS}.", 100
)


class AggregatedGroup(BaseModel):
    """Group of resources with equal values. A key is null for resources without a value."""

    key: dict[str, Any] = Field(examples=[{"genre": "jazz"}])
    values: dict[str, Any] = Field(examples=[{"count": 12, "avg:price": "9.75"}])


class AggregatedGroups(BaseModel):
    """Page of groups, in the order of their keys or of a metric."""

    groups: list[AggregatedGroup]
    next_cursor: str | None = Field(description="The `cursor` of the next page; null on the last page.")


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `aggregate`."""
    manager = routes.manager
    parameters = [*_parameters(manager.fields), _LIMIT, CURSOR, QB, INCLUDE_DELETED]
    query = routes.query(parameters, filters=True)

    async def aggregate(request: Request) -> Response:
        """Return counts, sums, averages and extremes of the resources that match all filters, per group.

        Without `group_by` there is one group. A list field groups by its items. Integers and decimals are summed
        exactly.
        """
        values, where = query.read(request)
        page = await manager.aggregate(where, **{name: value for name, value in values.items() if name != "qb"})
        headers = {}
        if page.next_cursor is not None:
            headers["link"] = f'<{next_page(request, f"{routes.path}/aggregate", page.next_cursor)}>; rel="next"'
        return JsonResponse(to_json(page), 200, headers)

    example = {"groups": [{"key": {}, "values": {"count": 42}}], "next_cursor": None}
    summary = f"Aggregate {routes.nouns}"
    yield Operation(
        family="aggregate",
        method="GET",
        path="/aggregate",
        handler=aggregate,
        parameters=query.to_openapi(),
        filters=True,
        summary=summary,
        model=AggregatedGroups,
        headers=("Link",),
        example=example,
        refusals=(400,),
    )


def _parameters(resolver: Resolver) -> list[Parameter]:
    names = list(resolver.fields)
    metric = _metric_pattern(resolver)
    return [
        choices_parameter("group_by", any_of(names), None, "Fields to group by.", names[0]),
        choices_parameter("metrics", metric, "count", "Metrics of each group.", f"count,distinct:{names[0]}"),
        choices_parameter(
            "sort",
            f"-?{metric}",
            None,
            "Metric to sort by, with `-` for descending. Only the first `limit` groups are returned then.",
            "-count",
            most=1,
        ),
    ]


def _metric_pattern(resolver: Resolver) -> str:
    """Return a pattern of the metrics: `count`, or functions and the fields that they apply to."""
    fields: dict[str, list[str]] = {}
    for name, field in resolver.fields.items():
        functions = any_of(function.value for function in Function if Metric(function, field).is_supported())
        fields.setdefault(functions, []).append(name)
    return f"(count|{'|'.join(f'{functions}:{any_of(names)}' for functions, names in fields.items())})"
