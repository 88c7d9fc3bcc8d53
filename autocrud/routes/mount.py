"""Puts operations on a FastAPI application, beside the routes that it has of its own."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import iter_route_contexts
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from autocrud.errors import ConfigurationError
from autocrud.routes.operation import Documented, ModelRoutes, Operation, OperationRoute
from autocrud.routes.response.problems import Problem
from autocrud.schema.model_spec import ModelSpec

logger = logging.getLogger(__name__)


class Mount:
    """The operations of one registry on one application.

    Args:
        prefix: in front of every path, as in `/v1`.
    """

    def __init__(self, app: FastAPI, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._ours: list[BaseRoute] = []
        self._collections: set[str] = set()
        self._methods: dict[str, set[str]] = {}
        self._filters: dict[str, dict[str, Any]] = {}
        self._extend_openapi()

    def add(self, routes: ModelRoutes, operation: Operation, dependencies: Sequence[Depends]) -> None:
        """Add the route of one operation."""
        path = routes.path + operation.path
        if any(path == route.path and operation.method in (route.methods or ()) for route in self._of_registries()):
            raise ConfigurationError(f"{operation.method} {path} belongs to another AutoCRUD of this app")
        name = f"{operation.family}_{routes.spec.name.replace('-', '_')}"
        self._app.router.add_api_route(
            path,
            Documented(
                operation.handler,
                operation.parameters,
                self._allowed(path, operation.method),
                routes.current_user,
            ),
            methods=[operation.method],
            name=name,
            operation_id=name,
            summary=operation.summary,
            description=operation.handler.__doc__,
            tags=[routes.spec.label],
            status_code=operation.status,
            response_model=operation.model,
            response_class=Response if operation.model is None else JSONResponse,
            responses=operation.responses(),
            openapi_extra=self._extra(routes, operation),
            dependencies=dependencies,
            route_class_override=OperationRoute,
        )
        self._ours.append(self._app.router.routes[-1])
        self._collections.add(routes.path)

    def _extra(self, routes: ModelRoutes, operation: Operation) -> dict[str, Any]:
        """What OpenAPI shows of an operation beside its signature; filters stand in the components, once for each."""
        extra: dict[str, Any] = {}
        if operation.request_body is not None:
            extra["requestBody"] = operation.request_body
        if operation.filters:
            shown = routes.filters.documented()
            self._filters.update(shown)
            extra["parameters"] = [{"$ref": f"#/components/parameters/{name}"} for name in shown]
        return extra

    def describe(self, spec: ModelSpec[Any]) -> None:
        """Give the model's tag its text."""
        text = (spec.model.__doc__ or "").strip().partition("\n\n")[0]
        tags = self._app.openapi_tags or []
        self._app.openapi_tags = [*tags, {"name": spec.label, "description": text}]

    def settle(self) -> None:
        """Let the application's own routes win: those under a collection's path come first, and none is doubled."""
        routes = self._app.router.routes
        theirs = [route for route in routes if route not in self._ours]
        taken = {key for route in theirs for key in _keys(route) if not isinstance(route, OperationRoute)}
        shadowed = [route for route in self._ours if taken.issuperset(_keys(route))]
        for route in shadowed:
            logger.info("The application's own route replaces %s", getattr(route, "name", route))
        ours = [route for route in self._ours if route not in shadowed]
        ahead = [route for route in theirs if any(self._is_within(path) for path, _ in _keys(route))]
        first = min((routes.index(route) for route in self._ours if route in routes), default=len(routes))
        before = [route for route in routes[:first] if route not in ahead]
        behind = [route for route in theirs if route not in ahead and route not in before]
        routes[:] = [*before, *ahead, *ours, *behind]
        self._app.openapi_schema = None

    def _of_registries(self) -> list[OperationRoute]:
        """The routes of this registry, and of others on the same application."""
        return [route for route in self._app.router.routes if isinstance(route, OperationRoute)]

    def _allowed(self, path: str, method: str) -> set[str]:
        """The methods of a path, shared by its routes, with one more."""
        methods = self._methods.setdefault(path, set())
        methods.add(method)
        return methods

    def _is_within(self, path: str) -> bool:
        return any(path == collection or path.startswith(f"{collection}/") for collection in self._collections)

    def _extend_openapi(self) -> None:
        """Put into OpenAPI the schema that problem responses refer to, and titles that tell input from output apart.

        No route returns a problem by itself; and generators of clients name classes by titles, which must not clash.
        """
        app, generate, filters = self._app, self._app.openapi, self._filters

        def openapi() -> dict[str, Any]:
            schema = generate()
            schemas = schema.setdefault("components", {}).setdefault("schemas", {})
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(problem.pop("$defs"))
            for name, described in schemas.items():
                if name.endswith(("-Input", "-Output")):
                    described["title"] = name.replace("-", "")
            schemas["Problem"] = problem
            if filters:
                schema["components"].setdefault("parameters", {}).update(filters)
            return schema

        app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _keys(route: BaseRoute) -> Iterator[tuple[str, str]]:
    """The paths, with parameters by position, and methods that a route serves; a router has those of its routes."""
    for context in iter_route_contexts([route]):
        path = re.sub(r"{[^}]*}", "{}", context.path or "")
        for method in context.methods or ():
            yield path, method
