"""`DELETE /{model}?…` and `POST /{model}/restore?…`: whatever a filter selects goes, or comes back."""

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

_DRY_RUN = Parameter("dry_run", bool, False, "Change nothing, and say how many there are.")


class RefusedItem(BaseModel):
    """A resource that could not be changed."""

    id: str = Field(examples=["0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"])
    problem: Problem


class ByQueryAnswer(BaseModel):
    """How many resources the filter selected, and how many of them changed."""

    matched: int = Field(examples=[42])
    changed: int = Field(0, description="Not there in a dry run.", examples=[42])
    refused: list[RefusedItem] = Field([], description="Some of those that were refused, if any were.")


def operations(routes: ModelRoutes) -> Iterator[Operation]:
    """The families `delete_many` and `restore_many`."""
    yield _delete(routes)
    yield _restore(routes)


def _delete(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([_DRY_RUN, QB], filters=True)

    async def delete_many(request: Request) -> Response:
        """Delete softly whatever the filters select; without a filter that is refused.

        It goes page by page: what fails in between leaves some deleted, and the same request deletes the others. Each
        resource is deleted only in a state that the filters select, which stands for `If-Match`.
        """
        values, where = query.read(request)
        dry_run = values["dry_run"]
        return _answer(await manager.delete_where(where, by=user_of(request), dry_run=dry_run), dry_run)

    return _operation(routes, "delete_many", "DELETE", "", delete_many, query.documented())


def _restore(routes: ModelRoutes) -> Operation:
    manager, query = routes.manager, routes.query([_DRY_RUN, QB], filters=True)

    async def restore_many(request: Request) -> Response:
        """Restore whatever is deleted and the filters select; without a filter that is refused.

        A resource whose unique value is taken by now stays deleted, and is counted as one that did not change.
        """
        values, where = query.read(request)
        dry_run = values["dry_run"]
        return _answer(await manager.restore_where(where, by=user_of(request), dry_run=dry_run), dry_run)

    return _operation(routes, "restore_many", "POST", "/restore", restore_many, query.documented())


def _operation(
    routes: ModelRoutes, family: str, method: str, path: str, handler: Any, documented: list[Any]
) -> Operation:
    verb = family.partition("_")[0].title()
    return Operation(
        family=family,
        method=method,
        path=path,
        handler=handler,
        parameters=documented,
        filters=True,
        summary=f"{verb} the {routes.spec.label} resources of a filter",
        model=ByQueryAnswer,
        example={"matched": 42, "changed": 42},
        refusals=(400,),
    )


def _answer(found: ByQueryResult, dry_run: bool) -> Response:
    content: dict[str, Any] = {"matched": found.matched}
    if not dry_run:
        content["changed"] = found.changed
    if found.refused:
        refused = [(resource_id, bytes(problem_of(error).body)) for resource_id, error in found.refused]
        content["refused"] = [{"id": resource_id, "problem": from_json(body)} for resource_id, body in refused]
    return JSONResponse(content)
