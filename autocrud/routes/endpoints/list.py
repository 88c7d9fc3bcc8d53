"""Endpoints `GET /{model}` and `GET /{model}/count`."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

from fastapi import Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from autocrud.errors import InvalidParameter
from autocrud.query.resolver import Resolver
from autocrud.query.text_search import MAX_LENGTH
from autocrud.routes.expand import Expansion
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.filters import QB
from autocrud.routes.request.negotiation import CSV, JSON, preferred_type
from autocrud.routes.request.patterns import any_of
from autocrud.routes.request.query_parameters import (
    AT,
    CURSOR,
    FIELDS,
    INCLUDE_DELETED,
    LIMIT,
    RAW,
    RETURNS,
    Parameter,
    QueryReader,
    choices_parameter,
    next_page,
)
from autocrud.routes.response.csv_table import MEDIA_TYPE, CsvTable
from autocrud.routes.response.envelope import JsonResponse, optional_part, page_models
from autocrud.versioning.stored_resource import ResourcePage


class TotalCount(StrEnum):
    """Presence of `total` in a page."""

    none = "none"
    exact = "exact"


_TOTAL = Parameter("count", TotalCount, TotalCount.none, "`exact` adds `total`, the number of items on all pages.")


_UNREADABLE = Parameter(
    "unreadable",
    bool,
    False,
    "List only resources whose stored data cannot be read. A page may be short, and have a next page.",
)
_TEXT = Parameter(
    "q",
    Annotated[str, StringConstraints(min_length=1, max_length=MAX_LENGTH, pattern=r"^[^\x00]*$")],
    None,
    'Words that a resource must have in its text fields, all of them: `word`, `"a phrase"`, `begin*`. `-` excludes a'
    " word, phrase or beginning. Case and accents do not count. Without `sort`, the best matches come first: frequent"
    " words in short texts.",
    'wild "guinea pig" -photo*',
)


@dataclass(frozen=True)
class Listing:
    """Result of a list request.

    Attributes:
        values: values of the query parameters.
        total: number of items on all pages if the request asks for it.
    """

    values: dict[str, Any]
    page: ResourcePage[Any]
    total: int | None


class Count(BaseModel):
    """Number of resources."""

    count: int = Field(examples=[42])


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the families `list` and `count`."""
    yield _list(routes)
    yield _count(routes)


def _list(routes: ModelRoutes) -> Operation:
    manager, expansion = routes.manager, Expansion(routes)
    parameters = [LIMIT, CURSOR, *text_parameters(manager.fields), sort_parameter(manager.fields), QB, AT, _TOTAL]
    parts = [RETURNS, FIELDS, RAW, _UNREADABLE, INCLUDE_DELETED, *expansion.parameters]
    query = routes.query([*parameters, *parts], filters=True)

    async def list_(request: Request) -> Response:
        """Return a page of resources that match all filters: newest first, or the best matches of `q` first.

        With `at` the list is of that time, without
        pruned data. Data that cannot be read has a `problem`. `Accept: text/csv` returns CSV.
        """
        listing = await _fetch(routes, query, request)
        values, next_cursor = listing.values, listing.page.next_cursor
        if preferred_type(request, (JSON, CSV)) == CSV:
            return _csv_response(request, routes, listing)
        items = b",".join(expansion.build_envelopes(listing.page, values))
        total = b"" if listing.total is None else b',"total":%d' % listing.total
        if next_cursor is None:
            return JsonResponse(b'{"items":[%s],"next_cursor":null%s}' % (items, total))
        headers = {"link": f'<{next_page(request, routes.path, next_cursor)}>; rel="next"'}
        return JsonResponse(b'{"items":[%s],"next_cursor":"%s"%s}' % (items, next_cursor.encode(), total), 200, headers)

    example = {"items": [routes.envelope_example], "next_cursor": None}
    summary = f"List {routes.nouns}"
    total = (int, optional_part(description="Number of items on all pages, with `count=exact`."))
    doc = f"A page of {routes.nouns}, newest first unless `sort` is given."
    model = page_models(f"{routes.spec.label}Page", doc, expansion.models, raw=True, total=total).either
    return Operation(
        family="list",
        method="GET",
        path="",
        handler=list_,
        parameters=query.to_openapi(),
        filters=True,
        summary=summary,
        model=model,
        headers=("Link",),
        example=example,
        content=csv_content(routes),
        refusals=(400,),
        fetch=partial(_fetch, routes, query),
        varies=True,
    )


async def _fetch(routes: ModelRoutes, query: QueryReader, request: Request) -> Listing:
    """Read the page that a request asks for."""
    manager, (values, where) = routes.manager, query.read(request)
    options = {"include_deleted": values["include_deleted"], "text": values.get("q"), "at": values["at"]}
    unreadable, with_total = values["unreadable"], values["count"] == "exact"
    if unreadable and with_total:
        raise InvalidParameter("count", "is not available with unreadable")
    page = await manager.search(
        where,
        sort=values["sort"],
        limit=values["limit"],
        cursor=values["cursor"],
        unreadable=unreadable,
        expand=values.get("expand") or (),
        max_bytes=routes.max_page_bytes,
        **options,
    )
    return Listing(values, page, await manager.count(where, **options) if with_total else None)


def _csv_response(request: Request, routes: ModelRoutes, listing: Listing) -> Response:
    """Return a page as CSV. The `Link` header leads to the next page.

    Raises:
        InvalidParameter: the request expands references, asks for the total or for raw data, which a table cannot show.
    """
    values, page = listing.values, listing.page
    for name, is_given in (
        ("expand", values.get("expand")),
        ("count", listing.total is not None),
        ("raw", values["raw"]),
    ):
        if is_given:
            raise InvalidParameter(name, "is not available as CSV")
    table = CsvTable(routes.shown_schema, values["returns"], values["fields"], routes.spec.show)
    headers = {"content-type": MEDIA_TYPE}
    if page.next_cursor is not None:
        headers["link"] = f'<{next_page(request, routes.path, page.next_cursor)}>; rel="next"'
    return Response(table.render([item.head for item in page.items]), 200, headers)


def csv_content(routes: ModelRoutes) -> dict[str, Any]:
    """Return the CSV of resources as a media type of an answer, in the form of OpenAPI."""
    example = CsvTable(routes.shown_schema, {"meta", "data"}, {}).header.decode()
    return {CSV: {"schema": {"type": "string"}, "example": example}}


def _count(routes: ModelRoutes) -> Operation:
    manager = routes.manager
    query = routes.query([*text_parameters(manager.fields), QB, AT, INCLUDE_DELETED], filters=True)

    async def count(request: Request) -> Response:
        """Return the number of resources that match the same filters, over all pages."""
        values, where = query.read(request)
        options = {"include_deleted": values["include_deleted"], "text": values.get("q"), "at": values["at"]}
        number = await manager.count(where, **options)
        return JsonResponse(b'{"count":%d}' % number)

    summary = f"Count {routes.nouns}"
    return Operation(
        family="count",
        method="GET",
        path="/count",
        handler=count,
        parameters=query.to_openapi(),
        filters=True,
        summary=summary,
        model=Count,
        example={"count": 42},
        refusals=(400,),
    )


def text_parameters(resolver: Resolver) -> list[Parameter]:
    """Return the parameter `q` if the model has searched text fields."""
    return [] if resolver.document is None else [_TEXT]


def sort_parameter(resolver: Resolver) -> Parameter:
    """Return the parameter `sort` with the model's fields."""
    names = resolver.sortable
    description = "Fields to sort by, with `-` for descending. Nulls come last."
    return choices_parameter("sort", f"-?{any_of(names)}", None, description, f"-created_time,{names[0]}")
