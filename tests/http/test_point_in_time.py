"""Point-in-time lists and counts over HTTP (`at=`), on each backend."""

from datetime import datetime, timedelta
from typing import Annotated, Any

import httpx
from pydantic import BaseModel

from autocrud import OnDelete, Ref, Retention
from tests.http.conftest import Serve, created


async def _time_of(response: httpx.Response) -> str:
    """Return the time of an answered write."""
    assert response.status_code in (200, 201), response.text
    time: str = response.json()["meta"]["updated_time"]
    return time


async def _years(http: httpx.AsyncClient, **query: Any) -> list[Any]:
    """Return the years on all pages of two. Check that pages are full and the count agrees."""
    found: list[Any] = []
    url: str | None = str(httpx.URL("/book", params={"limit": 2, "count": "exact", **query}))
    while url:
        response = await http.get(url)
        assert response.status_code == 200, response.text
        page = response.json()
        found += [item["data"].get("year") if "data" in item else "pruned" for item in page["items"]]
        url = response.links["next"]["url"] if response.links else None
        assert (len(page["items"]) == 2) or url is None
        total = page["total"]
    query.pop("sort", None)
    assert (await http.get("/book/count", params=query)).json() == {"count": total} == {"count": len(found)}
    return found


def _before(time: str) -> str:
    return (datetime.fromisoformat(time) - timedelta(microseconds=1)).isoformat()


async def test_list_at_a_time_equals_the_list_of_then(http: httpx.AsyncClient) -> None:
    """Replaced, deleted, restored, switched and purged resources, in pages."""
    first = await created(http, year=1)
    one, began = first.headers["location"], await _time_of(first)
    others = [(await created(http, year=year)).headers["location"] for year in (2, 3)]
    replaced = await _time_of(await http.put(one, json={"title": "Emma", "year": 10}))
    await http.delete(others[0])
    gone: str = (await http.get(f"{others[0]}?include_deleted=true")).json()["meta"]["updated_time"]
    restored = await _time_of(await http.post(f"{others[0]}/restore"))
    switched = await _time_of(await http.post(f"{one}/switch/1"))
    await created(http, year=4)
    assert await _years(http, at=_before(began)) == []
    assert await _years(http, at=began) == [1]
    assert await _years(http, at=_before(replaced)) == [3, 2, 1]
    assert await _years(http, at=replaced) == [3, 2, 10]
    assert await _years(http, at=gone) == [3, 10]
    assert await _years(http, at=gone, include_deleted="true") == [3, 2, 10]
    assert await _years(http, at=restored) == [3, 2, 10]
    assert await _years(http, at=switched) == [3, 2, 1]
    assert await _years(http, at="9999-12-31T23:59:59Z") == await _years(http) == [4, 3, 2, 1]
    assert await _years(http, at=replaced, sort="created_time") == [10, 2, 3]
    for item in (await http.get("/book", params={"at": gone, "include_deleted": "true"})).json()["items"]:
        location = f"/book/{item['meta']['resource_id']}"
        assert (await http.get(location, params={"at": gone, "include_deleted": "true"})).json() == item
    cut = (await http.get("/book", params={"at": gone, "returns": "data", "fields": "year"})).json()["items"]
    assert cut == [{"data": {"year": 3}}, {"data": {"year": 10}}]
    await http.delete(f"{others[1]}/permanently")
    assert await _years(http, at=gone) == [10]


async def test_list_at_a_time_has_pruned_revisions_without_data(serve: Serve) -> None:
    """Number, author and time stay."""
    async with serve(retention=Retention(keep_last=1)) as http:
        first = await created(http, year=1)
        await http.put(first.headers["location"], json={"title": "Emma", "year": 2})
        query = {"at": await _time_of(first)}
        (item,) = (await http.get("/book", params=query)).json()["items"]
        expected = {name: part for name, part in first.json().items() if name != "data"}
        # The hash of the data is erased with the data, so that nobody can guess them by it.
        expected["revision_info"]["data_hash"] = ""
        assert item == expected
        assert (await http.get("/book", params=query | {"returns": "data"})).json()["items"] == [{}]
        assert await _years(http) == [2]


class Part(BaseModel):
    """A part that belongs to other parts."""

    number: int
    whole: Annotated[str | None, Ref("part", on_delete=OnDelete.set_null)] = None
    spares: Annotated[list[str], Ref("part", on_delete=OnDelete.set_null)] = []


async def test_expand_skips_pruned_revisions(serve: Serve) -> None:
    """Other resources of the page are expanded."""
    async with serve(Part, retention=Retention(keep_last=1)) as http:
        kept = (await http.post("/part", json={"number": 1})).json()["meta"]["resource_id"]
        refers = {"whole": kept, "spares": [kept]}
        pruned = await http.post("/part", json={"number": 2, **refers})
        at = await _time_of(await http.post("/part", json={"number": 3, **refers}))
        await http.put(pruned.headers["location"], json={"number": 4, **refers})
        query = {"at": at, "expand": "whole,spares"}
        last, second, _ = (await http.get("/part", params=query)).json()["items"]
        assert last["expanded"]["whole"]["data"]["number"] == last["expanded"]["spares"][0]["data"]["number"] == 1
        assert "data" not in second
        assert second["expanded"] == {"whole": None, "spares": []}


async def test_invalid_query_of_the_past_is_400(http: httpx.AsyncClient) -> None:
    """The message has the requirement. A cursor belongs to its time, and a time has an offset."""
    times = [await _time_of(await created(http, year=year)) for year in (1, 2, 3)]
    at = times[2]
    for query in ("year=1", 'qb=QB["year"] == 1', "sort=year", "version__gte=1", "sort=-updated_time"):
        response = await http.get(f"/book?{query}", params={"at": at, **dict([query.split("=", 1)])})
        assert response.status_code == 400, query
        assert "add_model(temporal=True)" in response.json()["detail"]
    assert (await http.get("/book/count", params={"at": at, "year": 1})).status_code == 400
    cursor = (await http.get("/book", params={"at": at, "limit": 1})).json()["next_cursor"]
    assert (await http.get("/book", params={"at": at, "limit": 2, "cursor": cursor})).status_code == 200
    for other in ({}, {"at": times[1]}):
        refused = await http.get("/book", params={**other, "cursor": cursor})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "cursor")
    for time in ("yesterday", "2026-01-01T00:00:00", "1.5", "9999-12-31T23:59:59-12:00", ""):
        for path in ("/book", "/book/count"):
            response = await http.get(path, params={"at": time})
            assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "at")
    assert await _years(http, at="0001-01-01T00:00:00Z") == []


async def test_temporal_model_is_filtered_and_sorted_at_a_time(serve: Serve) -> None:
    """By the values of then, in pages, with counts."""
    async with serve(temporal=True) as http:
        locations = [(await created(http, title=f"t{year}", year=year)).headers["location"] for year in (3, 1, 2)]
        before = (await http.get(locations[2])).json()["meta"]["updated_time"]
        moved = await _time_of(await http.put(locations[0], json={"title": "new", "year": 0}))
        await http.delete(locations[1])
        orders = {"year": [1, 2, 3], "-year": [3, 2, 1], "-title": [3, 2, 1], "version": [3, 1, 2]}
        for sort, expected in orders.items():
            assert await _years(http, at=before, sort=sort) == expected, sort
        assert await _years(http, at=before, year__gte=2, sort="year") == [2, 3]
        assert await _years(http, at=before, qb='QB["title"].eq("t3") | QB["year"].lt(2)', sort="year") == [1, 3]
        assert await _years(http, at=moved, qb='QB["title"].eq("t3") | QB["year"].lt(2)', sort="year") == [0, 1]
        assert await _years(http, year__gte=1) == [2]
        assert await _years(http, at=moved, is_deleted="true") == []
        assert await _years(http, at="9999-12-31T23:59:59.999999Z", is_deleted="true") == [1]
        cursor = (await http.get("/book", params={"at": before, "sort": "year", "limit": 1})).json()["next_cursor"]
        refused = await http.get("/book", params={"at": moved, "sort": "year", "limit": 1, "cursor": cursor})
        assert refused.status_code == 400
