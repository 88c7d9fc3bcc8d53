"""The programs of `examples/` run."""

import asyncio
import importlib
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fastapi import FastAPI

from autocrud import AutoCRUD
from autocrud.storage.memory import MemoryStorageFactory
from examples.box_office import create_app
from tests.http.conftest import serving
from tests.storage.backends import STORES, nodes_on


async def test_library_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarded routes, a model in memory with fewer routes, and a custom route."""
    monkeypatch.chdir(tmp_path)
    example = importlib.import_module("examples.library")
    async with serving(example.app) as http:
        key = {"X-Token": "let-me-in"}
        body = {"email": "ada@example.com", "name": "Ada"}
        assert (await http.post("/user", json=body, headers={"X-Token": "?"})).status_code == 401
        created = await http.post("/user", json=body, headers=key)
        assert created.status_code == 201
        assert (await http.post("/user", json=body, headers=key)).status_code == 409
        greeting = await http.get(f"{created.headers['location']}/greeting")
        assert greeting.json() == "Hello, Ada, at version 1."
        assert (await http.get("/session")).status_code == 405
    assert (tmp_path / "data" / "library" / "metadata.sqlite").exists()


async def test_cinema_example_answers_queries() -> None:
    """Bulk, filters, texts, aggregates, references, and the past."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    importlib.import_module("examples.cinema").register(crud)
    crud.apply(app)
    async with serving(app) as http:
        await http.put("/director/reed", json={"name": "Carol Reed"}, headers={"If-None-Match": "*"})
        third = {"title": "The Third Man", "year": 1949, "genres": ["Film noir", "Mystery"], "director": "reed"}
        idol = {"title": "The Fallen Idol", "year": 1948, "genres": ["Film noir"], "director": "reed"}
        again = {"title": "The Third Man", "year": 1949}
        films = [
            {"op": "create", "id": "third-man", "data": {**third, "rating": "8.1", "plot": "A friend in Vienna."}},
            {"op": "create", "id": "fallen-idol", "data": {**idol, "rating": "7.7"}},
            {"op": "create", "data": again},
        ]
        answer = (await http.post("/film/bulk", json=films)).json()
        assert [item["status"] for item in answer["items"]] == [201, 201, 409]
        assert answer["items"][2]["problem"]["holder"] == "third-man"
        qb = 'QB["rating"].gte(7) & ~QB["genres"].contains("Western")'
        page = (await http.get("/film", params={"qb": qb, "sort": "-rating", "count": "exact"})).json()
        assert ([item["meta"]["resource_id"] for item in page["items"]], page["total"]) == (
            ["third-man", "fallen-idol"],
            2,
        )
        for query in ("q=friend%20vienna", "genres__contains_any=Mystery,Western", "year__gte=1949"):
            assert (await http.get(f"/film/count?director.name=Carol%20Reed&{query}")).json() == {"count": 1}
        groups = (await http.get("/film/aggregate?group_by=genres&metrics=count,avg:rating")).json()["groups"]
        assert groups[0] == {"key": {"genres": "Film noir"}, "values": {"count": 2, "avg:rating": "7.9"}}
        before = (await http.get("/film/third-man")).json()["meta"]["updated_time"]
        assert (await http.delete("/film?year__lt=1949")).json() == {"matched": 1, "changed": 1}
        assert (await http.get("/film/count")).json() == {"count": 1}
        assert (await http.get(f"/film/count?year__lt=1949&at={before}")).json() == {"count": 1}
        await http.delete("/director/reed")
        assert (await http.get("/film/third-man")).json()["data"]["director"] is None


@pytest.mark.parametrize("backend", STORES)
async def test_box_office_sells_each_seat_once(backend: str, tmp_path: Path) -> None:
    """200 parallel buyers at two nodes, and 50 seats."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(serving(create_app(item))) for item in nodes_on(backend, tmp_path)]
        first, last = nodes[0], nodes[-1]
        show = (await first.post("/show", json={"title": "Carmen", "seats": 50})).json()["meta"]["resource_id"]
        sales = (nodes[number % len(nodes)].post(f"/show/{show}/sale?buyer=b{number}") for number in range(200))
        answers = await asyncio.gather(*sales)
        assert sorted(answer.status_code for answer in answers) == [201] * 50 + [409] * 150
        assert {answer.json()["detail"] for answer in answers if answer.status_code == 409} == {"The show is sold out."}
        assert (await last.get(f"/show/{show}")).json()["data"]["seats"] == 0
        assert (await last.get("/ticket/count")).json() == {"count": 50}
        assert (await last.post("/ticket", json={"show": show, "buyer": "thief"})).status_code == 405
