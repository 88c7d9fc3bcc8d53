"""Endpoints that delete or restore all resources that match a filter."""

from collections.abc import Iterator
from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field
from pydantic_core import from_json
from starlette.responses import JSONResponse, Response

from autocrud.manager.bulk.by_query import ByQueryResult
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.request.current_user import user_of
from autocrud.routes.request.filters import QB
from autocrud.routes.request.query_parameters import Parameter
from autocrud.routes.response.problems import Problem, problem_of

_DRY_RUN = Parameter("dry_run", bool, False, "Change nothing, and return the number of matches.")


class RefusedItem(BaseModel):
    """Resource that was not changed, with the problem."""

    id: str = Field(examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"])
    problem: Problem


class ByQueryAnswer(BaseModel):
    """Number of matching resources and of changed resources."""

    matched: int = Field(examples=[42])
    changed: int = Field(0, description="Number of changed resources. Absent in a dry run.", examples=[42])
    refused: list[RefusedItem] = Field([], description="Some of the resources that were refused, with the problem.")


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """Yield the operations of the families `delete_many` and `restore_many`."""
    yield _delete_many(routes)
    yield _restore_many(routes)


def _delete_many(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([_DRY_RUN, QB], filters=True)

    async def delete_many(request: Request) -> Response:
        """Delete all resources that match the filters, softly. At least one filter is required.

        The delete works page by page. After a failure, repeat the request. A resource is deleted only in a state that
        matches the filters.
        """
        values, where = query.read(request)
        dry_run = values["dry_run"]
        return _build_response(await manager.delete_where(where, by=user_of(request), dry_run=dry_run), dry_run)

    return _build_operation(routes, "delete_many", "DELETE", "", delete_many, query.to_openapi())


def _restore_many(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([_DRY_RUN, QB], filters=True)

    async def restore_many(request: Request) -> Response:
        """Restore all deleted resources that match the filters. At least one filter is required.

        A resource whose unique value is taken stays deleted and is counted as refused.
        """
        values, where = query.read(request)
        dry_run = values["dry_run"]
        return _build_response(await manager.restore_where(where, by=user_of(request), dry_run=dry_run), dry_run)

    return _build_operation(routes, "restore_many", "POST", "/restore", restore_many, query.to_openapi())


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


def _build_response(result: ByQueryResult, dry_run: bool) -> Response:
    content: dict[str, Any] = {"matched": result.matched}
    if not dry_run:
        content["changed"] = result.changed
    if result.refused:
        problems = [(resource_id, bytes(problem_of(error).body)) for resource_id, error in result.refused]
        content["refused"] = [{"id": resource_id, "problem": from_json(body)} for resource_id, body in problems]
    return JSONResponse(content)
