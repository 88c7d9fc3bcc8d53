"""Endpoint `POST /{model}`: create a resource."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.body import read_json_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.query_parameters import FIELDS, PREFER, RETURNS, header
from autocrud.routes.response.envelope import written_response


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `create`."""
    manager, limit = routes.manager, routes.max_body_bytes
    query = routes.query([RETURNS, FIELDS])

    async def create(request: Request) -> Response:
        """Create a resource under a new id. `Location` has its URL, `ETag` its version.

        A repeated request with the same `Idempotency-Key` gets the first answer and creates nothing. The same key with
        another body is 422.
        """
        values = query.read(request)[0]
        body = await read_json_body(request, limit)
        key = request.headers.get("idempotency-key")
        resource = await manager.create(body, by=user_of(request), idempotency_key=key)
        return written_response(request, resource, values, routes.location(request, resource.resource_id))

    key = header(
        "Idempotency-Key",
        "Key of the client's choice, which makes it safe to repeat the request.",
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
        r"^[ -~]{1,255}$",
    )
    yield Operation(
        family="create",
        method="POST",
        path="",
        handler=create,
        parameters=[*query.to_openapi(), PREFER, key, routes.body()],
        summary=f"Create {routes.noun}",
        status=201,
        model=routes.envelopes.either,
        headers=("Location", "ETag"),
        example=routes.envelope_example,
        refusals=(400, 409, 413, 415, 422),
    )
