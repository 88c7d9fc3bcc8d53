"""Deletes, restores and patches by filter, on each backend."""

from typing import Any

import httpx

from tests.http.conftest import Book, Serve, created

MERGE = "application/merge-patch+json"


async def fill(http: httpx.AsyncClient) -> None:
    """Create books of three years."""
    operations = [{"op": "create", "data": {"title": f"b{n}", "year": 1800 + n % 3, "isbn": str(n)}} for n in range(30)]
    response = await http.post("/book/bulk", json=operations)
    assert response.json()["succeeded"] == 30


async def count(http: httpx.AsyncClient, **query: str) -> int:
    """Return the number of books."""
    number: int = (await http.get("/book/count", params=query)).json()["count"]
    return number


async def test_delete_by_filter_and_restore_change_matches_only(serve: Serve) -> None:
    """A dry run only counts."""
    async with serve(max_body_bytes=100_000) as http:
        await fill(http)
        where = {"year__lte": "1801", "isbn__ne": "4"}
        dry = await http.request("DELETE", "/book", params={**where, "dry_run": "true"})
        assert (dry.status_code, dry.json()) == (200, {"matched": 19})
        assert await count(http) == 30
        gone = await http.request("DELETE", "/book", params=where)
        assert gone.json() == {"matched": 19, "changed": 19}
        assert (await count(http), await count(http, year__lte="1801")) == (11, 1)
        assert (await http.request("DELETE", "/book", params=where)).json() == {"matched": 0, "changed": 0}
        asked = {"qb": 'QB["is_deleted"].eq(True) | QB["year"].eq(1802)', "year": "1800"}
        assert (await http.request("DELETE", "/book", params={**asked, "dry_run": "true"})).json() == {"matched": 0}
        assert (await http.request("DELETE", "/book", params=asked)).json() == {"matched": 0, "changed": 0}
        await created(http, isbn="3")
        back = (await http.post("/book/restore", params={"year": "1800", "dry_run": "true"})).json()
        assert back == {"matched": 10}
        back = (await http.post("/book/restore", params={"year": "1800"})).json()
        assert (back["matched"], back["changed"]) == (10, 9)
        assert [item["problem"]["code"] for item in back["refused"]] == ["unique_violation"]
        assert (await count(http), await count(http, year="1800")) == (21, 9)


async def test_delete_without_a_filter_is_refused(serve: Serve) -> None:
    """Also with an invalid filter."""
    async with serve(max_body_bytes=100_000) as http:
        await fill(http)
        for query in (
            {},
            {"dry_run": "true"},
            {"price": "1"},
            {"qb": "True"},
            {"year": "x"},
            {"limit": "5", "year": "1"},
        ):
            for method, path in (("DELETE", "/book"), ("POST", "/book/restore")):
                response = await http.request(method, path, params=query)
                assert response.status_code == 400, (query, response.text)
        assert await count(http) == 30


async def test_by_query_routes_are_separate_families(serve: Serve) -> None:
    """Each family can be left out."""
    async with serve(Book, routes=["create", "list", "delete"]) as http:
        for method in ("DELETE", "PATCH"):
            assert (await http.request(method, "/book", params={"year": "1"}, json={})).status_code == 405
        assert (await http.post("/book/bulk", json=[])).json()["code"] == "route_not_found"


async def patch(http: httpx.AsyncClient, where: dict[str, str], content: Any, **headers: str) -> httpx.Response:
    """Patch the books of a filter."""
    return await http.patch("/book", params=where, json=content, headers=headers)


async def test_patch_by_filter_changes_each_match_once(serve: Serve) -> None:
    """Also if the patch makes it match no longer, or another page. Equal data is no change."""
    async with serve(max_body_bytes=100_000) as http:
        operations = [{"op": "create", "data": {"title": "b", "year": 1800 + n % 2}} for n in range(1100)]
        assert (await http.post("/book/bulk", json=operations)).json()["succeeded"] == 1100
        (gone,) = (await http.get("/book?limit=1&year=1801")).json()["items"]
        await http.delete(f"/book/{gone['meta']['resource_id']}")
        dry = await patch(http, {"year": "1801", "dry_run": "true"}, {"title": 5})
        assert (dry.status_code, dry.json()) == (200, {"matched": 549})
        first = await patch(http, {"year__gte": "1800"}, {"year": 1801})
        assert first.json() == {"matched": 1099, "changed": 550, "unchanged": 549}
        moved = await patch(http, {"year": "1801"}, {"year": 1802}, **{"Content-Type": MERGE})
        assert moved.json() == {"matched": 1099, "changed": 1099, "unchanged": 0}
        assert (await count(http, year="1802"), await count(http, total_revision_count="3")) == (1099, 550)
        deleted = await patch(http, {"qb": 'QB["is_deleted"].eq(True)'}, {"year": 1803})
        assert deleted.json() == {"matched": 0, "changed": 0, "unchanged": 0}


async def test_patch_by_filter_refuses_invalid_results_and_goes_on(serve: Serve) -> None:
    """Each refused resource has its problem, and stays. The body and the filter are checked first."""
    async with serve(max_body_bytes=100_000, require_if_match=True) as http:
        await fill(http)
        answer = (await patch(http, {"isbn__in": "1,2,3"}, {"isbn": "x"})).json()
        assert (answer["matched"], answer["changed"], answer["unchanged"]) == (3, 1, 0)
        assert {item["problem"]["code"] for item in answer["refused"]} == {"unique_violation"}
        answer = (await patch(http, {"year": "1800"}, {"title": ""})).json()
        assert (answer["matched"], answer["changed"], len(answer["refused"])) == (10, 0, 10)
        assert answer["refused"][0]["problem"]["errors"][0]["field"] == "title"
        for where, content, headers, status in (
            ({}, {"year": 1}, {}, 400),
            ({"dry_run": "true"}, {"year": 1}, {}, 400),
            ({"price": "1"}, {"year": 1}, {}, 400),
            ({"year": "1800"}, [], {"Content-Type": "application/json-patch+json"}, 415),
        ):
            assert (await patch(http, where, content, **headers)).status_code == status, (where, headers)
        malformed = await http.patch("/book?year=1800&dry_run=true", content=b"{", headers={"Content-Type": MERGE})
        assert (malformed.status_code, malformed.json()["code"]) == (400, "malformed_body")
        options = await http.options("/book")
        assert options.headers["accept-patch"] == "application/merge-patch+json, application/json"
