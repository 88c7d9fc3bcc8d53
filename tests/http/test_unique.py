"""Unique constraints over HTTP: 409 with the fields and the holder."""

import random
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from pydantic import BaseModel, Field

from autocrud import Unique
from autocrud.resource import RevisionStatus
from tests.http.conftest import Serve


class Seat(BaseModel):
    """A seat in a hall with one person."""

    hall: Annotated[str | None, Unique(group="seat")] = Field(None, alias="hallName")
    number: Annotated[int | None, Unique(group="seat")] = None
    ticket: Annotated[str | None, Unique()] = None
    first: str | None = None
    last: str | None = None


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Seat`s, which are drafts at first."""
    options = {"unique_together": [("first", "last")], "default_status": RevisionStatus.draft}
    async with serve(Seat, max_body_bytes=8192, **options) as client:
        yield client


async def _made(http: httpx.AsyncClient, **fields: object) -> str:
    response = await http.post("/seat", json=fields)
    assert response.status_code == 201, response.text
    return response.headers["location"]


async def test_taken_group_is_409_with_fields_and_holder(http: httpx.AsyncClient) -> None:
    """On every write route. Nothing changes."""
    taken = {"hallName": "red", "number": 1}
    gone = await _made(http, **taken)
    assert (await http.delete(gone)).status_code == 204
    moved = await _made(http, **taken)
    assert (await http.put(moved, json={"hallName": "red", "number": 2})).status_code == 200
    holder = await _made(http, **taken)
    other = await _made(http, hallName="blue", number=1)
    before = [(await http.get(path)).json() for path in (moved, holder, other)]
    merge = {"Content-Type": "application/merge-patch+json"}
    for response in (
        await http.post("/seat", json=taken),
        await http.put("/seat/new", json=taken, headers={"If-None-Match": "*"}),
        await http.put(other, json=taken),
        await http.put(f"{other}?mode=modify", json=taken),
        await http.patch(other, json={"hallName": "red"}, headers=merge),
        await http.patch(f"{other}?mode=modify", json={"hallName": "red"}, headers=merge),
        await http.post(f"{moved}/switch/1"),
        await http.post(f"{gone}/restore"),
    ):
        problem, resource_id = response.json(), holder.rpartition("/")[2]
        assert (response.status_code, problem["code"], problem["holder"]) == (409, "unique_violation", resource_id)
        assert problem["errors"] == [
            {"field": "hallName", "message": "is not unique together with number"},
            {"field": "number", "message": "is not unique together with hallName"},
        ]
        assert problem["detail"] == f"Another resource, '{resource_id}', has the same hallName and number."
    assert [(await http.get(path)).json() for path in (moved, holder, other)] == before
    assert (await http.get("/seat?hallName=red&number=1")).json()["items"] == [before[1]]


async def test_single_and_declared_constraints_answer_alike(http: httpx.AsyncClient) -> None:
    """The first violated one is named, and its fields can be filtered."""
    holder = (await _made(http, ticket="t", first="a", last="b")).rpartition("/")[2]
    for fields, named in (
        ({"ticket": "t", "first": "a", "last": "b"}, ["ticket"]),
        ({"ticket": "u", "first": "a", "last": "b"}, ["first", "last"]),
    ):
        problem = (await http.post("/seat", json=fields)).json()
        assert (problem["holder"], [error["field"] for error in problem["errors"]]) == (holder, named)
    assert (await http.get("/seat/count?first=a&last=b")).json() == {"count": 1}


async def test_unique_texts_over_the_byte_limit_are_refused(http: httpx.AsyncClient) -> None:
    """An accepted value fits every engine."""
    chance = random.Random(1)
    noise = "".join(chr(chance.randrange(33, 126)) for _ in range(2001))
    await _made(http, first=noise[:1000], last=noise[1000:2000])
    await _made(http, first=noise[:2000])
    for fields in ({"first": noise[:1001], "last": noise[1001:]}, {"first": "ä" * 1000, "last": "x"}):
        response = await http.post("/seat", json=fields)
        assert (response.status_code, response.json()["code"]) == (422, "invalid_data")
        assert [error["field"] for error in response.json()["errors"]] == ["first", "last"]
        assert response.json()["errors"][0]["message"].endswith("must have at most 2000 bytes in total")
