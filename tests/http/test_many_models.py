"""Routes of an application with many models."""

from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, create_model
from starlette.routing import NoMatchFound

from autocrud import AutoCRUD
from autocrud.routes.operation_route import OperationRoute
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving


def application(count: int, prefix: str = "") -> FastAPI:
    """Return an application with so many models, `thing-0` and so on."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    for number in range(count):
        model: type[BaseModel] = create_model(f"Thing{number}", title=(str, ...))
        crud.add_model(model, name=f"thing-{number}")
    app = FastAPI()
    crud.apply(app, prefix=prefix)
    return app


async def test_number_of_routes_that_are_tried_does_not_grow_with_the_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request tries the routes of one model only."""
    tried: list[str] = []
    matches = OperationRoute.matches

    def count(route: OperationRoute, scope: Any) -> Any:
        tried.append(route.path)
        return matches(route, scope)

    monkeypatch.setattr(OperationRoute, "matches", count)
    async with serving(application(20, "/v1")) as client:
        created = await client.post("/v1/thing-19", json={"title": "x"})
        tried.clear()
        path = f"/v1/thing-19/{created.json()['meta']['resource_id']}"
        assert (await client.get(path)).json()["data"] == {"title": "x"}
    assert tried
    assert {route.split("/")[2] for route in tried} == {"thing-19"}


async def test_routes_behind_the_index_keep_their_names_methods_and_order() -> None:
    """URLs by name, methods that are not allowed, redirects and the application's own routes work as without it."""
    app = application(2)

    @app.get("/thing-1/own")
    async def own() -> str:
        return "own"

    @app.get("/{anything}")
    async def anything(anything: str) -> str:
        return anything

    assert app.url_path_for("read_thing_1", resource_id="a") == "/thing-1/a"
    with pytest.raises(NoMatchFound):
        app.url_path_for("read_thing_2", resource_id="a")
    async with serving(app) as client:
        assert (await client.get("/thing-1/own")).json() == "own"
        assert (await client.get("/other")).json() == "other"
        assert (await client.get("/thing-1")).json()["items"] == []
        refused = await client.put("/thing-1")
        assert (refused.status_code, "PATCH" in refused.headers["Allow"]) == (405, True)
        assert (await client.get("/thing-1/")).status_code == 307
        assert (await client.options("/thing-0")).status_code == 204


async def test_route_that_the_application_removed_is_not_served() -> None:
    """The application may change its list of routes before it starts."""
    app = application(1)
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "name", "") != "delete_thing_0"]
    async with serving(app) as client:
        created = await client.post("/thing-0", json={"title": "x"})
        path = f"/thing-0/{created.json()['meta']['resource_id']}"
        assert (await client.delete(path)).status_code == 405
        assert (await client.get(path)).status_code == 200
