"""`GET /{model}` and `GET /{model}/count`: many resources."""

from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from autocrud.query.resolver import Resolver
from autocrud.query.text_search import MAX_LENGTH
from autocrud.routes.expand import Expansion
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.filters import QB
from autocrud.routes.request.query_parameters import (
    AT,
    CURSOR,
    FIELDS,
    INCLUDE_DELETED,
    LIMIT,
    RETURNS,
    Parameter,
    enumerated,
    next_page,
)
from autocrud.routes.response.envelope import JsonResponse, page_model

_TOTAL = Parameter("count", Literal["none", "exact"], "none", "`exact` adds `total`, the items of all pages together.")


_TEXT = Parameter(
    "q",
    Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH, pattern=r"^[^\x00]*$")],
    None,
    'Words that the texts must have, all of them: `word`, `"a phrase"`, `begin*`, and `-not` before any of these. Case'
    " and accents do not count. Without `sort`, those come first that have them often, for their length.",
    'wild "guinea pig" -photo*',
)


class Count(BaseModel):
    """How many resources there are."""

    count: int = Field(examples=[42])


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The families `list` and `count`."""
    yield _list(routes)
    yield _count(routes)


def _list(routes: ModelRoutes) -> Operation:
    manager, expansion = routes.manager, Expansion(routes)
    parameters = [LIMIT, CURSOR, *text_parameters(manager.fields), sort_parameter(manager.fields), QB, AT, _TOTAL]
    query = routes.query([*parameters, RETURNS, FIELDS, INCLUDE_DELETED, *expansion.parameters], filters=True)

    async def list_(request: Request) -> Response:
        """A page of the resources that the filters select, all of them together; newest first, or as `sort` says.

        Where `q` is given and no `sort`, the best answers come first.

        Walk the pages by `next_cursor`: what is written meanwhile neither hides a resource nor repeats one. With `at`
        the list is what a reader would have seen then; what has been pruned since stands in it without its data.
        """
        values, where = query.read(request)
        asked = {"include_deleted": values["include_deleted"], "text": values.get("q"), "at": values["at"]}
        page = await manager.search(where, sort=values["sort"], limit=values["limit"], cursor=values["cursor"], **asked)
        following = page.next_cursor
        items = b",".join(await expansion.envelopes(page.items, values))
        total = b',"total":%d' % await manager.count(where, **asked) if values["count"] == "exact" else b""
        if following is None:
            return JsonResponse(b'{"items":[%s],"next_cursor":null%s}' % (items, total))
        headers = {"link": f'<{next_page(request, routes.path, following)}>; rel="next"'}
        return JsonResponse(b'{"items":[%s],"next_cursor":"%s"%s}' % (items, following.encode(), total), 200, headers)

    example = {"items": [routes.envelope_example], "next_cursor": None}
    summary = f"List {routes.spec.label} resources"
    model = page_model(routes.spec, expansion.model)
    return Operation(
        family="list",
        method="GET",
        path="",
        handler=list_,
        parameters=query.documented(),
        filters=True,
        summary=summary,
        model=model,
        headers=("Link",),
        example=example,
        refusals=(400,),
    )


def _count(routes: ModelRoutes) -> Operation:
    manager = routes.manager
    query = routes.query([*text_parameters(manager.fields), QB, AT, INCLUDE_DELETED], filters=True)

    async def count(request: Request) -> Response:
        """How many resources the same filters would list on all pages together."""
        values, where = query.read(request)
        asked = {"include_deleted": values["include_deleted"], "text": values.get("q"), "at": values["at"]}
        number = await manager.count(where, **asked)
        return JsonResponse(b'{"count":%d}' % number)

    summary = f"Count {routes.spec.label} resources"
    return Operation(
        family="count",
        method="GET",
        path="/count",
        handler=count,
        parameters=query.documented(),
        filters=True,
        summary=summary,
        model=Count,
        example={"count": 42},
        refusals=(400,),
    )


def text_parameters(resolver: Resolver) -> list[Parameter]:
    """The parameter that searches texts, where a field of the model is searched."""
    return [] if resolver.document is None else [_TEXT]


def sort_parameter(resolver: Resolver) -> Parameter:
    """The parameter that orders a list by fields of the model."""
    names = resolver.sortable
    description = "Fields in the order in which they count, with `-` for descending; nulls come last."
    signed = [f"{sign}{name}" for name in names for sign in ("", "-")]
    return enumerated("sort", signed, None, description, f"-created_time,{names[0]}")
