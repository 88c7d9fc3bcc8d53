"""Upserts by unique values: `POST ?on_conflict=`, on each backend."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from autocrud import AutoCRUD, Index, Unique
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve, serving
from tests.storage.backends import BACKENDS, s3_factory


class Part(BaseModel):
    """A part in a shop."""

    sku: Annotated[str | None, Unique()] = Field(None, alias="partNumber")
    ean: Annotated[str | None, Unique()] = None
    shop: Annotated[str | None, Unique(group="place")] = None
    shelf: Annotated[int | None, Unique(group="place")] = None
    name: str = Field(min_length=1)
    stock: int = 0


class Plain(BaseModel):
    """A model without a unique field."""

    name: Annotated[str, Index()]


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Part`s."""
    async with serve(Part, max_body_bytes=100_000) as client:
        yield client


async def upsert(http: httpx.AsyncClient, choice: str, headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """Send a part with a choice for conflicts."""
    return await http.post("/part", params={"on_conflict": choice}, json=fields, headers=headers)


async def test_upsert_creates_then_returns_replaces_or_merges_the_holder(http: httpx.AsyncClient) -> None:
    """Equal data makes no revision. A merge changes only the members that the body names, and may lack fields."""
    first = await upsert(http, "merge", partNumber="a1", name="bolt", stock=3)
    assert first.status_code == 201
    location, state = first.headers["location"], first.json()
    for choice in ("return", "replace", "merge"):
        same = await upsert(http, choice, partNumber="a1", name="bolt", stock=3)
        assert (same.status_code, same.json(), same.headers["location"]) == (200, state, location)
        assert same.headers["etag"] == first.headers["etag"]
    assert (await upsert(http, "return", sku="a1", name="other")).json() == state
    merged = await upsert(http, "merge", sku="a1", stock=4)
    assert (merged.status_code, merged.json()["data"]) == (200, {**state["data"], "stock": 4})
    assert merged.json()["meta"]["total_revision_count"] == 2
    replaced = await upsert(http, "replace", partNumber="a1", name="nut")
    assert (replaced.status_code, replaced.json()["data"]["stock"], replaced.json()["data"]["name"]) == (200, 0, "nut")
    minimal = await upsert(http, "replace", {"Prefer": "return=minimal"}, partNumber="a1", name="nut")
    assert (minimal.status_code, minimal.headers["location"]) == (204, location)
    refused = await upsert(http, "error", partNumber="a1", name="nut")
    assert (refused.status_code, refused.json()["code"]) == (409, "unique_violation")
    assert (await http.get("/part/count")).json() == {"count": 1}


async def test_upsert_without_a_holder_creates_or_is_invalid(http: httpx.AsyncClient) -> None:
    """Null values and deleted resources hold nothing. A patch that lacks fields is 422 as a create of it."""
    for _ in range(2):
        assert (await upsert(http, "merge", shop="x", name="bolt")).status_code == 201
    lacking = await upsert(http, "merge", partNumber="a1", stock=1)
    assert (lacking.status_code, lacking.json()["errors"][0]["field"]) == (422, "name")
    created = await upsert(http, "return", partNumber="a1", name="nut")
    assert created.status_code == 201
    await http.delete(created.headers["location"])
    assert (await upsert(http, "merge", partNumber="a1", stock=1)).status_code == 422
    assert (await upsert(http, "replace", partNumber="a1", name="nut")).status_code == 201
    invalid = await upsert(http, "merge", partNumber="a1", stock="many")
    assert (invalid.status_code, invalid.json()["errors"][0]["field"]) == (422, "stock")
    for choice, status in (("replace", 422), ("sometimes", 400)):
        assert (await upsert(http, choice, partNumber="a1")).status_code == status


async def test_different_holders_are_409_with_fields_and_ids(http: httpx.AsyncClient) -> None:
    """A value that only the merged data has is a unique violation."""
    one = (await upsert(http, "error", partNumber="a", shop="x", shelf=1, name="bolt")).json()["meta"]["resource_id"]
    two = (await upsert(http, "error", ean="b", shop="y", shelf=1, name="nut")).json()["meta"]["resource_id"]
    for choice in ("return", "replace", "merge"):
        answer = await upsert(http, choice, partNumber="a", ean="b", name="x")
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (409, "different_holders")
        assert sorted(problem["holders"]) == sorted([one, two])
        messages = {error["field"]: error["message"] for error in problem["errors"]}
        assert messages == {"partNumber": f"is held by {one!r}", "ean": f"is held by {two!r}"}
    answer = await upsert(http, "merge", partNumber="a", shop="y")
    assert (answer.status_code, answer.json()["code"], answer.json()["holder"]) == (409, "unique_violation", two)
    both = await upsert(http, "merge", shop="x", shelf=1, partNumber="a", ean="c")
    assert (both.status_code, both.json()["data"]["ean"]) == (200, "c")


async def test_repeated_upsert_gets_the_first_answer(http: httpx.AsyncClient) -> None:
    """Also after later changes and a delete. Another choice or body is 422."""
    await upsert(http, "error", partNumber="a", name="bolt")
    first = await upsert(http, "merge", {"Idempotency-Key": "k"}, partNumber="a", stock=5)
    made = await upsert(http, "replace", {"Idempotency-Key": "new"}, partNumber="b", name="nut")
    assert (first.status_code, made.status_code) == (200, 201)
    await upsert(http, "merge", partNumber="a", stock=6)
    await upsert(http, "merge", partNumber="b", stock=6)
    for _ in range(2):
        again = await upsert(http, "merge", {"Idempotency-Key": "k"}, partNumber="a", stock=5)
        assert (again.status_code, again.json()) == (200, first.json())
        assert [again.headers[name] for name in ("etag", "location")] == [
            first.headers[name] for name in ("etag", "location")
        ]
        await http.delete(first.headers["location"])
    again = await upsert(http, "replace", {"Idempotency-Key": "new"}, partNumber="b", name="nut")
    assert (again.status_code, again.json()) == (201, made.json())
    for choice, stock in (("merge", 6), ("return", 5)):
        other = await upsert(http, choice, {"Idempotency-Key": "k"}, partNumber="a", stock=stock, name="x")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_model_options_that_exclude_upserts_are_named(serve: Serve) -> None:
    """A model without unique fields, and one that requires a precondition."""
    async with serve(Plain) as http:
        answer = await http.post("/plain?on_conflict=merge", json={"name": "x"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "on_conflict")
        assert "plain has no unique field" in answer.json()["detail"]
    async with serve(Part, require_if_match=True) as http:
        for choice, status in (("return", 201), ("return", 200), ("merge", 428), ("replace", 428)):
            assert (await upsert(http, choice, partNumber="a", name="x")).status_code == status


async def test_upsert_without_the_route_of_its_work_is_refused() -> None:
    """A model that serves no `replace` is not changed by a create."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Part, routes=["create", "patch"])
    crud.apply(app)
    async with serving(app) as http:
        for choice, status in (("error", 201), ("merge", 200), ("replace", 400), ("return", 400)):
            answer = await upsert(http, choice, partNumber="a", name="x")
            assert answer.status_code == status
        assert "part, which has no route 'read'" in answer.json()["detail"]


async def test_bulk_upserts_see_each_other(http: httpx.AsyncClient) -> None:
    """Each has the status that it would have alone. An atomic request is refused."""
    operations = [
        {"op": "create", "on_conflict": "merge", "data": {"partNumber": "a", "name": "bolt"}},
        {"op": "create", "on_conflict": "merge", "data": {"partNumber": "a", "stock": 2}},
        {"op": "create", "on_conflict": "replace", "data": {"partNumber": "b", "name": "nut"}},
        {"op": "create", "on_conflict": "return", "data": {"ean": "c", "name": "nut"}},
        {"op": "create", "data": {"partNumber": "d", "name": "d"}},
        {"op": "create", "on_conflict": "merge", "data": {"partNumber": "d", "stock": 9}},
        {"op": "create", "on_conflict": "error", "id": "own", "data": {"partNumber": "d", "name": "x"}},
        {"op": "create", "on_conflict": "merge", "data": {"partNumber": "z", "stock": 9}},
        {"op": "create", "on_conflict": "merge", "id": "own", "data": {"partNumber": "z"}},
        {"op": "create", "on_conflict": "often", "data": {"partNumber": "z"}},
    ]
    items = (await http.post("/part/bulk", json=operations)).json()["items"]
    assert [item["status"] for item in items] == [201, 200, 201, 201, 201, 200, 409, 422, 422, 422]
    assert items[0]["id"] == items[1]["id"]
    assert items[1]["version"] == 2
    found = (await http.get(f"/part/{items[5]['id']}")).json()["data"]
    assert (found["name"], found["stock"]) == ("d", 9)
    atomic = await http.post("/part/bulk?atomic=true", json=operations[:1])
    assert (atomic.status_code, atomic.json()["errors"][0]["field"]) == (400, "on_conflict")


async def race(nodes: list[httpx.AsyncClient]) -> None:
    """Send 64 requests with one unique value to the nodes at the same time."""
    tasks = [
        upsert(
            nodes[number % len(nodes)], ("merge", "return", "replace")[number % 3], partNumber="a", name=f"n{number}"
        )
        for number in range(64)
    ]
    answers = await asyncio.gather(*tasks)
    assert sorted(answer.status_code for answer in answers) == [200] * 63 + [201]
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert (await nodes[-1].get("/part/count?include_deleted=true")).json() == {"count": 1}


async def test_parallel_upserts_of_one_value_make_one_resource(http: httpx.AsyncClient) -> None:
    """No request fails."""
    await race([http])


def node(backend: str, path: Path, name: str, **options: Any) -> Any:
    """Serve parts on a store that several nodes share, each with its own cache."""
    factory = s3_factory(path, cache_dir=path / name, **options) if backend == "s3" else BACKENDS[backend](path)
    crud, app = AutoCRUD(storage_factory=factory), FastAPI()
    crud.add_model(Part)
    crud.apply(app)
    return serving(app)


@pytest.mark.parametrize("backend", ["disk", "s3", "postgres"])
async def test_parallel_upserts_over_two_nodes_make_one_resource(backend: str, tmp_path: Path) -> None:
    """The commit decides, and the loser reads the holder as of now."""
    async with node(backend, tmp_path, "one") as one, node(backend, tmp_path, "two") as two:
        await race([one, two])


async def test_upsert_finds_the_holder_past_a_stale_index(tmp_path: Path) -> None:
    """A node that may answer from the past looks for holders as of now."""
    async with node("s3", tmp_path, "one") as one, node("s3", tmp_path, "two", max_staleness=600) as two:
        assert (await two.get("/part/count")).json() == {"count": 0}
        await upsert(one, "error", partNumber="a", name="bolt")
        assert (await two.get("/part/count")).json() == {"count": 0}
        merged = await upsert(two, "merge", partNumber="a", stock=1)
        assert (merged.status_code, merged.json()["data"]["name"]) == (200, "bolt")
