"""Endpoint `POST /{model}`: create a resource."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.errors import InvalidParameter, PreconditionRequired
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.body import read_json_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.query_parameters import FIELDS, PREFER, RETURNS, Parameter, header
from autocrud.routes.response.envelope import written_response
from autocrud.routes.upsert_families import missing_family

_ON_CONFLICT = Parameter(
    "on_conflict",
    OnConflict,
    OnConflict.error,
    "Effect if a live resource has the unique values of the body: refuse with 409, return it, or replace or merge its"
    " data.",
)

_IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "Key of the client's choice, which makes it safe to repeat the request.",
    "8e03978e-40d5-43dd-bc93-6894a57f9324",
    r"^[ -~]{1,255}$",
)


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `create`."""
    manager, limit = routes.manager, routes.max_body_bytes
    query = routes.query([RETURNS, FIELDS, _ON_CONFLICT])

    async def create(request: Request) -> Response:
        """Create a resource under a new id. `Location` has its URL, `ETag` its version.

        A repeated request with the same `Idempotency-Key` gets the first answer. With `on_conflict`, 200 answers with
        the resource that had the unique values before. To merge, the body may lack fields.
        """
        values = query.read(request)[0]
        on_conflict: OnConflict = values["on_conflict"]
        if on_conflict is not OnConflict.error:
            _check_upsert(routes, on_conflict)
        resource = await manager.create(
            await read_json_body(request, limit),
            by=user_of(request),
            idempotency_key=request.headers.get("idempotency-key"),
            on_conflict=on_conflict,
            max_bytes=limit,
        )
        location = routes.location(request, resource.resource_id)
        return written_response(request, resource, values, location, is_new=resource.is_new)

    has_unique = bool(routes.spec.unique_constraints)
    parameters = query.to_openapi() if has_unique else routes.query([RETURNS, FIELDS]).to_openapi()
    yield Operation(
        family="create",
        method="POST",
        path="",
        handler=create,
        parameters=[*parameters, PREFER, _IDEMPOTENCY_KEY, routes.body()],
        summary=f"Create {routes.noun}",
        status=201,
        model=routes.envelopes.either,
        headers=("Location", "ETag"),
        example=routes.envelope_example,
        other_statuses=(200, 204) if has_unique else (),
        refusals=routes.write_refusals(400, 409, 413, 415, 422) if has_unique else (400, 409, 413, 415, 422),
    )


def _check_upsert(routes: ModelRoutes, on_conflict: OnConflict) -> None:
    """Refuse an upsert that does the work of a route which the model does not serve, or that needs a precondition."""
    if family := missing_family(on_conflict, routes.families):
        message = f"{on_conflict.value!r} is not served by {routes.spec.name}, which has no route {family!r}"
        raise InvalidParameter("on_conflict", message)
    if on_conflict.may_change and routes.needs_if_match is not None:
        raise PreconditionRequired(routes.needs_if_match)
