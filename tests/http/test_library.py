"""AutoCRUD as a library in an application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.errors import ConfigurationError
from autocrud.routes.route_table import FAMILIES
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from tests.http.conftest import Book, serving


class Note(BaseModel):
    text: str = ""


def memory_crud() -> AutoCRUD:
    """Return a registry with the model `Book` in memory."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book)
    return crud


async def test_lifespan_of_the_application_stays() -> None:
    """The application starts and stops while the storages are open."""
    told: list[str] = []

    class Telling(MemoryStorageFactory):
        async def open(self) -> None:
            told.append("storage opens")

        async def close(self) -> None:
            told.append("storage closes")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        told.append("app starts")
        yield {"answer": 42}
        told.append("app stops")

    crud = AutoCRUD(storage_factory=Telling())
    crud.add_model(Book)
    app = FastAPI(lifespan=lifespan)
    crud.apply(app)
    async with app.router.lifespan_context(app) as state:
        assert state == {"answer": 42}
        told.append("serving")
    assert told == ["storage opens", "app starts", "serving", "app stops", "storage closes"]


async def test_model_may_have_its_own_storage(tmp_path: Path) -> None:
    """A factory or a storage. Models of one factory share it."""
    opened: list[str] = []

    class Counting(DiskStorageFactory):
        async def open(self) -> None:
            opened.append("factory")
            await super().open()

    shared, book_storage = Counting(tmp_path / "shared"), MemoryStorageFactory().build(ModelSpec(Book))
    crud = AutoCRUD()
    crud.configure(storage_factory=shared)
    crud.add_model(Note)
    crud.add_model(Note, name="memo", storage=shared)
    crud.add_model(Note, name="aside", storage=DiskStorageFactory(tmp_path / "aside"))
    crud.add_model(Book, storage=book_storage)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        for name in ("note", "memo", "aside"):
            assert (await http.post(f"/{name}", json={})).status_code == 201
        assert (await http.post("/book", json={"title": "x"})).status_code == 201
        assert await crud.check() == {"disk": None}
    assert opened == ["factory"]
    shared_folder = tmp_path / "shared"
    assert sorted(path.name for path in shared_folder.iterdir() if path.is_dir()) == [".tmp", "log", "models"]
    assert sorted(path.name for path in (shared_folder / "models").iterdir()) == ["memo", "note"]
    assert (tmp_path / "aside" / "metadata.sqlite").exists()


async def test_unwritable_data_directory_refuses_the_start(tmp_path: Path) -> None:
    """The error names the directory."""
    (tmp_path / "file").touch()
    crud = AutoCRUD(storage_factory=DiskStorageFactory(tmp_path / "file"))
    crud.add_model(Book)
    app = FastAPI()
    crud.apply(app)
    with pytest.raises(ConfigurationError, match=str(tmp_path / "file")):
        async with app.router.lifespan_context(app):
            pass


async def test_failed_start_closes_opened_storages() -> None:
    """No storage stays open."""
    closed: list[str] = []

    class Failing(MemoryStorageFactory):
        def build(self, spec: ModelSpec[Any]) -> IStorage:
            storage = super().build(spec)

            async def fail() -> None:
                raise ConfigurationError("no")

            storage.open = fail  # type: ignore[method-assign]  # the fault that is to be tested
            return storage

    class Closing(MemoryStorageFactory):
        async def close(self) -> None:
            closed.append("closed")

    crud = AutoCRUD(storage_factory=Closing())
    crud.add_model(Book)
    crud.add_model(Note, storage=Failing())
    with pytest.raises(ConfigurationError, match="no"):
        async with crud.running():
            pass
    assert closed == ["closed"]


def test_another_storage_factory_after_a_manager_is_refused() -> None:
    """The manager keeps its storage, so that two models of one service would be in different stores."""
    first, second = MemoryStorageFactory(), MemoryStorageFactory()
    crud = AutoCRUD(storage_factory=first)
    crud.add_model(Book, storage=second)
    crud.manager(Book)
    crud.configure(storage_factory=second)
    crud.add_model(Note)
    crud.manager(Note)
    crud.configure(storage_factory=second)
    with pytest.raises(ConfigurationError, match="the storage factory cannot change: the manager of Note uses"):
        crud.configure(storage_factory=first)


def test_wrong_use_raises_configuration_error() -> None:
    """Two equal names, no storage, unknown families, changes after apply."""
    crud = memory_crud()
    with pytest.raises(ConfigurationError, match="the name 'book' is taken by another model"):
        crud.add_model(Book)
    with pytest.raises(ConfigurationError, match="'fetch' is not a route family"):
        crud.add_model(Note, routes=["fetch"])
    crud.apply(FastAPI())
    with pytest.raises(ConfigurationError, match="add_model was called after apply"):
        crud.add_model(Note)
    with pytest.raises(ConfigurationError, match="configure was called after apply"):
        crud.configure()
    with pytest.raises(ConfigurationError, match="apply was called after apply"):
        crud.apply(FastAPI())
    bare = AutoCRUD()
    bare.add_model(Book)
    with pytest.raises(ConfigurationError, match="Book has no storage"):
        bare.apply(FastAPI())
    with pytest.raises(LookupError):
        crud.manager("nobody")


async def test_field_with_a_parameter_name_needs_an_operator() -> None:
    """`?limit=` has one meaning on every route with filters."""

    class Quota(BaseModel):
        limit: int = 0

    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Quota, indexed_fields=["limit"])
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        for limit in (1, 2, 2):
            await http.post("/quota", json={"limit": limit})
        assert len((await http.get("/quota?limit=1")).json()["items"]) == 1
        assert (await http.get("/quota/count?limit__eq=2")).json() == {"count": 2}
        assert (await http.get("/quota/count?limit=2")).status_code == 400


async def test_omitted_families_have_no_routes() -> None:
    """They are not in OpenAPI either."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book, routes=["create", "read"])
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        location = (await http.post("/book", json={"title": "x"})).headers["location"]
        assert (await http.get(location)).status_code == 200
        assert (await http.put(location, json={"title": "y"})).status_code == 405
        assert (await http.get("/book")).status_code == 405
        assert (await http.get("/book/count")).json()["code"] == "route_not_found"
    assert sorted(app.openapi()["paths"]) == ["/book", "/book/{resource_id}", "/transaction"]


async def test_dependencies_guard_every_route_of_their_model() -> None:
    """And no route of other models. Exceptions are answered by the application."""
    asked: list[str] = []

    async def guard(x_key: str = Header()) -> None:
        asked.append(x_key)
        if x_key != "open":
            raise HTTPException(403, "no")

    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book, dependencies=[Depends(guard)])
    crud.add_model(Note)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        assert (await http.get("/note")).status_code == 200
        for method, path in _operations(app, "/book"):
            assert (await http.request(method, path, headers={"x-key": "shut"})).status_code == 403
        assert (await http.get("/book", headers={"x-key": "open"})).status_code == 200
        assert (await http.get("/book")).status_code == 422
        created = await http.post("/book", json={"title": "x"}, headers={"x-key": "open"})
        assert created.status_code == 201
    plain = {family for family in FAMILIES - {"referrers"} if "blob" not in family and "upload" not in family}
    assert len(asked) == len(plain) + 2


async def test_application_dependencies_guard_the_routes() -> None:
    """`FastAPI(dependencies=…)` applies, too."""

    async def forbid() -> None:
        raise HTTPException(403)

    crud = memory_crud()
    app = FastAPI(dependencies=[Depends(forbid)])
    crud.apply(app)
    async with serving(app) as http:
        for method, path in _operations(app, "/book"):
            assert (await http.request(method, path)).status_code == 403


@pytest.mark.parametrize("when", ["before", "after"])
async def test_custom_route_wins(when: str) -> None:
    """On the same path and on a parameter's path, before and after `apply`, also in a router."""
    crud, app = memory_crud(), FastAPI()

    def add_own() -> None:
        router = APIRouter(prefix="/book")

        @router.get("/best")
        async def best() -> str:
            return "best"

        @router.get("/{book_id}", operation_id="own_read")
        async def own(book_id: str) -> str:
            return f"own {book_id}"

        @app.delete("/book/{resource_id}")
        async def keep(resource_id: str) -> str:
            return "kept"

        app.include_router(router)

    if when == "before":
        add_own()
    crud.apply(app)
    if when == "after":
        add_own()
    async with serving(app) as http:
        assert (await http.get("/book/best")).json() == "best"
        assert (await http.get("/book/x")).json() == "own x"
        assert (await http.delete("/book/x")).json() == "kept"
        assert (await http.get("/book/count")).json() in ({"count": 0}, "own count")
        assert (await http.post("/book", json={"title": "x"})).status_code == 201
        assert (await http.delete("/book/x/permanently")).status_code == 404
        paths = (await http.get("/openapi.json")).json()["paths"]
    assert paths["/book/{book_id}"]["get"]["operationId"] == "own_read"
    assert "get" not in paths.get("/book/{resource_id}", {})


async def test_mounted_catch_all_hides_no_route() -> None:
    """A mounted application serves the other paths."""
    crud, app = memory_crud(), FastAPI()
    crud.apply(app)
    app.mount("/", FastAPI())
    async with serving(app) as http:
        assert (await http.get("/book")).status_code == 200


async def test_two_registries_share_an_application() -> None:
    """Each with its models. A path has one owner."""
    app, first, second = FastAPI(), memory_crud(), AutoCRUD(storage_factory=MemoryStorageFactory())
    second.add_model(Note)
    first.apply(app)
    second.apply(app)
    async with serving(app) as http:
        assert (await http.get("/book")).status_code == (await http.get("/note")).status_code == 200
        assert (await http.get("/book/count")).json() == (await http.get("/note/count")).json() == {"count": 0}
    with pytest.raises(ConfigurationError, match="POST /book belongs to another AutoCRUD"):
        memory_crud().apply(app)


async def test_prefix_precedes_every_path() -> None:
    """Also in Location and links."""
    crud, app = memory_crud(), FastAPI()
    crud.apply(app, prefix="/v1")
    async with serving(app) as http:
        location = (await http.post("/v1/book", json={"title": "x"})).headers["location"]
        assert location.startswith("/v1/book/")
        await http.post("/v1/book", json={"title": "y"})
        assert "</v1/book?limit=1&cursor=" in (await http.get("/v1/book?limit=1")).headers["link"]


async def test_root_path_precedes_locations() -> None:
    """The proxy has removed this path."""
    crud, app = memory_crud(), FastAPI()
    crud.apply(app)
    transport = httpx.ASGITransport(app, root_path="/library")
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        response = await http.post("/library/book", json={"title": "x"})
        assert response.headers["location"].startswith("/library/book/")


def _operations(app: FastAPI, path: str) -> list[tuple[str, str]]:
    """Return methods and paths below a path, with an id."""
    return [
        (method.upper(), found.replace("{resource_id}", "x"))
        for found, methods in app.openapi()["paths"].items()
        if found.startswith(path)
        for method in methods
    ]


def test_public_names_have_documented_import_paths() -> None:
    """The imports of the README."""
    assert issubclass(DiskStorageFactory, IStorageFactory)
    assert issubclass(MemoryStorageFactory, IStorageFactory)
