"""Deletes and restores by filter, on each backend."""

import httpx

from tests.http.conftest import Book, Serve, created


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
        assert (await http.request("DELETE", "/book", params={"year": "1"})).status_code == 405
        assert (await http.post("/book/bulk", json=[])).json()["code"] == "route_not_found"
