"""Bounds of queries: an expensive pattern is cancelled at its time limit, in the engine too."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index
from autocrud.errors import QueryTooExpensive
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.metadata.sqlite.connection import with_limit
from autocrud.storage.ports.storage import IStorageFactory
from tests.http.conftest import serving
from tests.storage.backends import BACKENDS, ordered_map_factory

_PATTERN = "(a|b|ab)*c{1,90}(a|b|ab)*d{1,90}x"
_QUERIES = ("/text", "/text/count", "/text/aggregate", "/text?at=2100-01-01T00:00:00Z")


class Text(BaseModel):
    """A text with an index field."""

    text: Annotated[str, Index()]


def _application(factory: IStorageFactory, seconds: float) -> FastAPI:
    crud = AutoCRUD(storage_factory=factory, query_seconds=seconds)
    crud.add_model(Text, temporal=True)
    app = FastAPI()
    crud.apply(app)
    return app


async def _fill(http: httpx.AsyncClient) -> None:
    operations = [{"op": "create", "data": {"text": "ab" * 900 + str(number)}} for number in range(1000)]
    assert (await http.post("/text/bulk", json=operations)).json()["failed"] == 0


@pytest.fixture(params=[*BACKENDS, "ordered map"])
async def http(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a store with a thousand texts, whose queries may take a millisecond."""
    factory = ordered_map_factory if request.param == "ordered map" else BACKENDS[request.param]
    async with serving(_application(factory(tmp_path), 0.001)) as client:
        await _fill(client)
        yield client


async def test_expensive_query_is_cancelled_at_its_limit(http: httpx.AsyncClient) -> None:
    """A list, a count, an aggregate and a list of the past are 422 after their limit. Reads by id work as before."""
    for url in _QUERIES:
        response = await http.get(url, params={"text__regex": _PATTERN, **dict(httpx.URL(url).params)})
        assert response.status_code == 422, (url, response.text)
        assert response.json()["code"] == "query_too_expensive"
    created = await http.post("/text", json={"text": "a"})
    assert (await http.get(created.headers["location"])).status_code == 200


async def test_query_within_its_limit_is_answered() -> None:
    """The same query has an answer under the usual limit."""
    async with serving(_application(MemoryStorageFactory(), 5.0)) as http:
        await _fill(http)
        assert (await http.get("/text/count", params={"text__regex": _PATTERN})).json() == {"count": 0}


def test_sqlite_ends_a_statement_after_few_instructions() -> None:
    """SQLite interrupts the statement itself: an endless one ends, and the connection goes on."""
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    db = sqlite3.connect(":memory:")
    with pytest.raises(QueryTooExpensive):
        with_limit(lambda connection: connection.execute(endless).fetchone(), 0.001)(db)
    assert db.execute("SELECT 1").fetchone() == (1,)
