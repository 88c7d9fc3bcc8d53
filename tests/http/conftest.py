"""Fixtures of the HTTP tests: the API over httpx on the ASGI application, on each backend."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from autocrud import AutoCRUD, Index, Unique
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.reference_models import library
from tests.storage.backends import BACKENDS

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


class Book(BaseModel):
    """A book."""

    title: Annotated[str, Index()] = Field(min_length=1)
    year: Annotated[int | None, Index()] = None
    isbn: Annotated[str | None, Unique()] = None
    price: float | None = None


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application with its lifespan, and yield a client."""
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http


@pytest.fixture(params=BACKENDS)
def serve(request: pytest.FixtureRequest, tmp_path: Path) -> Serve:
    """Return a function that serves a model, `Book` by default, on each backend; `service` is for `AutoCRUD` itself."""

    def start(
        model: type[Any] = Book, *, max_body_bytes: int = 4096, service: dict[str, Any] | None = None, **options: Any
    ) -> Any:
        factory = BACKENDS[request.param](tmp_path)
        crud = AutoCRUD(storage_factory=factory, max_body_bytes=max_body_bytes, **(service or {}))
        crud.add_model(model, **options)
        app = FastAPI()
        crud.apply(app)
        return serving(app)

    return start


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Book`s."""
    async with serve() as client:
        yield client


@pytest.fixture
async def crud() -> AsyncIterator[AutoCRUD]:
    """Yield the models of the reference tests in memory."""
    _, crud = library(MemoryStorageFactory())
    async with crud.running():
        yield crud


async def created(http: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    """Create a book and return the answer."""
    response = await http.post("/book", json={"title": "Emma", **fields})
    assert response.status_code == 201, response.text
    return response
