"""`GET /{model}/{resource_id}`: one resource."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.routes.envelope import resource_response
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.parameters import INCLUDE_DELETED, RESOURCE_ID, RETURNS, QueryReader


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The family `read`."""
    manager = routes.manager
    query = QueryReader([RETURNS, INCLUDE_DELETED])

    async def read(request: Request) -> Response:
        """Read the current revision. A soft-deleted resource is 410, or is read with `include_deleted`."""
        values, _ = query.read(request)
        resource_id = request.path_params["resource_id"]
        resource = await manager.get(resource_id, include_deleted=values["include_deleted"])
        return resource_response(resource, values["returns"])

    yield Operation(
        "read",
        "GET",
        "/{resource_id}",
        read,
        [RESOURCE_ID, RETURNS.documented(), INCLUDE_DELETED.documented()],
        f"Read a {routes.spec.label}",
        200,
        routes.envelope,
        routes.envelope_example,
        ("ETag",),
        (400, 404, 410),
    )
