"""`GET /{model}` and `GET /{model}/count`: many resources."""

import inspect
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from autocrud.errors import ConfigurationError
from autocrud.fields import FilterBounds, non_null
from autocrud.model import ModelSpec
from autocrud.routes.envelope import JsonResponse, envelope, page_model
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.parameters import (
    CURSOR,
    FIELDS,
    INCLUDE_DELETED,
    LIMIT,
    RETURNS,
    next_page,
)

_LIST = (LIMIT, CURSOR, RETURNS, FIELDS, INCLUDE_DELETED)
_COUNT = (INCLUDE_DELETED,)
# Names that later parameters of the same route will have; an index field may not stand in their way.
_RESERVED = frozenset({"qb", "sort", "count", "at", "q", "expand"}) | {part.name for part in _LIST}


class Count(BaseModel):
    """How many resources there are."""

    count: int = Field(examples=[42])


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The families `list` and `count`."""
    filters = _filters(routes.spec)
    yield _list(routes, filters)
    yield _count(routes, filters)


def _list(routes: ModelRoutes, filters: list[inspect.Parameter]) -> Operation:
    manager = routes.manager
    query = routes.query(_LIST, [field.name for field in routes.spec.index_fields])

    async def list_(request: Request) -> Response:
        """A page of resources, newest first. Filter by giving index fields their values.

        Walk the pages by `next_cursor`: what is created meanwhile neither hides a resource nor repeats one.
        """
        values, where = query.read(request)
        page = await manager.search(
            where, limit=values["limit"], cursor=values["cursor"], include_deleted=values["include_deleted"]
        )
        returns, fields, following = values["returns"], values["fields"], page.next_cursor
        items = b",".join([envelope(item, returns, fields) for item in page.items])
        if following is None:
            return JsonResponse(b'{"items":[%s],"next_cursor":null}' % items)
        headers = {"link": f'<{next_page(request, routes.path, following)}>; rel="next"'}
        return JsonResponse(b'{"items":[%s],"next_cursor":"%s"}' % (items, following.encode()), 200, headers)

    example = {"items": [routes.envelope_example], "next_cursor": None}
    parameters = [*query.documented(), *filters]
    summary = f"List {routes.spec.label} resources"
    model = page_model(routes.spec, routes.envelope)
    return Operation("list", "GET", "", list_, parameters, summary, 200, model, example, ("Link",), (400,))


def _count(routes: ModelRoutes, filters: list[inspect.Parameter]) -> Operation:
    manager = routes.manager
    query = routes.query(_COUNT, [field.name for field in routes.spec.index_fields])

    async def count(request: Request) -> Response:
        """How many resources the same filters would list on all pages together."""
        values, where = query.read(request)
        number = await manager.count(where, include_deleted=values["include_deleted"])
        return JsonResponse(b'{"count":%d}' % number)

    parameters = [*query.documented(), *filters]
    summary = f"Count {routes.spec.label} resources"
    return Operation("count", "GET", "/count", count, parameters, summary, 200, Count, {"count": 42}, (), (400,))


def _filters(spec: ModelSpec[Any]) -> list[inspect.Parameter]:
    """The index fields as query parameters, for OpenAPI."""
    for field in spec.index_fields:
        if field.name in _RESERVED:
            raise ConfigurationError(
                f"{spec.type_name}.{field.name} cannot be indexed: {field.name!r} is a parameter of lists"
            )
    return [
        inspect.Parameter(
            f"filter_{number}",
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                non_null(field.annotation),
                FilterBounds(),
                Query(alias=field.name, description=f"Only resources whose `{field.name}` is this."),
            ],
        )
        for number, field in enumerate(spec.index_fields)
    ]
