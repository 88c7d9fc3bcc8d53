"""Data view: pages for browsers on the routes that read resources. Other clients get JSON from the same routes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps

from fastapi import Request
from pydantic_core import from_json
from starlette.responses import Response

from autocrud.errors import AutoCRUDError
from autocrud.pages.history_pages import show_diff, show_referrers, show_revisions
from autocrud.pages.list_page import show_list
from autocrud.pages.model_pages import ModelPages
from autocrud.pages.resource_page import show_resource, show_revision
from autocrud.routes.openapi.json_patch import MEDIA_TYPE as JSON_PATCH
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.negotiation import CSV, HTML, JSON, preferred_type
from autocrud.routes.response.problems import answer_problem

_Show = Callable[[ModelPages, Request], Awaitable[Response]]
# Page and media types of each family, the default first.
_PAGES: Mapping[str, tuple[_Show, Sequence[str]]] = {
    "list": (show_list, (JSON, HTML, CSV)),
    "read": (show_resource, (JSON, HTML)),
    "revisions": (show_revisions, (JSON, HTML)),
    "revision": (show_revision, (JSON, HTML)),
    "diff": (show_diff, (JSON_PATCH, JSON, HTML)),
    "referrers": (show_referrers, (JSON, HTML)),
}


def add_pages(routes: ModelRoutes, operations: Sequence[Operation]) -> list[Operation]:
    """Return the operations of a model, with pages for browsers on the routes that read resources.

    The pages are answers of the same routes, so that the dependencies of the model guard them, too.
    """
    pages = ModelPages(routes, operations)
    return [_with_page(operation, pages) if operation.family in _PAGES else operation for operation in operations]


def _with_page(operation: Operation, pages: ModelPages) -> Operation:
    show, offers = _PAGES[operation.family]
    answer = operation.handler

    @wraps(answer)
    async def negotiate(request: Request) -> Response:
        if preferred_type(request, offers) != HTML:
            return await answer(request)
        try:
            return await show(pages, request)
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
