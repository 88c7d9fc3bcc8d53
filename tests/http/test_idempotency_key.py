"""`Idempotency-Key`: a repeated create happens once, on each backend."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from autocrud import AutoCRUD
from tests.http.conftest import Book, Serve, serving
from tests.storage.backends import BACKENDS

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


async def _post(http: httpx.AsyncClient, headers: dict[str, str] = KEY, **fields: str) -> httpx.Response:
    return await http.post("/book", json={"title": "Emma", **fields}, headers=headers)


async def test_repeated_create_gets_the_first_answer(http: httpx.AsyncClient) -> None:
    """Also after later changes. Another body is 422."""
    first = await _post(http)
    location = first.headers["location"]
    await http.put(location, json={"title": "Persuasion"})
    await http.delete(location)
    again = await _post(http)
    assert (again.status_code, again.json()) == (201, first.json())
    assert [again.headers[name] for name in ("etag", "location")] == [first.headers["etag"], location]
    other = await _post(http, isbn="x")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (await _post(http, {"Idempotency-Key": "another"})).headers["location"] != location
    for odd in ("", "x" * 256, "\xe9"):
        headers = httpx.Headers([(b"Idempotency-Key", odd.encode("latin-1"))])
        assert (await http.post("/book", json={"title": "Emma"}, headers=headers)).status_code == 400
    assert (await http.get("/book/count?include_deleted=true")).json()["count"] == 2


async def test_concurrent_creates_with_one_key_create_once(http: httpx.AsyncClient) -> None:
    """All get the same answer. Of two bodies one wins."""
    answers = await asyncio.gather(*(_post(http) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    key = {"Idempotency-Key": "two bodies"}
    mixed = await asyncio.gather(*(_post(http, key, isbn=str(number % 2)) for number in range(8)))
    assert sorted(answer.status_code for answer in mixed) == [201] * 4 + [422] * 4
    assert (await http.get("/book/count")).json()["count"] == 2


async def test_refused_create_does_not_use_its_key(http: httpx.AsyncClient) -> None:
    """The client may correct the body and try again."""
    assert (await http.post("/book", json={"title": ""}, headers=KEY)).status_code == 422
    assert (await _post(http, {}, isbn="x")).status_code == 201
    assert (await _post(http, isbn="x")).status_code == 409
    assert (await _post(http, isbn="y")).status_code == 201


async def test_key_belongs_to_its_user_and_expires(serve: Serve) -> None:
    """No user gets another user's answer."""
    users = iter(["ada", "bob", "ada"])
    async with serve(service={"current_user": lambda: next(users)}) as http:
        locations = [(await _post(http)).headers["location"] for _ in range(3)]
        assert locations[0] == locations[2] != locations[1]
    async with serve(service={"idempotency_seconds": -1}) as http:
        key = {"Idempotency-Key": "expired"}
        assert (await _post(http, key)).headers["location"] != (await _post(http, key)).headers["location"]


@pytest.mark.parametrize("backend", ["disk", "s3", "postgres"])
async def test_repeated_create_on_another_node_gets_the_answer(backend: str, tmp_path: Path) -> None:
    """The key is stored in the commit."""
    texts = []
    for _ in range(2):
        crud, app = AutoCRUD(storage_factory=BACKENDS[backend](tmp_path)), FastAPI()
        crud.add_model(Book)
        crud.apply(app)
        other, beside = AutoCRUD(storage_factory=BACKENDS[backend](tmp_path)), FastAPI()
        other.add_model(Book)
        other.apply(beside)
        async with serving(app) as one, serving(beside) as two:
            answers = await asyncio.gather(*(_post(node) for node in (one, two, one, two)))
            texts += [answer.text for answer in answers]
            assert (await two.get("/book/count")).json()["count"] == 1
    assert len(set(texts)) == 1
