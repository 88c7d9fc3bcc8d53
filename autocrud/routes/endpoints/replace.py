"""Endpoint `PUT /{model}/{resource_id}`: append a revision, or create a resource with a chosen id."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Request
from pydantic import WithJsonSchema
from starlette.responses import Response

from autocrud.errors import AlreadyExists, InvalidParameter, PreconditionFailed
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.body import read_json_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.etag import if_match
from autocrud.routes.request.query_parameters import (
    CHANGE_STATUS,
    FIELDS,
    IF_MATCH,
    MODE,
    PREFER,
    RESOURCE_ID,
    RETURNS,
    header,
)
from autocrud.routes.response.envelope import written_response

_Star = Annotated[str, WithJsonSchema({"type": "string", "enum": ["*"]})]
_IF_NONE_MATCH = header(
    "If-None-Match",
    "Only `*`: create the resource unless the id exists.",
    "*",
    kind=_Star,
)


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `replace`."""
    manager, limit = routes.manager, routes.max_body_bytes
    query = routes.query([RETURNS, FIELDS, MODE, CHANGE_STATUS])

    async def replace(request: Request) -> Response:
        """Append a revision with this data. Equal data changes nothing.

        With `mode=modify` a draft is edited in place; a stable revision is 409. With `If-None-Match: *` a resource is
        created with the id in the path; an existing one is 412.
        """
        values = query.read(request)[0]
        resource_id, user, status = request.path_params["resource_id"], user_of(request), values["change_status"]
        if not _creates(request):
            tags = if_match(request, routes.needs_if_match)
            body = await read_json_body(request, limit)
            modify = values["mode"] == "modify"
            resource = await manager.replace(resource_id, body, if_match=tags, by=user, modify=modify, status=status)
            return written_response(request, resource, values)
        body = await read_json_body(request, limit)
        try:
            if "if-match" in request.headers:
                raise AlreadyExists(resource_id)  # no resource both exists and is absent
            resource = await manager.create(body, resource_id=resource_id, by=user, status=status)
        except AlreadyExists as error:
            # A soft-deleted resource keeps its id.
            current = await manager.get(resource_id, include_deleted=True)
            raise PreconditionFailed(resource_id, current.tag) from error
        return written_response(request, resource, values, routes.location(request, resource_id))

    yield Operation(
        family="replace",
        method="PUT",
        path="/{resource_id}",
        handler=replace,
        parameters=[RESOURCE_ID, *query.to_openapi(), IF_MATCH, _IF_NONE_MATCH, PREFER, routes.body()],
        summary=f"Replace {routes.noun}",
        model=routes.envelopes.either,
        headers=("ETag",),
        example=routes.envelope_example,
        other_statuses=(201, 204),
        refusals=routes.write_refusals(400, 404, 409, 410, 412, 413, 415, 422),
    )


def _creates(request: Request) -> bool:
    value = request.headers.get("if-none-match")
    if value is None:
        return False
    if value.strip() != "*":
        raise InvalidParameter("If-None-Match", "must be *")
    return True
