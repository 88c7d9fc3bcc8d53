"""Deferred route: FastAPI analyzes the endpoint when the first request, or the OpenAPI document, needs the result."""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_LOCK = RLock()


class DeferredRoute(APIRoute):
    """Route that matches and has a name at once, and becomes a complete `APIRoute` later.

    FastAPI builds three validators or more for each route. They take most of the time to build an application, and a
    test of one route needs the validators of this route only.

    Args:
        options: arguments of `APIRoute`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.dependencies: list[Depends] = options["dependencies"]
        self.include_in_schema: bool = options["include_in_schema"]
        self.name: str = options["name"]
        self.operation_id: str | None = options["operation_id"]
        Route.__init__(
            self,
            path,
            endpoint,
            methods=options["methods"],
            name=self.name,
            include_in_schema=self.include_in_schema,
        )
        self.methods = set(options["methods"])  # Starlette has added HEAD to GET
        self.app = self._complete_and_serve
        self._options = options
        self._is_completing = self._is_complete = False

    def __getattr__(self, name: str) -> Any:
        # Python calls this method only for a missing attribute: a result of the analysis that is still to do.
        if not vars(self).get("_is_complete", True):
            self.complete()
        if name in vars(self):
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def complete(self) -> None:
        """Let FastAPI analyze the endpoint, unless FastAPI has done so.

        Raises:
            FastAPIError: FastAPI cannot analyze a dependency.
        """
        # A test may build the document in one thread, and send requests from another one.
        with _LOCK:
            if self._is_complete or self._is_completing:
                return
            attributes = {name: value for name, value in vars(self).items() if name != "app"}
            self._is_completing = True
            try:
                super().__init__(self.path, self.endpoint, **self._options | self.documentation())
                # An application may have changed attributes before, such as `operation_id`.
                vars(self).update(attributes, _is_complete=True)
            finally:
                self._is_completing = False

    def documentation(self) -> dict[str, Any]:
        """Return further arguments of `APIRoute`, which are expensive to build."""
        return {}

    async def _complete_and_serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.complete()
        await self.app(scope, receive, send)


def complete_each_kind(routes: Sequence[DeferredRoute]) -> None:
    """Complete one route of each combination of dependencies and path parameters, so that FastAPI can refuse them.

    Raises:
        FastAPIError: FastAPI cannot analyze a dependency.
    """
    kinds = {(tuple(map(id, route.dependencies)), *route.param_convertors): route for route in routes}
    for route in kinds.values():
        route.complete()
