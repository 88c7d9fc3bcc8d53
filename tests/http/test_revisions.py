"""Revisions over HTTP: lists, differences, past reads and switches, on each backend."""

from datetime import datetime, timedelta
from itertools import pairwise, permutations
from typing import Any

import httpx
import jsonpatch

from tests.http.conftest import Serve, created


async def _replaced(http: httpx.AsyncClient, location: str, **fields: Any) -> Any:
    response = await http.put(location, json={"title": "Emma", **fields})
    assert response.status_code == 200, response.text
    return response.json()


async def _numbers(http: httpx.AsyncClient, location: str, query: str = "") -> list[int]:
    response = await http.get(f"{location}/revisions?{query}")
    assert response.status_code == 200, response.text
    return [int(item["revision_info"]["revision_id"].rpartition(":")[2]) for item in response.json()["items"]]


async def _at(http: httpx.AsyncClient, location: str, time: str, query: str = "") -> httpx.Response:
    return await http.get(location, params={"at": time, **dict(part.split("=") for part in query.split("&") if part)})


def _earlier(time: str) -> str:
    return (datetime.fromisoformat(time) - timedelta(microseconds=1)).isoformat()


async def test_revisions_are_listed_newest_first(http: httpx.AsyncClient) -> None:
    """With author and time, and with data on request."""
    location = (await created(http, year=1)).headers["location"]
    for year in (2, 3, 4, 5):
        await _replaced(http, location, year=year)
    assert await _numbers(http, location) == [5, 4, 3, 2, 1]
    seen: list[Any] = []
    url = f"{location}/revisions?limit=2&returns=data,revision_info"
    while url:
        page = await http.get(url)
        seen += page.json()["items"]
        url = page.links["next"]["url"] if page.links else ""
        assert (page.json()["next_cursor"] is None) is (not url)
    assert [item["data"]["year"] for item in seen] == [5, 4, 3, 2, 1]
    for newer, older in pairwise(seen):
        assert newer["revision_info"]["parent_revision_id"] == older["revision_info"]["revision_id"]
    one = (await http.get(f"{location}/revisions/2")).json()
    assert (one["data"]["year"], one["revision_info"]) == (2, seen[3]["revision_info"])
    assert one["meta"]["total_revision_count"] == 5


async def test_revisions_are_selected_by_time_and_start(http: httpx.AsyncClient) -> None:
    """Both ends of a time span are included."""
    first = (await created(http)).json()
    location = f"/book/{first['meta']['resource_id']}"
    times = [first["meta"]["created_time"]]
    times += [(await _replaced(http, location, year=year))["meta"]["updated_time"] for year in (2, 3, 4)]
    for query, expected in (
        (f"since={times[1]}", [4, 3, 2]),
        (f"until={times[1]}", [2, 1]),
        (f"since={times[1]}&until={times[2]}", [3, 2]),
        ("from=3", [3, 2, 1]),
        (f"from={first['meta']['resource_id']}:2", [2, 1]),
        (f"from=3&since={times[1]}", [3, 2]),
        (f"since={_earlier(times[0]).replace('+00:00', 'Z')}&until={times[0]}", [1]),
    ):
        assert await _numbers(http, location, query) == expected, query
    for query in ("since=2026-01-01T00:00:00", "from=0", "limit=0", "cursor=x", "chain_only=2"):
        assert (await http.get(f"{location}/revisions?{query}")).status_code == 400, query
    assert (await http.get(f"{location}/revisions?from=9")).status_code == 404
    assert (await http.get("/book/none/revisions")).status_code == 404


async def test_update_after_a_switch_has_the_switched_parent(http: httpx.AsyncClient) -> None:
    """The switch makes no revision."""
    first = (await created(http, year=1)).json()
    location = f"/book/{first['meta']['resource_id']}"
    for year in (2, 3):
        await _replaced(http, location, year=year)
    switched = await http.post(f"{location}/switch/1")
    meta = switched.json()["meta"]
    assert switched.json()["data"]["year"] == 1
    assert (meta["current_revision_id"], meta["total_revision_count"], meta["version"]) == (
        first["meta"]["current_revision_id"], 3, 4,
    )  # fmt: skip
    assert switched.json()["revision_info"] == first["revision_info"]
    assert (await http.get(location)).json() == switched.json()
    branched = await _replaced(http, location, year=4)
    assert branched["revision_info"]["parent_revision_id"] == first["meta"]["current_revision_id"]
    assert await _numbers(http, location) == [4, 3, 2, 1]
    assert await _numbers(http, location, "chain_only=true") == [4, 1]
    assert await _numbers(http, location, "chain_only=true&from=3") == [3, 2, 1]
    assert await _numbers(http, location, "chain_only=true&limit=1") == [4]
    again = await http.post(f"{location}/switch/{first['meta']['resource_id']}:3")
    assert again.json()["data"]["year"] == 3
    assert (await http.post(f"{location}/switch/3")).headers["etag"] == again.headers["etag"]
    for revision, status in (("9", 404), ("0", 400), ("other:1", 404), ("x", 400)):
        assert (await http.post(f"{location}/switch/{revision}")).status_code == status
    await http.delete(location)
    assert (await http.post(f"{location}/switch/1")).status_code == 410


async def test_switch_to_a_taken_unique_value_is_409(http: httpx.AsyncClient) -> None:
    """Lists follow a switch."""
    location = (await created(http, isbn="a", year=1)).headers["location"]
    await _replaced(http, location, isbn="b", year=2)
    await created(http, isbn="a")
    refused = await http.post(f"{location}/switch/1")
    assert (refused.status_code, refused.json()["code"]) == (409, "unique_violation")
    assert (await http.get("/book/count?year=2")).json()["count"] == 1
    await _replaced(http, location, isbn="c", year=3)
    assert (await http.post(f"{location}/switch/2")).status_code == 200
    assert (await http.get("/book/count?year=2")).json()["count"] == 1
    assert (await http.get("/book/count?isbn=c")).json()["count"] == 0


async def test_difference_turns_one_revision_into_the_other(http: httpx.AsyncClient) -> None:
    """In both directions, between any two."""
    location = (await created(http, year=1)).headers["location"]
    await _replaced(http, location, price=2.5, isbn="x/~y")
    await _replaced(http, location, year=None)
    data = [(await http.get(f"{location}/revisions/{number}")).json()["data"] for number in (1, 2, 3)]
    for one, other in permutations((1, 2, 3), 2):
        response = await http.get(f"{location}/revisions/diff?from={one}&to={other}")
        assert response.headers["content-type"] == "application/json-patch+json"
        assert jsonpatch.apply_patch(data[one - 1], response.json()) == data[other - 1]
    assert (await http.get(f"{location}/revisions/diff?from=2&to=2")).json() == []
    for query, status in (("from=1&to=9", 404), ("from=1", 400), ("to=1", 400), ("from=1&to=x", 400)):
        assert (await http.get(f"{location}/revisions/diff?{query}")).status_code == status


async def test_read_at_a_time_or_revision_returns_that_state(http: httpx.AsyncClient) -> None:
    """Nothing before the create, 410 while deleted, and the switched revision."""
    first = (await created(http, year=1)).json()
    location = f"/book/{first['meta']['resource_id']}"
    second = await _replaced(http, location, year=2)
    assert (await http.delete(location)).status_code == 204
    gone = (await http.get(f"{location}?include_deleted=true")).json()
    restored = (await http.post(f"{location}/restore")).json()
    switched = (await http.post(f"{location}/switch/1")).json()
    for state in (first, second, restored, switched):
        then = await _at(http, location, state["meta"]["updated_time"])
        assert then.json() == state
        assert then.headers["etag"] != ""
    assert (await _at(http, location, _earlier(first["meta"]["created_time"]))).status_code == 404
    deleted = gone["meta"]["updated_time"]
    assert (await _at(http, location, deleted)).status_code == 410
    assert (await _at(http, location, deleted, "include_deleted=true")).json() == gone
    assert (await _at(http, location, _earlier(deleted))).json() == second
    by_revision = (await http.get(f"{location}?revision_id=2")).json()
    assert (by_revision["data"], by_revision["revision_info"]) == (second["data"], second["revision_info"])
    assert by_revision["meta"] == switched["meta"]
    await http.delete(location)
    assert (await _at(http, location, first["meta"]["updated_time"])).json() == first
    for query in (
        "at=yesterday",
        "at=2026-01-01T00:00:00",
        "at=1.5",
        "at=9999-12-31T23:59:59-12:00",
        "revision_id=0",
        f"revision_id=1&at={deleted}",
    ):
        assert (await http.get(f"{location}?{query}")).status_code == 400


async def test_author_comes_from_current_user(serve: Serve) -> None:
    """`created_by` stays, `updated_by` follows, and each revision has its own."""
    users = iter(["ada", "bob", "cyd", None])
    async with serve(service={"current_user": lambda: next(users)}) as http:
        location = (await created(http)).headers["location"]
        await _replaced(http, location, year=2)
        response = await http.delete(location)
        assert response.status_code == 204
        state = (await http.get(f"{location}?include_deleted=true")).json()
        assert (state["meta"]["created_by"], state["meta"]["updated_by"]) == ("ada", "cyd")
        assert state["revision_info"]["created_by"] == "bob"
