"""`POST /{model}`: a new resource."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.routes.body import read_json_body
from autocrud.routes.envelope import resource_response
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.parameters import RETURNS, QueryReader


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The family `create`."""
    manager, limit = routes.manager, routes.max_body_bytes
    query = QueryReader([RETURNS])

    async def create(request: Request) -> Response:
        """Store a new resource under a new id. The answer says where it is, in `Location`, and its `ETag`."""
        values, _ = query.read(request)
        resource = await manager.create(await read_json_body(request, limit))
        location = f"{request.scope.get('root_path', '')}{routes.path}/{resource.resource_id}"
        return resource_response(resource, values["returns"], 201, {"location": location})

    yield Operation(
        "create",
        "POST",
        "",
        create,
        [RETURNS.documented(), routes.body()],
        f"Create a {routes.spec.label}",
        201,
        routes.envelope,
        routes.envelope_example,
        ("Location", "ETag"),
        (400, 409, 413, 415, 422),
    )
