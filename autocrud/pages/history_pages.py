"""Pages of a resource's revisions, of the differences between two revisions, and of its referrers."""

from fastapi import Request
from pydantic_core import from_json
from starlette.responses import RedirectResponse, Response

from autocrud.pages.comparison import compare
from autocrud.pages.form import FORM, address, query_pairs, submitted_query
from autocrud.pages.model_pages import ModelPages
from autocrud.pages.resource_page import describe_referrers
from autocrud.resource import revision_number

_MAX_ROWS = 1_000  # of a table of differences


async def show_revisions(pages: ModelPages, request: Request) -> Response:
    """Return a page of a resource's revisions."""
    _, page = await pages.fetch("revisions", request)
    resource_id = request.path_params["resource_id"]
    path = pages.path(request, resource_id)
    return pages.response(
        request,
        "revisions.html",
        path=path,
        resource_id=resource_id,
        revisions=[{"number": info.revision_id.rpartition(":")[2], "info": info} for info in page.items],
        next_url=pages.next_url(request, f"{path}/revisions", page.next_cursor),
        query=address("", [pair for pair in query_pairs(request) if pair[0] == "include_deleted"])[1:],
        form=FORM,
    )


async def show_diff(pages: ModelPages, request: Request) -> Response:
    """Return the page with the data of two revisions side by side."""
    resource_id = request.path_params["resource_id"]
    path = pages.path(request, resource_id)
    submitted = submitted_query(query_pairs(request))
    if submitted is not None:
        return RedirectResponse(address(f"{path}/revisions/diff", submitted), 303)
    values, _ = await pages.fetch("diff", request)
    names = values["from"], values["to"]
    sides = [await pages.manager.get(resource_id, revision_id=name, include_deleted=True) for name in names]
    rows = compare(*(from_json(side.shown_json) for side in sides))
    changes = [row for row in rows if row.change != "same"]
    unchanged = [row for row in rows if row.change == "same"]
    numbers = [revision_number(resource_id, name) for name in names]
    return pages.response(
        request,
        "diff.html",
        path=path,
        resource_id=resource_id,
        numbers=numbers,
        infos=[side.revision_info for side in sides],
        changes=changes[:_MAX_ROWS],
        unchanged=unchanged[:_MAX_ROWS],
        omitted=max(len(changes) - _MAX_ROWS, 0),
        unchanged_count=len(unchanged),
        swap_url=address(f"{path}/revisions/diff", [("from", str(numbers[1])), ("to", str(numbers[0]))]),
        kept=[pair for pair in query_pairs(request) if pair[0] == "include_deleted"],
        last=sides[0].meta.total_revision_count,
        form=FORM,
    )


async def show_referrers(pages: ModelPages, request: Request) -> Response:
    """Return a page of a resource's referrers."""
    _, page = await pages.fetch("referrers", request)
    resource_id = request.path_params["resource_id"]
    path = pages.path(request, resource_id)
    return pages.response(
        request,
        "referrers.html",
        path=path,
        resource_id=resource_id,
        referrers=describe_referrers(pages, request, page.items),
        next_url=pages.next_url(request, f"{path}/referrers", page.next_cursor),
    )
