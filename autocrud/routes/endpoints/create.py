"""`POST /{model}`: a new resource."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.body import read_json_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.query_parameters import FIELDS, PREFER, RETURNS, header
from autocrud.routes.response.envelope import written_response


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The family `create`."""
    manager, limit = routes.manager, routes.max_body_bytes
    query = routes.query([RETURNS, FIELDS])

    async def create(request: Request) -> Response:
        """Store a new resource under a new id. The answer says where it is, in `Location`, and its `ETag`.

        With an `Idempotency-Key` a repetition gets the first answer and makes nothing new; another body is a 422.
        """
        values = query.read(request)[0]
        body = await read_json_body(request, limit)
        key = request.headers.get("idempotency-key")
        resource = await manager.create(body, by=user_of(request), idempotency_key=key)
        return written_response(request, resource, values, routes.location(request, resource.resource_id))

    key = header(
        "Idempotency-Key",
        "Of the client's choice: it makes a repetition of the request harmless.",
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        r"^[ -~]{1,255}$",
    )
    yield Operation(
        family="create",
        method="POST",
        path="",
        handler=create,
        parameters=[*query.documented(), PREFER, key, routes.body()],
        summary=f"Create a {routes.spec.label}",
        status=201,
        model=routes.envelope,
        headers=("Location", "ETag"),
        example=routes.envelope_example,
        refusals=(400, 409, 413, 415, 422),
    )
