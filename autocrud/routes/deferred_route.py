"""Deferred route: FastAPI analyzes the endpoint when the first request, or the OpenAPI document, needs the result."""

from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any

from fastapi.params import Depends
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

_LOCK = RLock()


class _DeferredAttribute:
    """Attribute of a route that FastAPI sets when the route is completed. The instance's own value then wins.

    A method `__getattr__` of the route would slow down every attribute, and so each search for the route of a request.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, route: "DeferredRoute | None", owner: type) -> Any:
        if route is not None:
            route.complete()
            if self._name in vars(route):
                return vars(route)[self._name]
        raise AttributeError(f"{owner.__name__!r} has no attribute {self._name!r} yet")


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


def _defer_attributes() -> None:
    """Add an attribute to the class for each attribute of FastAPI's route that a new route does not have."""
    complete_route = APIRoute("/", lambda: None)
    options = {"dependencies": [], "include_in_schema": True, "name": "", "operation_id": None, "methods": ["GET"]}
    new_route = DeferredRoute("/", lambda: None, **options)
    for name in vars(complete_route).keys() - vars(new_route).keys():
        setattr(DeferredRoute, name, _DeferredAttribute(name))


_defer_attributes()


def complete_each_kind(routes: Sequence[DeferredRoute]) -> None:
    """Complete one route of each combination of dependencies and path parameters, so that FastAPI can refuse them.

    Raises:
        FastAPIError: FastAPI cannot analyze a dependency.
    """
    kinds = {(tuple(map(id, route.dependencies)), *route.param_convertors): route for route in routes}
    for route in kinds.values():
        route.complete()
