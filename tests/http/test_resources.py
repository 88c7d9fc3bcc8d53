"""Create, read, replace, delete, restore and erase, as an HTTP client sees them."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.http.conftest import Serve, created


async def test_create_answers_where_the_resource_is(http: httpx.AsyncClient) -> None:
    """201, Location, ETag and the whole envelope."""
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


async def test_returns_cuts_the_envelope(http: httpx.AsyncClient) -> None:
    """On every route that answers with an envelope."""
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
    """The version and the ETag move on, the creation time does not; the parent is the revision before."""
    first = await created(http)
    second = await http.put(first.headers["location"], json={"title": "Persuasion"})
    before, after = first.json(), second.json()
    assert second.status_code == 200
    assert after["data"]["title"] == "Persuasion"
    assert after["meta"]["version"] == after["meta"]["total_revision_count"] == 2
    assert after["meta"]["created_time"] == before["meta"]["created_time"] <= after["meta"]["updated_time"]
    assert after["revision_info"]["parent_revision_id"] == before["meta"]["current_revision_id"]
    assert second.headers["etag"] != first.headers["etag"]


async def test_the_same_data_again_changes_nothing(http: httpx.AsyncClient) -> None:
    """No revision, no version, the same ETag."""
    first = await created(http, year=1815)
    again = await http.put(first.headers["location"], json={"year": 1815, "title": "Emma"})
    assert (again.status_code, again.json()) == (200, first.json())


async def test_if_match_guards_every_write(http: httpx.AsyncClient) -> None:
    """412 with the current ETag, and nothing is changed; with the right tag, among others, it goes on."""
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


async def test_of_many_writers_with_one_if_match_exactly_one_wins(http: httpx.AsyncClient) -> None:
    """Invariant 4, over HTTP."""
    first = await created(http)
    location, headers = first.headers["location"], {"If-Match": first.headers["etag"]}
    puts = [http.put(location, json={"title": f"t{number}"}, headers=headers) for number in range(25)]
    responses = await asyncio.gather(*puts)
    assert sorted(response.status_code for response in responses) == [200, *[412] * 24]
    (winner,) = (response for response in responses if response.status_code == 200)
    assert (await http.get(location)).json() == winner.json()


async def test_without_a_precondition_every_write_is_applied(http: httpx.AsyncClient) -> None:
    """Each goes on top of the newest state: none fails, and none is lost."""
    location = (await created(http)).headers["location"]
    responses = await asyncio.gather(*(http.put(location, json={"title": f"t{number}"}) for number in range(25)))
    assert {response.status_code for response in responses} == {200}
    assert sorted(response.json()["meta"]["version"] for response in responses) == list(range(2, 27))


async def test_put_creates_with_a_chosen_id_exactly_once(http: httpx.AsyncClient) -> None:
    """`If-None-Match: *`: of many at once one creates, the others are 412."""
    headers = {"If-None-Match": "*"}
    puts = [http.put("/book/emma", json={"title": f"t{number}"}, headers=headers) for number in range(20)]
    responses = await asyncio.gather(*puts)
    assert sorted(response.status_code for response in responses) == [201, *[412] * 19]
    assert next(r for r in responses if r.status_code == 201).headers["location"] == "/book/emma"
    response = await http.put("/book/emma", json={"title": "x"}, headers={"If-None-Match": '"x"'})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "If-None-Match")


async def test_delete_is_soft_and_restore_undoes_it(http: httpx.AsyncClient) -> None:
    """410 while deleted, readable on request, back after a restore."""
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


async def test_permanently_means_permanently(http: httpx.AsyncClient) -> None:
    """404 afterwards, also for what was deleted before; the id can be used anew, and an old ETag does not fit it."""
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


async def test_a_unique_value_is_409_with_the_field(http: httpx.AsyncClient) -> None:
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
async def test_an_id_that_nothing_can_have_is_400(http: httpx.AsyncClient, resource_id: str) -> None:
    """Before any storage is asked."""
    for method in ("GET", "PUT", "DELETE"):
        body = {"title": "x"} if method == "PUT" else None
        response = await http.request(method, f"/book/{resource_id}", json=body)
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "resource_id")


async def test_the_name_of_a_route_is_no_id(http: httpx.AsyncClient) -> None:
    """Nobody could read such a resource."""
    response = await http.put("/book/count", json={"title": "x"}, headers={"If-None-Match": "*"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "resource_id")


async def test_an_unknown_id_is_404(http: httpx.AsyncClient) -> None:
    """On every route of one resource, as a problem."""
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
async def test_bad_bodies_are_told_and_nothing_is_stored(
    http: httpx.AsyncClient, body: bytes, status: int, field: str | None
) -> None:
    """Malformed, mistyped, too long: a clear 4xx that names the field."""
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


async def test_a_body_without_an_announced_length_stops_at_the_limit(serve: Serve) -> None:
    """The limit holds for what arrives, not for what is announced."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b" " * 100

    async with serve(max_body_bytes=1000) as http:
        response = await http.post("/book", content=endless(), headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


async def test_other_media_types_are_415(http: httpx.AsyncClient) -> None:
    """JSON and its kin are read, and nothing else is guessed."""
    for media_type, status in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 201),
        ("application/vnd.book+json", 201),
    ]:
        response = await http.post("/book", content=b'{"title": "x"}', headers={"Content-Type": media_type})
        assert response.status_code == status


async def test_unknown_parameters_are_told(http: httpx.AsyncClient) -> None:
    """On every route; a typing error must not go unseen."""
    location = (await created(http)).headers["location"]
    for response in (
        await http.get("/book?titel=x"),
        await http.get("/book/count?limit=1"),
        await http.get(f"{location}?return=data"),
        await http.delete(f"{location}?force=1"),
        await http.get("/book?limit=1&limit=2"),
    ):
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
