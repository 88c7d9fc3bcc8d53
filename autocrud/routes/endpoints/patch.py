"""Endpoint `PATCH /{model}/{resource_id}`: change a part of a resource."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import Request
from starlette.responses import Response

from autocrud.errors import FieldError, UnsupportedMediaType
from autocrud.routes.openapi.json_patch import MEDIA_TYPE as OPERATIONS
from autocrud.routes.openapi.request_bodies import MERGE, complete_patch, merge_example
from autocrud.routes.operation import ACCEPT_PATCH, ModelRoutes, Operation
from autocrud.routes.request.body import media_type_of, read_text_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.etag import if_match
from autocrud.routes.request.query_parameters import CHANGE_STATUS, FIELDS, IF_MATCH, MODE, PREFER, RESOURCE_ID, RETURNS
from autocrud.routes.response.envelope import written_response
from autocrud.versioning.json_patch import MergePatch, OperationsPatch, Patch

_FORMATS: dict[str, Callable[[bytes], Patch]] = {OPERATIONS: OperationsPatch, MERGE: MergePatch}


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operation of the family `patch`."""
    manager, limit = routes.manager, routes.max_body_bytes
    query = routes.query([RETURNS, FIELDS, MODE, CHANGE_STATUS])

    async def patch(request: Request) -> Response:
        """Change a part of a resource by a JSON Patch (RFC 6902) or a JSON Merge Patch (RFC 7396).

        Without `If-Match` the patch applies to the newest version. A failed operation or `test` is 409 with its index.
        """
        values = query.read(request)[0]
        tags = if_match(request, routes.needs_if_match)
        changes = await _read_patch(request, limit)
        resource = await manager.patch(
            request.path_params["resource_id"],
            changes,
            if_match=tags,
            by=user_of(request),
            modify=values["mode"] == "modify",
            status=values["change_status"],
            max_bytes=limit,
        )
        return written_response(request, resource, values)

    yield Operation(
        family="patch",
        method="PATCH",
        path="/{resource_id}",
        handler=patch,
        parameters=[RESOURCE_ID, *query.to_openapi(), IF_MATCH, PREFER, routes.body(MERGE)],
        request_body=_request_body(routes),
        complete=complete_patch,
        summary=f"Patch {routes.noun}",
        model=routes.envelopes.either,
        headers=("ETag",),
        example=routes.envelope_example,
        other_statuses=(204,),
        refusals=routes.write_refusals(400, 404, 409, 410, 412, 413, 415, 422),
    )


async def _read_patch(request: Request, limit: int) -> Patch:
    media_type = media_type_of(request)
    if media_type not in _FORMATS:
        error = FieldError("Content-Type", f"must be one of {ACCEPT_PATCH}, not {media_type or 'nothing'}")
        raise UnsupportedMediaType(
            "The body must be a JSON Patch or a JSON Merge Patch.", [error], ("Accept-Patch", ACCEPT_PATCH)
        )
    return _FORMATS[media_type](await read_text_body(request, limit))


def _request_body(routes: ModelRoutes) -> dict[str, Any]:
    example = routes.example
    field, value = next(iter(example.items()), ("", None)) if isinstance(example, dict) else ("", example)
    path = f"/{field.replace('~', '~0').replace('/', '~1')}" if field else ""
    operation = {"op": "replace", "path": path, "value": value}
    return {
        "required": True,
        "content": {
            OPERATIONS: {"example": [operation]},
            MERGE: {"example": merge_example(example)},
        },
    }
