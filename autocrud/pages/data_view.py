"""Data view: pages for browsers on the routes that read resources. Other clients get JSON from the same routes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, wraps

from fastapi import Request
from pydantic_core import from_json
from starlette.responses import Response

from autocrud.errors import AutoCRUDError
from autocrud.pages.model_pages import ModelPages
from autocrud.routes.openapi.json_patch import MEDIA_TYPE as JSON_PATCH
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.negotiation import CSV, HTML, JSON, preferred_type
from autocrud.routes.response.problems import answer_problem

_Show = Callable[[ModelPages, Request], Awaitable[Response]]
# Media types of each family with a page, the default first.
_OFFERS: Mapping[str, Sequence[str]] = {
    "list": (JSON, HTML, CSV),
    "read": (JSON, HTML),
    "revisions": (JSON, HTML),
    "revision": (JSON, HTML),
    "diff": (JSON_PATCH, JSON, HTML),
    "referrers": (JSON, HTML),
}


@cache
def _load_pages() -> Mapping[str, _Show]:
    """Return the page of each family. Applications without browsers need not import the pages."""
    from autocrud.pages.history_pages import show_diff, show_referrers, show_revisions
    from autocrud.pages.list_page import show_list
    from autocrud.pages.resource_page import show_resource, show_revision

    return {
        "list": show_list,
        "read": show_resource,
        "revisions": show_revisions,
        "revision": show_revision,
        "diff": show_diff,
        "referrers": show_referrers,
    }


def add_pages(routes: ModelRoutes, operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations of a model, with pages for browsers on the routes that read resources.

    The pages are answers of the same routes, so that the dependencies of the model guard them, too.
    """
    pages = ModelPages(routes, operations)
    return [_with_page(operation, pages) if operation.family in _OFFERS else operation for operation in operations]


def _with_page(operation: Operation, pages: ModelPages) -> Operation:
    family, answer = operation.family, operation.handler
    offers = _OFFERS[family]

    @wraps(answer)
    async def negotiate(request: Request) -> Response:
        if preferred_type(request, offers) != HTML:
            return await answer(request)
        try:
            return await _load_pages()[family](pages, request)
        except AutoCRUDError as error:
            return await _problem_page(pages, request, error)

    return replace(operation, handler=negotiate, varies=True)


async def _problem_page(pages: ModelPages, request: Request, error: AutoCRUDError) -> Response:
    """Return a problem as a page with the same status and text."""
    response = await answer_problem(request, error)
    problem = from_json(bytes(response.body))
    resource_id = request.path_params.get("resource_id")
    deleted_url = f"{pages.path(request, resource_id)}?include_deleted=true" if problem["code"] == "deleted" else None
    page = pages.response(
        request, "problem.html", response.status_code, problem=problem, resource_id=resource_id, deleted_url=deleted_url
    )
    for name in ("retry-after", "etag"):
        if name in response.headers:
            page.headers[name] = response.headers[name]
    return page
