"""Home page of a service: its models, and links to documentation and health."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from pydantic_core import to_json
from starlette.responses import Response

from autocrud.errors import Forbidden, StorageUnavailable, Unauthenticated
from autocrud.pages.html import HOME, page_response, root_of
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.operation_route import OperationRoute
from autocrud.routes.request.current_user import anonymous
from autocrud.routes.request.negotiation import HTML, JSON, preferred_type
from autocrud.routes.response.descriptions import description_of
from autocrud.routes.response.envelope import JsonResponse

MAX_COUNT = 10_000  # a count of all rows of a large table takes too long for a page


@dataclass(frozen=True)
class _Model:
    """A model whose resources can be listed.

    Attributes:
        shows_count: False if the list is guarded. The home page has no guard, so that it must not show the count.
    """

    routes: ModelRoutes
    shows_count: bool

    async def count(self) -> int | None:
        """Return the number of resources; None if it is not shown, is not for the principal, or the storage is away.

        A number above `MAX_COUNT` stands for any larger number.
        """
        if not self.shows_count:
            return None
        try:
            return await self.routes.manager.count(at_most=MAX_COUNT + 1)
        except (StorageUnavailable, Forbidden, Unauthenticated):
            return None


def add_home(
    app: FastAPI, *, path: str = "/", links: Sequence[tuple[str, str]] = (), counts: bool | None = None
) -> None:
    """Serve a page that lists the models of the application, and the same links as JSON for other clients.

    Call it after `AutoCRUD.apply`.

    Args:
        links: names and paths of further links, such as `("health", "/healthz")`.
        counts: show the number of resources of each model without `dependencies`. By default only if the registry has
            no `current_user`, which may refuse anonymous requests. With an authenticator, only principals see them.
    """
    setattr(app.state, HOME, path)
    app.add_api_route(path, _Home(app, links, counts), methods=["GET", "HEAD"], include_in_schema=False)


class _Home:
    """The home page."""

    def __init__(self, app: FastAPI, links: Sequence[tuple[str, str]], counts: bool | None) -> None:
        self._app = app
        self._links = links
        self._counts = counts

    async def __call__(self, request: Request) -> Response:
        root, models = root_of(request), await self._models(request)
        counts = await asyncio.gather(*(model.count() for model in models))
        links = {name: f"{root}{path}" for name, path in self._links}
        items = [_describe(root, model.routes, count) for model, count in zip(models, counts, strict=True)]
        if preferred_type(request, (JSON, HTML)) == JSON:
            body = {"title": self._app.title, "version": self._app.version, "links": links, "models": items}
            return JsonResponse(to_json(body), 200, {"vary": "Accept"})
        values = {"app": self._app, "root": root, "links": links, "models": items}
        response = page_response("home.html", values)
        response.headers["vary"] = "Accept"
        return response

    async def _models(self, request: Request) -> list[_Model]:
        """Return the models with a list, in order of registration.

        Raises:
            Unauthenticated: the request has wrong credentials.
        """
        lists = [
            route
            for route in self._app.router.routes
            if isinstance(route, OperationRoute) and route.documented.operation.family == "list"
        ]
        authentications = {route.documented.authentication for route in lists} - {None}
        refused = {item for item in authentications if item is not None and not await item.permits_read(request.scope)}
        pairs = [
            (route.documented.routes, self._shows_count(route) and route.documented.authentication not in refused)
            for route in lists
        ]
        return [_Model(routes, shows_count) for routes, shows_count in pairs if routes is not None]

    def _shows_count(self, route: OperationRoute) -> bool:
        """Return True if an anonymous request may list the model."""
        is_open = route.documented.current_user is anonymous if self._counts is None else self._counts
        return is_open and not route.dependencies


def _describe(root: str, routes: ModelRoutes, count: int | None) -> dict[str, Any]:
    return {
        "name": routes.spec.name,
        "url": f"{root}{routes.path}",
        "count": None if count is None else min(count, MAX_COUNT),
        "has_more": count is not None and count > MAX_COUNT,
        "description": description_of(routes.spec.model.__doc__).partition("\n\n")[0],
    }
