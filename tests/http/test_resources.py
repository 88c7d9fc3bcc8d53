"""Create, read, replace, delete, restore and purge over HTTP."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.http.conftest import Serve, created


async def test_create_returns_location_etag_and_envelope(http: httpx.AsyncClient) -> None:
    """The status is 201."""
    response = await http.post("/book", json={"title": "Emma", "year": 1815})
    body = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/book/{body['meta']['resource_id']}"
    assert response.headers["etag"].startswith('"1-')
    assert body["data"] == {"title": "Emma", "year": 1815, "isbn": None, "price": None}
    assert body["meta"]["version"] == body["meta"]["total_revision_count"] == 1
    assert body["revision_info"]["revision_id"] == body["meta"]["current_revision_id"]
    read = await http.get(response.headers["location"])
    assert (read.status_code, read.json()) == (200, body)
    assert read.headers["etag"] == response.headers["etag"]


async def test_returns_selects_parts_of_the_envelope(http: httpx.AsyncClient) -> None:
    """On every route with an envelope."""
    location = (await created(http)).headers["location"]
    assert set((await http.get(location, params={"returns": "data"})).json()) == {"data"}
    assert set((await http.get(location, params={"returns": "meta,revision_info"})).json()) == {"meta", "revision_info"}
    assert set((await http.post("/book?returns=meta", json={"title": "x"})).json()) == {"meta"}
    assert set((await http.put(f"{location}?returns=data", json={"title": "x"})).json()) == {"data"}
    assert set((await http.post(f"{location}/restore?returns=data")).json()) == {"data"}
    page = (await http.get("/book?returns=data")).json()
    assert [set(item) for item in page["items"]] == [{"data"}, {"data"}]
    response = await http.get(location, params={"returns": "data,everything"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "returns")


async def test_replace_appends_a_revision(http: httpx.AsyncClient) -> None:
    """Version and ETag change, the creation time stays, and the parent is the revision before."""
    first = await created(http)
    second = await http.put(first.headers["location"], json={"title": "Persuasion"})
    before, after = first.json(), second.json()
    assert second.status_code == 200
    assert after["data"]["title"] == "Persuasion"
    assert after["meta"]["version"] == after["meta"]["total_revision_count"] == 2
    assert after["meta"]["created_time"] == before["meta"]["created_time"] <= after["meta"]["updated_time"]
    assert after["revision_info"]["parent_revision_id"] == before["meta"]["current_revision_id"]
    assert second.headers["etag"] != first.headers["etag"]


async def test_replace_with_equal_data_changes_nothing(http: httpx.AsyncClient) -> None:
    """No revision, no version, the same ETag."""
    first = await created(http, year=1815)
    again = await http.put(first.headers["location"], json={"year": 1815, "title": "Emma"})
    assert (again.status_code, again.json()) == (200, first.json())


async def test_stale_if_match_is_412_on_every_write(http: httpx.AsyncClient) -> None:
    """Nothing changes. A list with the current tag is accepted."""
    first = await created(http)
    location, old = first.headers["location"], first.headers["etag"]
    new = (await http.put(location, json={"title": "b"}, headers={"If-Match": old})).headers["etag"]
    stale = {"If-Match": f'"x", {old}, W/{new}'}
    for request in (
        http.put(location, json={"title": "c"}, headers=stale),
        http.delete(location, headers=stale),
        http.post(f"{location}/restore", headers=stale),
        http.delete(f"{location}/permanently", headers=stale),
    ):
        response = await request
        assert (response.status_code, response.headers["etag"]) == (412, new)
        assert response.json()["code"] == "precondition_failed"
    assert (await http.get(location)).headers["etag"] == new
    assert (await http.put(location, json={"title": "c"}, headers={"If-Match": f'"x", {new}'})).status_code == 200
    assert (await http.delete(location, headers={"If-Match": "*"})).status_code == 204
    malformed = await http.put(location, json={"title": "d"}, headers={"If-Match": "unquoted"})
    assert (malformed.status_code, malformed.json()["errors"][0]["field"]) == (400, "If-Match")


async def test_4_concurrent_writes_with_one_if_match_accept_one(http: httpx.AsyncClient) -> None:
    """Invariant 4, over HTTP."""
    first = await created(http)
    location, headers = first.headers["location"], {"If-Match": first.headers["etag"]}
    puts = [http.put(location, json={"title": f"t{number}"}, headers=headers) for number in range(25)]
    responses = await asyncio.gather(*puts)
    assert sorted(response.status_code for response in responses) == [200, *[412] * 24]
    (winner,) = (response for response in responses if response.status_code == 200)
    assert (await http.get(location)).json() == winner.json()


async def test_writes_without_a_precondition_all_apply(http: httpx.AsyncClient) -> None:
    """None fails and none is lost."""
    location = (await created(http)).headers["location"]
    responses = await asyncio.gather(*(http.put(location, json={"title": f"t{number}"}) for number in range(25)))
    assert {response.status_code for response in responses} == {200}
    assert sorted(response.json()["meta"]["version"] for response in responses) == list(range(2, 27))


async def test_put_with_if_none_match_creates_once(http: httpx.AsyncClient) -> None:
    """Of many concurrent requests one creates; the others are 412."""
    headers = {"If-None-Match": "*"}
    puts = [http.put("/book/emma", json={"title": f"t{number}"}, headers=headers) for number in range(20)]
    responses = await asyncio.gather(*puts)
    assert sorted(response.status_code for response in responses) == [201, *[412] * 19]
    assert next(r for r in responses if r.status_code == 201).headers["location"] == "/book/emma"
    response = await http.put("/book/emma", json={"title": "x"}, headers={"If-None-Match": '"x"'})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "If-None-Match")


async def test_delete_is_410_until_restored(http: httpx.AsyncClient) -> None:
    """The resource is readable on request."""
    first = await created(http)
    location = first.headers["location"]
    assert (await http.delete(location)).status_code == 204
    for response in (
        await http.get(location),
        await http.put(location, json={"title": "x"}),
        await http.delete(location),
    ):
        assert (response.status_code, response.json()["code"]) == (410, "deleted")
    shown = await http.get(location, params={"include_deleted": "true"})
    assert shown.json()["data"] == first.json()["data"]
    assert shown.json()["meta"]["is_deleted"] is True
    restored = await http.post(f"{location}/restore")
    assert (restored.status_code, restored.json()["meta"]["version"]) == (200, 3)
    again = await http.post(f"{location}/restore")
    assert again.json() == restored.json() == (await http.get(location)).json()


async def test_purge_is_404_forever(http: httpx.AsyncClient) -> None:
    """Also after a soft delete. The id can be used anew, and an old ETag does not match."""
    old = await http.put("/book/emma", json={"title": "Emma"}, headers={"If-None-Match": "*"})
    assert (await http.delete("/book/emma")).status_code == 204
    assert (await http.delete("/book/emma/permanently")).status_code == 204
    for response in (
        await http.get("/book/emma?include_deleted=true"),
        await http.post("/book/emma/restore"),
        await http.delete("/book/emma/permanently"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
    new = await http.put("/book/emma", json={"title": "Emma"}, headers={"If-None-Match": "*"})
    assert (new.status_code, new.json()["meta"]["version"]) == (201, 1)
    stale = await http.put("/book/emma", json={"title": "x"}, headers={"If-Match": old.headers["etag"]})
    assert stale.status_code == 412


async def test_taken_unique_value_is_409_with_the_field(http: httpx.AsyncClient) -> None:
    """On create, replace and restore."""
    first = await created(http, isbn="1")
    second = await created(http, isbn="2")
    await http.delete(first.headers["location"])
    third = await created(http, isbn="1")
    for response in (
        await http.post("/book", json={"title": "x", "isbn": "1"}),
        await http.put(second.headers["location"], json={"title": "x", "isbn": "1"}),
        await http.post(f"{first.headers['location']}/restore"),
    ):
        problem = response.json()
        assert (response.status_code, problem["code"]) == (409, "unique_violation")
        assert problem["errors"][0]["field"] == "isbn"
    assert (await http.get(third.headers["location"])).json() == third.json()


@pytest.mark.parametrize("resource_id", ["%20", "a%00b", "-a", "a:1", "ä", "x" * 129, "a%2Cb", "%F0%9F%8E%AC"])
async def test_invalid_id_is_400(http: httpx.AsyncClient, resource_id: str) -> None:
    """Before any storage is read."""
    for method in ("GET", "PUT", "DELETE"):
        body = {"title": "x"} if method == "PUT" else None
        response = await http.request(method, f"/book/{resource_id}", json=body)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "resource_id")


async def test_route_name_as_id_is_refused(http: httpx.AsyncClient) -> None:
    """The resource could not be reached."""
    response = await http.put("/book/count", json={"title": "x"}, headers={"If-None-Match": "*"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "resource_id")


async def test_unknown_id_is_404(http: httpx.AsyncClient) -> None:
    """On every route of one resource."""
    for response in (
        await http.get("/book/nobody"),
        await http.put("/book/nobody", json={"title": "x"}),
        await http.delete("/book/nobody"),
        await http.post("/book/nobody/restore"),
        await http.delete("/book/nobody/permanently"),
    ):
        assert (response.status_code, response.json()["code"]) == (404, "not_found")
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, None),
        (b"{", 400, None),
        (b'{"title": "x",}', 400, None),
        (b'{"title": "\xff"}', 400, None),
        (b'{"title": "\\ud800"}', 400, None),
        (b"[" * 100_000, 413, None),
        (b"[" * 3000, 400, None),
        (b"null", 422, "(body)"),
        (b"[]", 422, "(body)"),
        (b'{"year": 1}', 422, "title"),
        (b'{"title": ""}', 422, "title"),
        (b'{"title": 1}', 422, "title"),
        (b'{"title": "x", "year": "soon"}', 422, "year"),
        (b'{"title": "x", "year": 9223372036854775808}', 422, "year"),
        (b'{"title": "a\\u0000b"}', 422, "title"),
        (b'{"title": "x", "price": NaN}', 422, "price"),
        (b'{"title": "x", "price": -Infinity}', 422, "price"),
        (b'{"title": "x", "price": 1e999}', 422, "price"),
        (b'{"title": "' + b"x" * 5000 + b'"}', 413, None),
    ],
)
async def test_invalid_body_is_4xx_and_stores_nothing(
    http: httpx.AsyncClient, body: bytes, status: int, field: str | None
) -> None:
    """The error names the field."""
    location = (await created(http)).headers["location"]
    headers = {"Content-Type": "application/json"}
    for response in (
        await http.post("/book", content=body, headers=headers),
        await http.put(location, content=body, headers=headers),
    ):
        problem = response.json()
        assert (response.status_code, problem["status"]) == (status, status)
        assert response.headers["content-type"] == "application/problem+json"
        assert field is None or field in [error["field"] for error in problem["errors"]]
    assert (await http.get("/book/count")).json() == {"count": 1}
    assert (await http.get(location)).json()["meta"]["version"] == 1


async def test_chunked_body_stops_at_the_limit(serve: Serve) -> None:
    """The limit applies to received bytes."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 100

    async with serve(max_body_bytes=1000) as http:
        response = await http.post("/book", content=endless(), headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


async def test_other_media_type_is_415(http: httpx.AsyncClient) -> None:
    """Only JSON types are read."""
    for media_type, status in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 201),
        ("application/vnd.book+json", 201),
    ]:
        response = await http.post("/book", content=b'{"title": "x"}', headers={"Content-Type": media_type})
        assert response.status_code == status


async def test_unknown_parameter_is_400(http: httpx.AsyncClient) -> None:
    """On every route."""
    location = (await created(http)).headers["location"]
    for response in (
        await http.get("/book?titel=x"),
        await http.get("/book/count?limit=1"),
        await http.get(f"{location}?return=data"),
        await http.delete(f"{location}?force=1"),
        await http.get("/book?limit=1&limit=2"),
    ):
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
