"""Arguments of `apply` and `add_model` that cannot work, and storages that nobody has opened."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, RootModel

from autocrud import AutoCRUD, Binary
from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.postgres import PostgresStorageFactory
from autocrud.storage.s3 import S3StorageFactory
from tests.http.conftest import Book, serving
from tests.storage.backends import BACKENDS

NOT_OPEN = (
    "Storage is not open: the application's lifespan has not run. Run the app with lifespan support, or use"
    " `async with crud.running()` for a mounted app."
)


def crud_on(factory: Any) -> AutoCRUD:
    """Return a registry of books."""
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(Book)
    return crud


@pytest.mark.parametrize(
    ("prefix", "reason"),
    [
        ("v1", "must begin with a slash"),
        ("/v1/", "must not end with a slash"),
        ("/", "must not end with a slash"),
        ("/of/{tenant}", "must not have path parameters"),
        ("/a b", "must be a path such as /v1"),
        ("//v1", "must be a path such as /v1"),
        ("/v1/..", "must not have a segment of dots"),
        (None, "must be a text such as '/v1'"),
    ],
)
def test_prefix_that_cannot_work_is_refused(prefix: Any, reason: str) -> None:
    """The registry can be applied afterwards with a correct prefix."""
    crud = crud_on(MemoryStorageFactory())
    with pytest.raises(ConfigurationError, match=f"the prefix {prefix!r} {reason}"):
        crud.apply(FastAPI(), prefix=prefix)
    app = FastAPI()
    crud.apply(app, prefix="/v1/shop")
    assert "/v1/shop/book" in app.openapi()["paths"]


@pytest.mark.parametrize(("app", "kind"), [(APIRouter(), "APIRouter"), (FastAPI, "FastAPI"), (None, "NoneType")])
def test_apply_to_no_application_is_refused(app: Any, kind: str) -> None:
    """The message names the type."""
    with pytest.raises(ConfigurationError, match=f"takes a FastAPI application, not .*{kind}"):
        crud_on(MemoryStorageFactory()).apply(app)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (int, "int"),
        (BaseModel, "BaseModel"),
        (RootModel, "RootModel"),
        (Book(title="x"), "an instance of Book"),
        ("Book", "an instance of str"),
    ],
)
def test_model_that_is_no_model_class_is_refused(model: Any, kind: str) -> None:
    """The message names the object."""
    with pytest.raises(ConfigurationError, match=f"^{kind} cannot be a model: "):
        AutoCRUD(storage_factory=MemoryStorageFactory()).add_model(model)


class Photo(BaseModel):
    """A model with a blob."""

    image: Binary | None = None


@pytest.fixture(params=["memory", "disk"])
def local_factory(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a factory of each backend that needs no server."""
    return BACKENDS[request.param](tmp_path)


async def test_application_without_lifespan_says_that_the_storage_is_not_open(local_factory: Any) -> None:
    """The code stays, and the detail names the cause. Reads, writes and blobs are refused alike."""
    crud, app = crud_on(local_factory), FastAPI()
    crud.add_model(Photo)
    crud.apply(app)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        for response in (
            await http.post("/book", json={"title": "Emma"}),
            await http.get("/book"),
            await http.get("/book/x"),
            await http.get("/book/count"),
            await http.delete("/book/x"),
            await http.get("/book/aggregate"),
            await http.get("/book/x/revisions"),
            await http.post("/photo", json={"image": {"data": "aGVsbG8="}}),
            await http.post("/photo/blobs", content=b"hello", headers={"Content-Type": "text/plain"}),
            await http.post("/photo/blobs/uploads", json={"size": 5}),
        ):
            problem = response.json()
            assert (response.status_code, problem["code"], problem["detail"]) == (503, "storage_unavailable", NOT_OPEN)


async def test_mounted_application_works_while_the_registry_runs(local_factory: Any) -> None:
    """Starlette does not run the lifespan of a mounted application."""
    crud, app, mounted = crud_on(local_factory), FastAPI(), FastAPI()
    crud.apply(mounted)
    app.mount("/api", mounted)
    async with serving(app) as http:
        assert (await http.post("/api/book", json={"title": "Emma"})).json()["detail"] == NOT_OPEN
        async with crud.running():
            assert (await http.post("/api/book", json={"title": "Emma"})).status_code == 201
        assert (await http.get("/api/book")).json()["detail"] == NOT_OPEN


async def test_data_in_memory_survives_a_restart_of_the_registry() -> None:
    """Opened again, the registry has its resources and blobs."""
    crud = crud_on(MemoryStorageFactory())
    crud.add_model(Photo)
    books, photos = crud.manager(Book), crud.manager(Photo)
    async with crud.running():
        book = await books.create(Book(title="Emma"))
        photo = await photos.create(Photo(image=Binary(data=b"hello")))
    with pytest.raises(StorageUnavailable, match="not open"):
        await books.get(book.resource_id)
    async with crud.running():
        assert (await books.get(book.resource_id)).data == book.data
        assert photo.data.image is not None
        assert photo.data.image.file_id is not None
        blob = await photos.node.storage.blobs.find(photo.data.image.file_id)
        assert blob is not None
        assert b"".join([piece async for piece in photos.node.storage.blobs.stream(blob)]) == b"hello"


@pytest.mark.parametrize(
    "factory",
    [
        S3StorageFactory(S3Location("bucket", endpoint_url="http://127.0.0.1:1")),
        PostgresStorageFactory("postgresql://a@127.0.0.1:1/b", S3Location("bucket", endpoint_url="http://127.0.0.1:1")),
    ],
    ids=["s3", "postgres"],
)
async def test_manager_of_a_server_that_is_not_open_says_so(factory: Any) -> None:
    """Reads and writes, without a connection."""
    manager = crud_on(factory).manager(Book)
    for call in (lambda: manager.create(Book(title="Emma")), lambda: manager.get("x"), lambda: manager.count()):
        with pytest.raises(StorageUnavailable) as caught:
            await call()
        assert str(caught.value) == NOT_OPEN
