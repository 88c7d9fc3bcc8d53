"""Lists and counts over HTTP."""

import httpx
import pytest
from fastapi import FastAPI

from autocrud import AutoCRUD
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Book, created, serving


async def walk(http: httpx.AsyncClient, url: str) -> list[str]:
    """Return the titles on all pages, by following the links."""
    titles: list[str] = []
    while True:
        response = await http.get(url)
        assert response.status_code == 200
        page = response.json()
        titles += [item["data"]["title"] for item in page["items"]]
        if page["next_cursor"] is None:
            assert "link" not in response.headers
            return titles
        target, _, relation = response.headers["link"].partition("; ")
        assert relation == 'rel="next"'
        url = target[1:-1]
        assert page["next_cursor"] in url


async def test_list_is_newest_first_in_pages_of_any_size(http: httpx.AsyncClient) -> None:
    """Each resource is seen once."""
    for number in range(7):
        await created(http, title=f"t{number}")
    expected = [f"t{number}" for number in range(6, -1, -1)]
    for limit in (1, 2, 3, 7, 1000):
        assert await walk(http, f"/book?limit={limit}") == expected
    assert len((await http.get("/book")).json()["items"]) == 7


async def test_pages_stay_stable_under_inserts_and_deletes(http: httpx.AsyncClient) -> None:
    """Earlier resources are neither repeated nor hidden."""
    locations = [(await created(http, title=f"t{number}")).headers["location"] for number in range(6)]
    page = (await http.get("/book?limit=2")).json()
    await created(http, title="new")
    await http.delete(locations[4])
    rest = await walk(http, f"/book?limit=2&cursor={page['next_cursor']}")
    assert [item["data"]["title"] for item in page["items"]] + rest == ["t5", "t4", "t3", "t2", "t1", "t0"]


async def test_filter_by_equality_selects_typed_values(http: httpx.AsyncClient) -> None:
    """On lists and counts, in pages."""
    for title, year in [("a", 1), ("b", 2), ("a", 2), ("A", 2), ("a&b=c", None)]:
        await created(http, title=title, year=year)
    assert await walk(http, "/book?year=2&limit=1") == ["A", "a", "b"]
    assert await walk(http, "/book?title=a&year=2") == ["a"]
    assert await walk(http, "/book?title=a%26b%3Dc&limit=1") == ["a&b=c"]
    assert await walk(http, "/book?year=3") == []
    assert (await http.get("/book/count?title=a")).json() == {"count": 2}
    assert (await http.get("/book/count")).json() == {"count": 5}


async def test_include_deleted_lists_deleted_resources(http: httpx.AsyncClient) -> None:
    """And counts them."""
    location = (await created(http, title="gone")).headers["location"]
    await created(http, title="there")
    await http.delete(location)
    assert await walk(http, "/book") == ["there"]
    assert await walk(http, "/book?include_deleted=true&limit=1") == ["there", "gone"]
    assert (await http.get("/book/count?include_deleted=true")).json() == {"count": 2}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=", "limit"),
        ("limit=1e1", "limit"),
        ("cursor=", "cursor"),
        ("cursor=nonsense", "cursor"),
        ("cursor=%F0%9F%8E%AC", "cursor"),
        ("cursor=WzEsMiwzXQ", "cursor"),
        ("cursor=" + "Ww" * 3000, "cursor"),
        ("include_deleted=perhaps", "include_deleted"),
        ("year=soon", "year"),
        ("year=9223372036854775808", "year"),
        ("year=", "year"),
        ("title=a%00b", "title"),
        ("price=1", "price"),
        ("title'; DROP TABLE book_resources; --=x", "title'; DROP TABLE book_resources; --"),
    ],
)
async def test_invalid_parameter_is_400_with_its_name(http: httpx.AsyncClient, query: str, field: str) -> None:
    """The message has the accepted values."""
    await created(http)
    response = await http.get(f"/book?{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert response.json()["errors"][0]["field"] == field


async def test_cursor_of_another_query_is_refused(http: httpx.AsyncClient) -> None:
    """Other filters would skip or repeat resources."""
    for _ in range(3):
        await created(http, year=1)
    cursor = (await http.get("/book?year=1&limit=1")).json()["next_cursor"]
    assert (await http.get(f"/book?year=1&limit=2&cursor={cursor}")).status_code == 200
    for other in ("", "year=2&", "include_deleted=true&year=1&"):
        response = await http.get(f"/book?{other}cursor={cursor}")
        assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "cursor")


async def test_refused_filter_lists_the_index_fields(http: httpx.AsyncClient) -> None:
    """In the message."""
    detail = (await http.get("/book?price=1")).json()["detail"]
    assert "isbn" in detail
    assert "title" in detail
    assert "year" in detail


async def test_cursor_of_another_model_is_refused() -> None:
    """Although both models have equal fields."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book)
    crud.add_model(Book, name="pamphlet")
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        for year in (1, 2):
            await created(http, year=year)
        for query in ("?limit=1", "/aggregate?group_by=year&limit=1"):
            cursor = (await http.get(f"/book{query}")).json()["next_cursor"]
            assert (await http.get(f"/book{query}&cursor={cursor}")).status_code == 200
            response = await http.get(f"/pamphlet{query}&cursor={cursor}")
            assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "cursor")
