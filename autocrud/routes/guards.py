"""Guards: solves the dependencies of the models that the body of a request names."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.responses import Response

from autocrud.routes.operation import Handler


class Guards:
    """Solves dependencies of models, after the body of the request was read.

    Args:
        app: application, whose `dependency_overrides` count.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._gates: dict[tuple[int, ...], tuple[Sequence[Depends], Handler]] = {}

    async def check(self, request: Request, body: bytes, dependencies: Sequence[Depends]) -> None:
        """Solve the dependencies, each once. A dependency refuses the request by raising an error.

        Args:
            body: the body of the request, which a dependency may read, too.
        """
        distinct = list({id(dependency): dependency for dependency in dependencies}.values())
        if not distinct:
            return
        key = tuple(sorted(map(id, distinct)))
        if key not in self._gates:
            # The sequence keeps the dependencies alive, so that their ids stay theirs.
            self._gates[key] = (distinct, self._build(distinct))
        await self._gates[key][1](Request(request.scope, partial(_receive, body)))

    def _build(self, dependencies: Sequence[Depends]) -> Handler:
        """Return a handler that only solves the dependencies, as FastAPI does for the routes of the models."""
        route = APIRoute(
            "/",
            _accept,
            methods=["POST"],
            response_model=None,
            dependencies=dependencies,
            dependency_overrides_provider=self._app,
        )
        return route.get_route_handler()


async def _accept() -> Response:
    return Response()


async def _receive(body: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": False}
