"""Endpoint `GET /{model}/{resource_id}`: read a resource."""

from collections.abc import Iterator
from typing import Any

from fastapi import Request
from starlette.responses import Response

from autocrud.errors import InvalidParameter
from autocrud.routes.expand import Expansion
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.query_parameters import (
    AT,
    FIELDS,
    IF_NONE_MATCH,
    INCLUDE_DELETED,
    RAW,
    RESOURCE_ID,
    RETURNS,
    REVISION,
)
from autocrud.routes.response.envelope import read_response
from autocrud.versioning.stored_resource import Resource


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `read`."""
    manager, expansion = routes.manager, Expansion(routes)
    query = routes.query([RETURNS, FIELDS, REVISION, AT, INCLUDE_DELETED, RAW, *expansion.parameters])

    async def fetch(request: Request) -> tuple[dict[str, Any], Resource[Any]]:
        values = query.read(request)[0]
        resource = await manager.get(
            request.path_params["resource_id"],
            revision_id=values["revision_id"],
            at=values["at"],
            include_deleted=values["include_deleted"],
        )
        return values, resource

    async def read(request: Request) -> Response:
        """Return the current revision of a resource, another revision, or the state at a time.

        A deleted resource is 410 unless `include_deleted` is set. Stored data that cannot be read is 409.
        """
        values, resource = await fetch(request)
        if values.get("expand"):
            if values["raw"]:
                raise InvalidParameter("raw", "excludes expand")
            return await expansion.response(request, resource, values)
        return read_response(request, resource, values)

    yield Operation(
        family="read",
        method="GET",
        path="/{resource_id}",
        handler=read,
        parameters=[RESOURCE_ID, *query.to_openapi(), IF_NONE_MATCH],
        summary=f"Get {routes.noun}",
        model=expansion.models.with_raw,
        headers=("ETag",),
        example=routes.envelope_example,
        other_statuses=(304,),
        refusals=(400, 404, 409, 410),
        fetch=fetch,
    )
