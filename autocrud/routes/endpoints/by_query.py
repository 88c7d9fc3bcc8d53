"""Endpoints that delete, restore or patch all resources that match a filter."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.responses import JSONResponse, Response

from autocrud.errors import FieldError, UnsupportedMediaType
from autocrud.manager.bulk.by_query import ByQueryResult
from autocrud.routes.openapi.request_bodies import MERGE, complete_merge_patch, merge_example
from autocrud.routes.operation import ACCEPT_MERGE, ModelRoutes, Operation
from autocrud.routes.request.body import media_type_of, read_text_body
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.filters import QB
from autocrud.routes.request.query_parameters import Parameter
from autocrud.routes.response.problems import Problem, problem_of
from autocrud.versioning.json_patch import MergePatch

_DRY_RUN = Parameter("dry_run", bool, False, "Change nothing, and return the number of matches.")


class RefusedItem(BaseModel):
    """Resource that was not changed, with the problem."""

    id: str = Field(examples=["a-1"])
    problem: Problem


class ByQueryAnswer(BaseModel):
    """Number of matching resources and of changed resources."""

    matched: int = Field(examples=[42])
    changed: int = Field(0, description="Number of changed resources. Absent in a dry run.", examples=[42])
    unchanged: int = Field(0, description="Number of unchanged resources.", examples=[0])
    refused: list[RefusedItem] = Field([], description="Some refused resources, with the problem.")


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the families `delete_many`, `restore_many` and `patch_many`."""
    yield _delete_many(routes)
    yield _restore_many(routes)
    yield _patch_many(routes)


def _delete_many(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([_DRY_RUN, QB], filters=True)

    async def delete_many(request: Request) -> Response:
        """Delete all resources that match the filters, softly. At least one filter is required.

        After a failure, repeat the request.
        """
        values, where = query.read(request)
        dry_run = values["dry_run"]
        return _build_response(await manager.delete_where(where, by=user_of(request), dry_run=dry_run), dry_run)

    return _build_operation(routes, "delete_many", "DELETE", "", delete_many, query.to_openapi())


def _restore_many(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([_DRY_RUN, QB], filters=True)

    async def restore_many(request: Request) -> Response:
        """Restore all deleted resources that match the filters. At least one filter is required.

        A resource whose unique value is taken stays deleted: it is refused.
        """
        values, where = query.read(request)
        dry_run = values["dry_run"]
        return _build_response(await manager.restore_where(where, by=user_of(request), dry_run=dry_run), dry_run)

    return _build_operation(routes, "restore_many", "POST", "/restore", restore_many, query.to_openapi())


def _patch_many(routes: ModelRoutes) -> Operation:
    manager, limit, query = routes.manager, routes.max_body_bytes, routes.query([_DRY_RUN, QB], filters=True)

    async def patch_many(request: Request) -> Response:
        """Apply a JSON Merge Patch to all live resources that match the filters. At least one filter is required.

        Each resource is patched once. If its patched data is invalid, it stays and is refused. A dry run does not
        validate patched data.
        """
        values, where = query.read(request)
        dry_run = values["dry_run"]
        patch = await _read_merge_patch(request, limit)
        result = await manager.patch_where(where, patch, by=user_of(request), dry_run=dry_run, max_bytes=limit)
        return _build_response(result, dry_run, counts_unchanged=True)

    operation = _build_operation(routes, "patch_many", "PATCH", "", patch_many, query.to_openapi())
    return replace(
        operation,
        parameters=[*operation.parameters, routes.body(MERGE)],
        request_body={"required": True, "content": {MERGE: {"example": merge_example(routes.example)}}},
        complete=complete_merge_patch,
        example={"matched": 42, "changed": 40, "unchanged": 2},
        refusals=(400, 413, 415),
    )


async def _read_merge_patch(request: Request, limit: int) -> MergePatch:
    """Return the merge patch of a request.

    Raises:
        UnsupportedMediaType: the body has another media type, such as that of a JSON Patch.
        MalformedBody: the body is not JSON.
        PayloadTooLarge: the body is longer than the limit.
    """
    media_type = media_type_of(request)
    if media_type not in (MERGE, "application/json"):
        error = FieldError("Content-Type", f"must be one of {ACCEPT_MERGE}, not {media_type or 'nothing'}")
        raise UnsupportedMediaType("The body must be a JSON Merge Patch.", [error], ("Accept-Patch", ACCEPT_MERGE))
    return MergePatch(await read_text_body(request, limit))


def _build_operation(
    routes: ModelRoutes, family: str, method: str, path: str, handler: Any, parameters: list[Any]
) -> Operation:
    verb = family.partition("_")[0].title()
    return Operation(
        family=family,
        method=method,
        path=path,
        handler=handler,
        parameters=parameters,
        filters=True,
        summary=f"{verb} {routes.nouns} that match a filter",
        model=ByQueryAnswer,
        example={"matched": 42, "changed": 42},
        refusals=(400,),
    )


def _build_response(result: ByQueryResult, dry_run: bool, *, counts_unchanged: bool = False) -> Response:
    content: dict[str, Any] = {"matched": result.matched}
    if not dry_run:
        content["changed"] = result.changed
        if counts_unchanged:
            content["unchanged"] = result.unchanged
    if result.refused:
        problems = [(resource_id, bytes(problem_of(error).body)) for resource_id, error in result.refused]
        content["refused"] = [{"id": resource_id, "problem": from_json(body)} for resource_id, body in problems]
    return JSONResponse(content)
