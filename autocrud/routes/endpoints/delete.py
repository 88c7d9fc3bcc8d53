"""Endpoints that delete, purge and restore a resource."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.etag import if_match
from autocrud.routes.request.query_parameters import FIELDS, IF_MATCH, PREFER, RESOURCE_ID, RETURNS
from autocrud.routes.response.envelope import written_response


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the families `delete`, `purge` and `restore`."""
    yield _delete(routes)
    yield _purge(routes)
    yield _restore(routes)


def _delete(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([])

    async def delete(request: Request) -> Response:
        """Delete a resource softly. A restore undoes the delete.

        By the rule of its field, a referrer prevents the delete (409), loses the reference, or is deleted, too.
        """
        query.read(request)
        tags = if_match(request, routes.needs_if_match)
        await manager.delete(request.path_params["resource_id"], if_match=tags, by=user_of(request))
        return Response(status_code=204)

    summary = f"Delete {routes.noun}"
    return Operation(
        family="delete",
        method="DELETE",
        path="/{resource_id}",
        handler=delete,
        parameters=[RESOURCE_ID, IF_MATCH],
        summary=summary,
        status=204,
        refusals=routes.write_refusals(400, 404, 409, 410, 412),
    )


def _purge(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([])

    async def purge(request: Request) -> Response:
        """Erase a resource, deleted or not, with all revisions. A purge cannot be undone.

        Its blobs without another reference go, too.
        """
        query.read(request)
        tags = if_match(request, routes.needs_if_match)
        await manager.purge(request.path_params["resource_id"], if_match=tags, by=user_of(request))
        return Response(status_code=204)

    path, summary = "/{resource_id}/permanently", f"Purge {routes.noun}"
    return Operation(
        family="purge",
        method="DELETE",
        path=path,
        handler=purge,
        parameters=[RESOURCE_ID, IF_MATCH],
        summary=summary,
        status=204,
        refusals=routes.write_refusals(400, 404, 409, 412),
    )


def _restore(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([RETURNS, FIELDS])

    async def restore(request: Request) -> Response:
        """Restore a deleted resource. Restoring a live resource changes nothing."""
        values = query.read(request)[0]
        tags = if_match(request, routes.needs_if_match)
        resource = await manager.restore(request.path_params["resource_id"], if_match=tags, by=user_of(request))
        return written_response(request, resource, values)

    parameters = [RESOURCE_ID, *query.to_openapi(), IF_MATCH, PREFER]
    summary = f"Restore {routes.noun}"
    return Operation(
        family="restore",
        method="POST",
        path="/{resource_id}/restore",
        handler=restore,
        parameters=parameters,
        summary=summary,
        model=routes.envelopes.either,
        headers=("ETag",),
        example=routes.envelope_example,
        other_statuses=(204,),
        refusals=routes.write_refusals(400, 404, 409, 412, 422),
    )
