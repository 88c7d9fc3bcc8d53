"""Invariant 10: large requests compute in slices, and other tasks have turns of the event loop between them.

The tests count calls of the package's functions, not time. A clock that advances with each reading ends the slices.
"""

import asyncio
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from pydantic_core import to_json

import autocrud
from autocrud import AutoCRUD, OnDelete, Ref, Unique
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports import time_slice
from autocrud.storage.ports.storage import IStorageFactory
from examples.dict_backend import factory as dict_factory

PACKAGE = str(Path(autocrud.__file__).parent)
COUNT = 500  # operations of a request, and dependents of a delete
MAX_CALLS = 8_000  # between two turns; each request makes more than 50,000
READING_S = 0.0005  # that the clock advances with each reading


class Movie(BaseModel):
    title: Annotated[str, Unique()]


class Show(BaseModel):
    movie: Annotated[str, Ref("movie", on_delete=OnDelete.cascade)]


class Review(BaseModel):
    movie: Annotated[str | None, Ref("movie", on_delete=OnDelete.set_null)] = None


class CallCounter:
    """Counts the calls of the package's functions between two turns of the event loop."""

    def __init__(self) -> None:
        self.most = self._calls = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count in this thread for the duration of the context."""
        self.most = self._calls = 0
        loop = asyncio.get_running_loop()
        before = sys.getprofile()
        is_counting = True

        def begin_turn() -> None:
            self.most, self._calls = max(self.most, self._calls), 0
            if is_counting:
                loop.call_soon(begin_turn)

        def note(frame: FrameType, event: str, _argument: Any) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
                self._calls += 1

        begin_turn()
        sys.setprofile(note)
        try:
            yield
        finally:
            sys.setprofile(before)
            is_counting = False
            self.most = max(self.most, self._calls)


def creates(model: str, values: list[dict[str, Any]], *, names_model: bool) -> bytes:
    """Return the body of a transaction, or of a bulk request of one model."""
    name = {"model": model} if names_model else {}
    return to_json({"operations": [{"op": "create", "data": value, **name} for value in values]})


@pytest.fixture(autouse=True)
def fast_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each reading of the clock advance it, so that a slice ends after a few items."""
    readings = count()
    monkeypatch.setattr(time_slice, "monotonic", lambda: next(readings) * READING_S)


@pytest.mark.parametrize("factory", [MemoryStorageFactory, dict_factory], ids=["memory", "ordered map"])
async def test_10_large_requests_compute_in_slices(factory: Any) -> None:
    storage_factory: IStorageFactory = factory()
    crud = AutoCRUD(storage_factory=storage_factory)
    for model in (Movie, Show, Review):
        crud.add_model(model)
    app = FastAPI()
    crud.apply(app)
    counter = CallCounter()
    transport = httpx.ASGITransport(app=app)
    async with crud.running(), httpx.AsyncClient(transport=transport, base_url="http://test") as http:

        async def send(name: str, method: str, path: str, body: bytes = b"") -> httpx.Response:
            with counter.counting():
                answer = await http.request(method, path, content=body, headers={"content-type": "application/json"})
            assert answer.is_success, answer.text
            assert counter.most <= MAX_CALLS, name
            return answer

        await http.post("/transaction", content=creates("movie", [{"title": "first"}], names_model=True))
        titles = [{"title": f"{number}"} for number in range(COUNT)]
        answer = await send("creates", "POST", "/transaction", creates("movie", titles, names_model=True))
        movies = [item["id"] for item in answer.json()["items"]]
        updates = [
            {"op": "update", "model": "movie", "id": movie, "data": {"title": f"new {movie}"}} for movie in movies
        ]
        await send("updates", "POST", "/transaction", to_json({"operations": updates}))
        for name, movie in (("show", movies[0]), ("review", movies[1])):
            values = [{"movie": movie} for _ in range(COUNT)]
            await send(f"bulk {name}", "POST", f"/{name}/bulk", creates(name, values, names_model=False))
            await send(f"delete {name}", "DELETE", f"/movie/{movie}")
        assert (await http.get("/show/count")).json()["count"] == 0
        assert (await http.get("/review/count", params={"movie__is_null": "true"})).json()["count"] == COUNT


async def test_2_reader_in_memory_sees_a_whole_transaction_or_nothing() -> None:
    """Readers wait while the writes of a transaction are applied in slices."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Movie)
    movies, counts = crud.manager(Movie), list[int]()
    async with crud.running():

        async def write() -> None:
            async with crud.transaction() as transaction:
                for number in range(100):
                    await transaction.create(Movie, Movie(title=f"{number}"))

        writing = asyncio.create_task(write())
        while not writing.done():
            counts.append(await movies.count())
            await asyncio.sleep(0)
        await writing
        counts.append(await movies.count())
    assert set(counts) == {0, 100}


async def test_cancelled_computation_in_slices_is_finished() -> None:
    """A batch that is applied half would be damage."""
    done: list[int] = []

    def steps() -> Generator[None, None, None]:
        for number in range(100):
            done.append(number)
            yield

    computing = asyncio.create_task(time_slice.run_in_slices(steps()))
    await asyncio.sleep(0)
    assert 0 < len(done) < 100
    computing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await computing
    assert done == list(range(100))
