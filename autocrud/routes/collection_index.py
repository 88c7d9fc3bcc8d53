"""Index of collections: finds the routes that can match a request by its path, however many models there are."""

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from autocrud.routes.operation_route import OperationRoute

_SELECTED = "autocrud.route"


class CollectionIndex(BaseRoute):
    """Route in front of the routes of a registry. It passes each request on to the first of them that matches.

    A router tries its routes one after the other, which takes half a millisecond with 50 models. The routes stay in the
    router behind the index: the OpenAPI document and URLs by name need them.

    Attributes:
        path: pattern of all paths under the prefix.
        path_format: path of the route that matched last. The router reports it to telemetry right after the match.

    Args:
        prefix: the start of every path, such as `/v1`.
    """

    def __init__(self, prefix: str, routes: Sequence[OperationRoute]) -> None:
        self.path = self.path_format = f"{prefix}/{{path:path}}"
        self._place = prefix.count("/") + 1
        self._routes: dict[str, list[OperationRoute]] = {}
        for route in routes:
            self._routes.setdefault(self._collection(route.path_format), []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return the match of the first route that matches the path and the method, else of the first path."""
        if scope["type"] != "http":
            return Match.NONE, {}
        found: tuple[OperationRoute, Match, Scope] | None = None
        for route in self._routes.get(self._collection(_path_behind_root(scope)), ()):
            match, child = route.matches(scope)
            if match is not Match.NONE and (found is None or match is Match.FULL):
                found = route, match, child
            if match is Match.FULL:
                break
        if found is None:
            return Match.NONE, {}
        route, match, child = found
        self.path_format = route.path_format
        return match, {**child, _SELECTED: route}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by the route that matched."""
        await scope[_SELECTED].handle(scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Refuse each name, because the routes behind the index have the names."""
        raise NoMatchFound(name, path_params)

    def _collection(self, path: str) -> str:
        """Return the segment of a path that names the collection, or ""."""
        segments = path.split("/", self._place + 1)
        return segments[self._place] if len(segments) > self._place else ""


def _path_behind_root(scope: Scope) -> str:
    """Return the path of a request without the path of the application that is mounted there."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
