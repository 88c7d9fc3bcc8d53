"""Expensive queries leave connections to other requests, and end with their clients."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index
from autocrud.service.health import health_router
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.ports.storage import IStorageFactory
from tests.http.conftest import serving
from tests.servers_real import postgres
from tests.storage.backends import postgres_factory

BOOKS = 500
# No title matches. An engine needs seconds to find that out.
SLOW = {"qb": " | ".join(f'QB["title"].regex("(.{{1,200}}{letter}).{{50,200}}zz")' for letter in "abcdef0123456789")}
QUICK = {"title__regex": "^a"}


class Book(BaseModel):
    """A book with a long title."""

    title: Annotated[str, Index()]


class Client:
    """An ASGI client that can leave, and that can stop to read."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._has_left = asyncio.Event()
        self.has_bytes = asyncio.Event()
        self.reads = asyncio.Event()
        self.reads.set()

    def leave(self) -> None:
        """Disconnect all requests."""
        self._has_left.set()

    async def get(self, path: str, query: dict[str, str]) -> int:
        """Return the status of a request."""
        statuses = []

        async def receive() -> dict[str, Any]:
            await self._has_left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            elif message["body"]:
                self.has_bytes.set()
                await self.reads.wait()

        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "path": path,
        }
        scope |= {"query_string": urlencode(query).encode(), "headers": [(b"host", b"test")], "root_path": ""}
        await self._app(scope | {"scheme": "http", "server": ("test", 80), "client": ("test", 1)}, receive, send)
        return int(statuses[-1])


@asynccontextmanager
async def books(factory: IStorageFactory) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """Serve a model with long titles, and the health routes."""
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(Book)
    app = FastAPI()
    crud.apply(app)
    app.include_router(health_router(crud))
    titles = ["".join(sha256(b"%d %d" % (number, part)).hexdigest() for part in range(7)) for number in range(BOOKS)]
    lines = "\n".join(json.dumps({"op": "create", "data": {"title": title}}) for title in titles)
    async with serving(app) as http:
        answer = await http.post("/book/bulk", content=lines, headers={"content-type": "application/x-ndjson"})
        assert answer.status_code == 200, answer.text
        yield app, http


async def wait_until_postgres(where: str) -> None:
    """Return when no connection of the test's server satisfies a condition."""
    connection = await asyncpg.connect(postgres().url)
    try:
        async with asyncio.timeout(30):
            count = f"SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND {where}"
            while await connection.fetchval(count):
                pass
    finally:
        await connection.close()


FACTORIES: dict[str, Callable[[Path], IStorageFactory]] = {"disk": DiskStorageFactory, "postgres": postgres_factory}


@pytest.mark.parametrize("kind", FACTORIES)
async def test_expensive_counts_leave_connections_and_end_with_their_clients(kind: str, tmp_path: Path) -> None:
    """Reads by id, lists, writes and the readiness are answered while 40 counts run or wait."""
    async with books(FACTORIES[kind](tmp_path)) as (app, http):
        client = Client(app)
        counts = [asyncio.create_task(client.get("/book/count", SLOW)) for _ in range(40)]
        created = await http.post("/book", json={"title": "Emma"})
        path = f"/book/{created.json()['meta']['resource_id']}"
        answers = [created, await http.get(path), await http.get("/book"), await http.get("/readyz")]
        assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
        assert not any(count.done() for count in counts)
        client.leave()
        assert set(await asyncio.gather(*counts)) == {499}
        if kind == "postgres":
            await wait_until_postgres("state = 'active' AND query LIKE '%count(%'")
        # All connections are free again: as many requests as there may be connections are answered.
        pages = await asyncio.gather(*(http.get("/book", params={"limit": 1}) for _ in range(10)))
        assert {page.status_code for page in pages} == {200}
        assert (await http.get("/book/count", params=QUICK)).status_code == 200


async def test_query_without_a_slot_is_503_overloaded(tmp_path: Path) -> None:
    """The answer tells when to try again."""
    async with books(postgres_factory(tmp_path, pool_size=4, query_wait=0.01)) as (app, http):
        client = Client(app)
        counts = [asyncio.create_task(client.get("/book/count", SLOW)) for _ in range(2)]
        await http.get("/book")  # the counts have begun
        answers = [await http.get(f"/book/{path}") for path in ("count", "aggregate", "export?title__contains=a")]
        assert [answer.status_code for answer in answers] == [503] * 3
        assert {(answer.json()["code"], answer.headers["retry-after"]) for answer in answers} == {("overloaded", "1")}
        client.leave()
        await asyncio.gather(*counts)


async def test_slow_reader_of_an_export_holds_no_connection(tmp_path: Path) -> None:
    """The export is read from PostgreSQL to its end, while the client has read its first line only."""
    async with books(postgres_factory(tmp_path)) as (app, _):
        client = Client(app)
        client.reads.clear()
        export = asyncio.create_task(client.get("/book/export", {}))
        await client.has_bytes.wait()
        await wait_until_postgres("state LIKE 'idle in transaction%'")
        assert not export.done()
        client.reads.set()
        assert await export == 200


async def test_left_export_ends_in_postgresql(tmp_path: Path) -> None:
    """A client that leaves before the first line ends the query."""
    async with books(postgres_factory(tmp_path)) as (app, http):
        client = Client(app)
        export = asyncio.create_task(client.get("/book/export", SLOW))
        await http.get("/book")  # the export has begun
        client.leave()
        assert await export == 499
        await wait_until_postgres("state <> 'idle' AND query LIKE '%FROM%'")
