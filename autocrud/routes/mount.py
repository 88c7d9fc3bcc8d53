"""Mounts the operations of registered models on a FastAPI application, next to the application's own routes."""

import logging
import re
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.params import Depends
from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from autocrud.errors import ConfigurationError
from autocrud.routes.authentication import Authentication
from autocrud.routes.collection_index import CollectionIndex
from autocrud.routes.deferred_route import complete_each_kind
from autocrud.routes.openapi.document import document_of
from autocrud.routes.openapi.security import security_completion
from autocrud.routes.operation import ModelRoutes, Operation
from autocrud.routes.operation_route import Documented, OperationRoute
from autocrud.routes.request.current_user import UserDependency
from autocrud.routes.response.descriptions import description_of
from autocrud.schema.model_spec import ModelSpec

logger = logging.getLogger(__name__)


class Mount:
    """The operations of one registry on one application.

    Args:
        prefix: the start of every path, such as `/v1`.
    """

    def __init__(self, app: FastAPI, prefix: str) -> None:
        self._app = app
        self._prefix = prefix
        self._mounted_routes: list[OperationRoute] = []
        self._index: CollectionIndex | None = None
        self._collections: set[str] = set()
        self._methods: dict[str, set[str]] = {}
        self._names: dict[str, set[str]] = {}
        self._document = document_of(app)

    def add(self, routes: ModelRoutes, operation: Operation, dependencies: Sequence[Depends]) -> None:
        """Add the route of one operation.

        Raises:
            ConfigurationError: another registry of the application has a route of this path and method.
        """
        path = routes.path + operation.path
        if any(path == route.path and operation.method in (route.methods or ()) for route in self._registry_routes()):
            raise ConfigurationError(f"{operation.method} {path} belongs to another AutoCRUD of this app")
        documented = Documented(
            operation,
            self._add_method(path, operation.method),
            self._add_name(routes.path, operation.path),
            routes.current_user,
            routes.authentication,
            routes,
        )
        name = f"{operation.family}_{routes.spec.name.replace('-', '_')}"
        self._add_route(path, documented, name, routes.spec.label, dependencies)
        self._collections.add(routes.path)
        filters = routes.filter_parameters.complete if operation.filters else None
        security = None if routes.authentication is None else security_completion(routes.authentication)
        completions = [complete for complete in (filters, operation.complete, security) if complete is not None]
        self._document.add(path, operation.method, name, completions)

    def add_transaction(
        self, operation: Operation, current_user: UserDependency, authentication: Authentication | None
    ) -> None:
        """Add the route of transactions, which belongs to no model.

        If another registry of the application has the route already, that route stays and serves its own models.
        """
        path = self._prefix + operation.path
        if any(path == route.path for route in self._registry_routes()):
            logger.warning(
                "POST %s serves the models of the AutoCRUD that was applied first. Give each a prefix.", path
            )
            return
        name = "_".join([operation.family, *re.findall(r"\w+", self._prefix)])
        documented = Documented(
            operation, self._add_method(path, operation.method), set(), current_user, authentication
        )
        self._add_route(path, documented, name, operation.family.title(), ())
        self._collections.add(path)
        security = None if authentication is None else security_completion(authentication)
        completions = [complete for complete in (operation.complete, security) if complete is not None]
        self._document.add(path, operation.method, name, completions)

    def _add_route(
        self, path: str, documented: Documented, name: str, tag: str, dependencies: Sequence[Depends]
    ) -> None:
        operation = documented.operation
        self._app.router.add_api_route(
            path,
            documented,
            methods=[operation.method],
            name=name,
            operation_id=name,
            summary=operation.summary,
            description=description_of(operation.handler.__doc__),
            tags=[tag],
            status_code=operation.status,
            response_description="Created." if operation.status == 201 else "Success.",
            dependencies=dependencies,
            route_class_override=OperationRoute,
        )
        route = self._app.router.routes[-1]
        assert isinstance(route, OperationRoute)
        self._mounted_routes.append(route)

    def add_tag(self, spec: ModelSpec[Any]) -> None:
        """Add the model's tag, with the first paragraph of the model's docstring."""
        text = description_of(spec.model.__doc__).partition("\n\n")[0]
        tags = self._app.openapi_tags or []
        self._app.openapi_tags = [*tags, {"name": spec.label, "description": text}]

    def check_dependencies(self) -> None:
        """Let FastAPI check the dependencies of the routes.

        Raises:
            FastAPIError: FastAPI cannot analyze a dependency.
        """
        complete_each_kind([route for route in self._registry_routes() if route.has_dependencies])

    def order_routes(self) -> None:
        """Order the routes so that the application's own routes win over those of this registry.

        Own routes on or under the path of a collection come first. A registry's route has no effect, and is removed, if
        own routes serve the same path and methods.
        """
        routes = [route for route in self._app.router.routes if route is not self._index]
        present, mounted = set(map(id, routes)), set(map(id, self._mounted_routes))
        own_routes = [route for route in routes if id(route) not in mounted]
        own_keys = {key for route in own_routes for key in _keys(route) if not isinstance(route, OperationRoute)}
        active_routes: list[OperationRoute] = []
        for route in self._mounted_routes:
            if own_keys.issuperset(_keys(route)):
                logger.info("The application's own route replaces %s", getattr(route, "name", route))
            elif id(route) in present:  # the application may have removed it
                active_routes.append(route)
        overriding_routes = [route for route in own_routes if any(self._is_within(path) for path, _ in _keys(route))]
        overriding = set(map(id, overriding_routes))
        first = next((number for number, route in enumerate(routes) if id(route) in mounted), len(routes))
        preceding_routes = [route for route in routes[:first] if id(route) not in overriding]
        following_routes = [route for route in routes[first:] if id(route) not in overriding | mounted]
        self._index = CollectionIndex(self._prefix, active_routes)
        ordered = [*preceding_routes, *overriding_routes, self._index, *active_routes, *following_routes]
        self._app.router.routes[:] = ordered
        self._document.install()

    def _registry_routes(self) -> list[OperationRoute]:
        """Return the routes of this registry and of other registries on the same application."""
        return [route for route in self._app.router.routes if isinstance(route, OperationRoute)]

    def _add_method(self, path: str, method: str) -> set[str]:
        """Add a method to a path. Return the set of the path's methods, which its routes share."""
        methods = self._methods.setdefault(path, set())
        methods.add(method)
        return methods

    def _add_name(self, collection: str, path: str) -> set[str]:
        """Add the first segment of an operation's path. Return the set of the collection's segments."""
        names = self._names.setdefault(collection, set())
        names.update(path.split("/")[1:2])
        return names

    def _is_within(self, path: str) -> bool:
        """Return True if a path is a collection's path, or lies under one."""
        return any(path == collection or path.startswith(f"{collection}/") for collection in self._collections)


def _keys(route: BaseRoute) -> Iterator[tuple[str, str]]:
    """Yield each path and method that a route serves, or the routes of a router. Path parameters become `{}`."""
    for context in iter_route_contexts([route]):
        path = re.sub(r"{[^}]*}", "{}", context.path or "")
        for method in context.methods or ():
            yield path, method
