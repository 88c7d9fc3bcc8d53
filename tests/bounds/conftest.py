"""Fixtures of the bounds: a service in memory with models that hostile requests can aim at."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Json

from autocrud import AutoCRUD, Binary, Index
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving


class Note(BaseModel):
    """A note."""

    title: Annotated[str, Index()] = ""
    number: Annotated[int, Index()] = 0
    tags: list[str] = []
    members: dict[str, int] = {}
    free: Any = None
    text: Json[Any] = None


class Picture(BaseModel):
    """A picture."""

    file: Binary


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Note`s and `Picture`s."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Note)
    crud.add_model(Picture)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as client:
        yield client


async def note(http: httpx.AsyncClient, **fields: Any) -> str:
    """Create a note and return its path."""
    response = await http.post("/note", json={"title": "a", **fields})
    return f"/note/{response.json()['meta']['resource_id']}"
