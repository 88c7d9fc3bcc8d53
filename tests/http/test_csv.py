"""CSV of lists and exports, by `Accept: text/csv`."""

import csv
import io

import httpx
import pytest

from tests.http.conftest import created
from tests.http.openapi_helpers import example_of, resolve

CSV = {"Accept": "text/csv"}


def rows_of(response: httpx.Response) -> list[dict[str, str]]:
    """Return the rows of a CSV answer."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert response.headers["vary"] == "Accept"
    return list(csv.DictReader(io.StringIO(response.text, newline=""), strict=True))


async def test_list_as_csv_has_the_page(http: httpx.AsyncClient) -> None:
    """With filters, order, masks and the link to the next page."""
    for year, title in ((1815, "Emma"), (1813, '=cmd|"x"'), (1811, "Sense, Sensibility")):
        await created(http, title=title, year=year)
    first = await http.get("/book", params={"sort": "year", "limit": 2, "year__gt": 1800}, headers=CSV)
    assert [(row["title"], row["year"], row["isbn"]) for row in rows_of(first)] == [
        ("Sense, Sensibility", "1811", ""),
        ('\'=cmd|"x"', "1813", ""),
    ]
    assert rows_of(first)[0]["version"] == "1"
    second = await http.get(first.links["next"]["url"], headers=CSV)
    assert [row["title"] for row in rows_of(second)] == ["Emma"]
    masked = await http.get("/book", params={"fields": "title", "returns": "data", "limit": 1}, headers=CSV)
    assert masked.text == 'title\r\n"Sense, Sensibility"\r\n'


async def test_export_as_csv_has_all_resources(http: httpx.AsyncClient) -> None:
    """In order of id, with filters."""
    ids = sorted([(await created(http, year=year)).json()["meta"]["resource_id"] for year in range(30)])
    rows = rows_of(await http.get("/book/export", headers=CSV))
    assert [row["resource_id"] for row in rows] == ids
    assert len(rows_of(await http.get("/book/export?year__lt=3", headers=CSV))) == 3
    head = await http.head("/book/export", headers=CSV)
    assert (head.headers["content-type"][:8], head.content) == ("text/csv", b"")


@pytest.mark.parametrize("path", ["export?history=true", "export?blobs=true", "?count=exact"])
async def test_csv_refuses_parts_that_a_table_cannot_show(http: httpx.AsyncClient, path: str) -> None:
    """Rows of other kinds, and a total."""
    response = await http.get(f"/book/{path}" if path[0] != "?" else f"/book{path}", headers=CSV)
    assert (response.status_code, response.json()["errors"][0]["message"]) == (400, "is not available as CSV")


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/csv;q=0.5,application/json", "text/csv, */*"])
async def test_other_clients_get_json_that_varies(http: httpx.AsyncClient, accept: str) -> None:
    """Ties go to JSON."""
    await created(http)
    response = await http.get("/book", headers={"Accept": accept})
    assert response.json()["items"]
    assert response.headers["vary"] == "Accept"
    problem = await http.get("/book?no=1", headers={"Accept": accept})
    assert (problem.status_code, problem.headers["vary"]) == (400, "Accept")


async def test_openapi_has_csv_as_media_type(http: httpx.AsyncClient) -> None:
    """Of lists and exports."""
    document = (await http.get("/openapi.json")).json()
    for path, other in (("/book", "application/json"), ("/book/export", "application/x-ndjson")):
        content = resolve(document, document["paths"][path]["get"]["responses"]["200"])["content"]
        assert list(content) == [other, "text/csv"]
        assert example_of(document, content["text/csv"]).startswith("resource_id,version,")
