"""`DELETE /{model}/{resource_id}`, `…/permanently` and `POST …/restore`: going, gone, and back."""

from collections.abc import Iterator

from fastapi import Request
from starlette.responses import Response

from autocrud.routes.envelope import resource_response
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.parameters import IF_MATCH, RESOURCE_ID, RETURNS, QueryReader, if_match

_NO_QUERY = QueryReader([])


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The families `delete`, `purge` and `restore`."""
    yield _delete(routes)
    yield _purge(routes)
    yield _restore(routes)


def _delete(routes: ModelRoutes) -> Operation:
    manager = routes.manager

    async def delete(request: Request) -> Response:
        """Delete softly: the history stays, and `restore` undoes it."""
        _NO_QUERY.read(request)
        await manager.delete(request.path_params["resource_id"], if_match=if_match(request))
        return Response(status_code=204)

    summary = f"Delete a {routes.spec.label}"
    return Operation(
        "delete", "DELETE", "/{resource_id}", delete, [RESOURCE_ID, IF_MATCH], summary, 204,
        refusals=(400, 404, 410, 412),
    )  # fmt: skip


def _purge(routes: ModelRoutes) -> Operation:
    manager = routes.manager

    async def purge(request: Request) -> Response:
        """Erase a resource, deleted or not, with its metadata and all its revisions. This cannot be undone."""
        _NO_QUERY.read(request)
        await manager.purge(request.path_params["resource_id"], if_match=if_match(request))
        return Response(status_code=204)

    path, summary = "/{resource_id}/permanently", f"Erase a {routes.spec.label} for good"
    return Operation(
        "purge", "DELETE", path, purge, [RESOURCE_ID, IF_MATCH], summary, 204, refusals=(400, 404, 412)
    )  # fmt: skip


def _restore(routes: ModelRoutes) -> Operation:
    manager = routes.manager
    query = QueryReader([RETURNS])

    async def restore(request: Request) -> Response:
        """Undo a soft delete. Restoring what is not deleted changes nothing."""
        values, _ = query.read(request)
        resource = await manager.restore(request.path_params["resource_id"], if_match=if_match(request))
        return resource_response(resource, values["returns"])

    parameters = [RESOURCE_ID, RETURNS.documented(), IF_MATCH]
    summary = f"Restore a {routes.spec.label}"
    return Operation(
        "restore", "POST", "/{resource_id}/restore", restore, parameters, summary, 200, routes.envelope,
        routes.envelope_example, ("ETag",), (400, 404, 409, 412),
    )  # fmt: skip
