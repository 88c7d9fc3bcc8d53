"""Routes that FastAPI analyzes late: the application sees no difference."""

from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.exceptions import FastAPIError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.routes.request.current_user import anonymous
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving


class Note(BaseModel):
    """A note."""

    text: str = ""


def build(**options: Any) -> FastAPI:
    """Return an application with the routes of notes."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Note, **options)
    app = FastAPI()
    crud.apply(app)
    return app


def route_of(app: FastAPI, name: str) -> APIRoute:
    """Return the route of this name."""
    return next(route for route in app.routes if isinstance(route, APIRoute) and route.name == name)


def test_route_has_results_of_the_analysis() -> None:
    """Attributes of FastAPI's route exist before the first request."""
    route = route_of(build(), "read_note")
    assert [field.alias for field in route.dependant.path_params] == ["resource_id"]
    assert route.response_field is not None
    assert route.tags == ["Note"]
    assert not hasattr(route, "no_such_attribute")


def test_route_attribute_that_the_application_sets_stays() -> None:
    """An application may rename operations, as FastAPI's documentation shows."""
    app = build()
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.operation_id = f"my_{route.name}"
    assert route_of(app, "read_note").dependant is not None
    assert route_of(app, "read_note").operation_id == "my_read_note"
    assert app.openapi()["paths"]["/note"]["post"]["operationId"] == "my_create_note"


def test_dependency_that_fastapi_refuses_stops_apply() -> None:
    """The error comes at the start, not with the first request."""

    def broken(value: object) -> None: ...

    broken.__annotations__["value"] = Annotated[type("Unknown", (), {}), "no Pydantic type"]
    with pytest.raises(FastAPIError):
        build(dependencies=[Depends(broken)])


async def test_override_of_the_current_user_after_apply_has_effect() -> None:
    """Dependency overrides of a test apply to routes that were analyzed before."""
    app = build()
    async with serving(app) as http:
        assert (await http.post("/note", json={})).json()["meta"]["created_by"] is None
        app.dependency_overrides[anonymous] = lambda: "ada"
        assert (await http.post("/note", json={})).json()["meta"]["created_by"] == "ada"


async def test_threads_complete_a_route_once() -> None:
    """A thread that builds the document waits for a thread that reads the attributes of a route."""
    for _ in range(5):
        app = build()
        routes = [route for route in app.routes if isinstance(route, APIRoute)]
        with ThreadPoolExecutor(8) as threads:
            documents = [threads.submit(app.openapi) for _ in range(4)]
            dependants = [threads.submit(getattr, route, "dependant") for route in routes]
            assert all("/note" in document.result()["paths"] for document in documents)
            assert all(found.result() is route.dependant for found, route in zip(dependants, routes, strict=True))
