"""Endpoints that list, read, compare and switch revisions."""

import inspect
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from fastapi import Path, Request
from pydantic import StringConstraints
from pydantic_core import to_json
from starlette.responses import Response

from autocrud.resource import RevisionInfo
from autocrud.routes.openapi.json_patch import MEDIA_TYPE as JSON_PATCH
from autocrud.routes.openapi.json_patch import complete_answer
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.etag import if_match
from autocrud.routes.request.query_parameters import (
    CURSOR,
    FIELDS,
    IF_MATCH,
    IF_NONE_MATCH,
    INCLUDE_DELETED,
    LIMIT,
    PREFER,
    RAW,
    RESOURCE_ID,
    RETURNS,
    REVISION_PATTERN,
    Parameter,
    next_page,
    revision_parameter,
    time_parameter,
)
from autocrud.routes.response.envelope import (
    AnswerModels,
    JsonResponse,
    answer_models,
    envelope,
    page_models,
    read_response,
    written_response,
)
from autocrud.versioning.stored_resource import Resource, RevisionPage

_FROM = revision_parameter("from", "Begin with this revision instead of the newest, by id or number.")
_CHAIN_ONLY = Parameter(
    "chain_only", bool, False, "Only the current revision, or the one of `from`, and its ancestors."
)
_SINCE = time_parameter("since", "Only revisions made at this time or later.")
_UNTIL = time_parameter("until", "Only revisions made at this time or before.")
_PARTS = Parameter(
    "returns",
    Annotated[str, StringConstraints(pattern="^(revision_info|data)(,(revision_info|data))*$")],
    "revision_info",
    "Parts of each revision to return, separated by commas.",
    "revision_info,data",
    lambda value: frozenset(value.split(",")),
)
_REVISION_ID = inspect.Parameter(
    "revision_id",
    inspect.Parameter.KEYWORD_ONLY,
    annotation=Annotated[
        str, Path(description="The revision, by id or number.", pattern=REVISION_PATTERN, examples=["2"])
    ],
)
_BASE = "/{resource_id}/revisions"


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the families `revisions`, `revision`, `diff` and `switch`."""
    yield _list(routes)
    # `diff` precedes `{revision_id}`, which matches every segment.
    yield _diff(routes)
    yield _revision(routes)
    yield _switch(routes)


def _list(routes: ModelRoutes) -> Operation:
    manager = routes.manager
    query = routes.query([LIMIT, CURSOR, _FROM, _CHAIN_ONLY, _SINCE, _UNTIL, _PARTS, INCLUDE_DELETED, RAW])

    async def fetch(request: Request) -> tuple[dict[str, Any], RevisionPage[Any]]:
        values = query.read(request)[0]
        page = await manager.revisions(
            request.path_params["resource_id"],
            first=values["from"],
            chain_only=values["chain_only"],
            since=values["since"],
            until=values["until"],
            limit=values["limit"],
            cursor=values["cursor"],
            data="data" in values["returns"],
            include_deleted=values["include_deleted"],
            max_bytes=routes.max_page_bytes,
        )
        return values, page

    async def revisions(request: Request) -> Response:
        """Return a page of a resource's revisions, newest first, without pruned revisions."""
        values, page = await fetch(request)
        headers = {}
        if page.next_cursor is not None:
            path = f"{routes.path}/{request.path_params['resource_id']}/revisions"
            headers["link"] = f'<{next_page(request, path, page.next_cursor)}>; rel="next"'
        return JsonResponse(_render_page(page, values["returns"], raw=values["raw"]), 200, headers)

    item = {key: routes.envelope_example[key] for key in ("revision_info",)}
    example = {"items": [item], "next_cursor": None}
    summary = f"List the revisions of {routes.noun}"
    return Operation(
        family="revisions",
        method="GET",
        path=_BASE,
        handler=revisions,
        parameters=[RESOURCE_ID, *query.to_openapi()],
        summary=summary,
        model=_build_page_models(routes).either,
        headers=("Link",),
        example=example,
        refusals=(400, 404, 410),
        fetch=fetch,
    )


def _revision(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([RETURNS, FIELDS, INCLUDE_DELETED, RAW])

    async def fetch(request: Request) -> tuple[dict[str, Any], Resource[Any]]:
        values = query.read(request)[0]
        resource = await manager.get(
            request.path_params["resource_id"],
            revision_id=request.path_params["revision_id"],
            include_deleted=values["include_deleted"],
        )
        return values, resource

    async def revision(request: Request) -> Response:
        """Return a revision: its data and its information, with the resource's current metadata."""
        values, resource = await fetch(request)
        return read_response(request, resource, values)

    parameters = [RESOURCE_ID, _REVISION_ID, *query.to_openapi(), IF_NONE_MATCH]
    return Operation(
        family="revision",
        method="GET",
        path=f"{_BASE}/{{revision_id}}",
        handler=revision,
        parameters=parameters,
        summary=f"Get a revision of {routes.noun}",
        model=routes.envelopes.with_raw,
        headers=("ETag",),
        example=routes.envelope_example,
        other_statuses=(304,),
        refusals=(400, 404, 409, 410),
        fetch=fetch,
    )


def _diff(routes: ModelRoutes) -> Operation:
    manager = routes.manager
    first = revision_parameter("from", "The revision to compare, by id or number.", required=True)
    second = revision_parameter("to", "The revision to compare with, by id or number.", required=True)
    query = routes.query([first, second, INCLUDE_DELETED])

    async def fetch(request: Request) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        values = query.read(request)[0]
        patch = await manager.diff(
            request.path_params["resource_id"],
            values["from"],
            values["to"],
            include_deleted=values["include_deleted"],
        )
        return values, patch

    async def diff(request: Request) -> Response:
        """Return a JSON Patch (RFC 6902) that turns the data of one revision into the data of the other."""
        patch = (await fetch(request))[1]
        return Response(to_json(patch, inf_nan_mode="constants"), media_type=JSON_PATCH)

    example = [{"op": "replace", "path": "/title", "value": "Emma"}]
    return Operation(
        family="diff",
        method="GET",
        path=f"{_BASE}/diff",
        handler=diff,
        parameters=[RESOURCE_ID, *query.to_openapi()],
        summary=f"Compare two revisions of {routes.noun}",
        content={JSON_PATCH: {"example": example}},
        complete=complete_answer,
        refusals=(400, 404, 409, 410),
        fetch=fetch,
    )


def _switch(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([RETURNS, FIELDS])

    async def switch(request: Request) -> Response:
        """Make this revision the current one. The next update branches from this revision."""
        values = query.read(request)[0]
        resource = await manager.switch(
            request.path_params["resource_id"],
            request.path_params["revision_id"],
            if_match=if_match(request, routes.needs_if_match),
            by=user_of(request),
        )
        return written_response(request, resource, values)

    parameters = [RESOURCE_ID, _REVISION_ID, *query.to_openapi(), IF_MATCH, PREFER]
    return Operation(
        family="switch",
        method="POST",
        path="/{resource_id}/switch/{revision_id}",
        handler=switch,
        parameters=parameters,
        summary=f"Switch {routes.noun} to another revision",
        model=routes.envelopes.either,
        headers=("ETag",),
        example=routes.envelope_example,
        other_statuses=(204,),
        refusals=routes.write_refusals(400, 404, 409, 410, 412, 422),
    )


def _render_page(page: RevisionPage[Any], parts: AbstractSet[str], *, raw: bool) -> bytes:
    if page.resources:
        items = [envelope(resource, parts, {}, raw=raw) for resource in page.resources]
    else:
        items = [b'{"revision_info":%s}' % info.to_json() for info in page.items if "revision_info" in parts]
    return b'{"items":[%s],"next_cursor":%s}' % (b",".join(items), to_json(page.next_cursor))


def _build_page_models(routes: ModelRoutes) -> AnswerModels:
    label = routes.spec.label
    item_doc, page_doc = f"A revision of {routes.noun}.", f"A page of the revisions of {routes.noun}, newest first."
    data = {"data": routes.spec.model}
    item = answer_models(f"{label}Revision", item_doc, {"revision_info": RevisionInfo}, data)
    return page_models(f"{label}RevisionPage", page_doc, item, raw=True)
