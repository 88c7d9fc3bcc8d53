"""`PUT /{model}/{resource_id}`: a new revision, or a new resource with a chosen id."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.errors import AlreadyExists, InvalidParameter, PreconditionFailed
from autocrud.routes.body import read_json_body
from autocrud.routes.envelope import resource_response
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.parameters import (
    IF_MATCH,
    RESOURCE_ID,
    RETURNS,
    QueryReader,
    header,
    if_match,
)


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The family `replace`."""
    manager, limit = routes.manager, routes.max_body_bytes
    query = QueryReader([RETURNS])

    async def replace(request: Request) -> Response:
        """Append a revision with this data. The same data again makes none, and changes nothing.

        With `If-None-Match: *` it creates a resource with the id in the path, and is 412 where there is one.
        """
        values, _ = query.read(request)
        resource_id = request.path_params["resource_id"]
        tags = if_match(request)
        create = _creates(request)
        body = await read_json_body(request, limit)
        if not create:
            return resource_response(await manager.replace(resource_id, body, if_match=tags), values["returns"])
        try:
            resource = await manager.create(body, resource_id=resource_id)
        except AlreadyExists as error:
            raise PreconditionFailed(resource_id, None) from error
        location = f"{request.scope.get('root_path', '')}{routes.path}/{resource_id}"
        return resource_response(resource, values["returns"], 201, {"location": location})

    if_none_match = header("If-None-Match", "Only `*`: create the resource, and only if there is none.", "*", r"^\*$")
    yield Operation(
        "replace",
        "PUT",
        "/{resource_id}",
        replace,
        [RESOURCE_ID, RETURNS.documented(), IF_MATCH, if_none_match, routes.body()],
        f"Replace a {routes.spec.label}",
        200,
        routes.envelope,
        routes.envelope_example,
        ("ETag",),
        (400, 404, 409, 410, 412, 413, 415, 422),
        creates=True,
    )


def _creates(request: Request) -> bool:
    value = request.headers.get("if-none-match")
    if value is None:
        return False
    if value.strip() != "*":
        raise InvalidParameter("If-None-Match", "must be * here")
    if "if-match" in request.headers:
        raise InvalidParameter("If-None-Match", "excludes If-Match")
    return True
