"""Filters, expressions and orders over HTTP, on each backend."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field

from autocrud import AutoCRUD, Index
from autocrud.errors import ConfigurationError
from autocrud.routes.request.filters import RESERVED
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve, serving
from tests.http.openapi_helpers import operations_of, parameters_of, resolve


class Genre(StrEnum):
    """A genre."""

    jazz = "jazz"
    noise = "noise"


class Record(BaseModel):
    """A record in a shop."""

    title: Annotated[str, Index()]
    genre: Annotated[Genre | None, Index()] = None
    price: Annotated[Decimal | None, Index()] = None
    released: Annotated[date | None, Index()] = None
    stock: Annotated[int, Index()] = 0
    limit: Annotated[int | None, Index()] = None
    note: str = Field("", examples=["scratched"])


RECORDS: list[dict[str, Any]] = [
    {"title": "Kind of Blue", "genre": "jazz", "price": "9.90", "released": "1959-08-17", "stock": 3},
    {"title": "Blue, Train", "genre": "jazz", "price": "12", "released": "1958-01-01", "stock": 0},
    {"title": "STRASSE", "genre": "noise", "price": "9.9", "limit": 1},
    {"title": "Straße", "genre": None, "price": None, "stock": 7, "limit": 2},
]

QUERIES = [
    ("stock=3", "Kind of Blue"),
    ("stock__gte=3", "Kind of Blue;Straße"),
    ("stock__between=0,3", "Kind of Blue;Blue, Train;STRASSE"),
    ("stock__gt=0&genre=jazz", "Kind of Blue"),
    ("price=9.90", "Kind of Blue;STRASSE"),
    ("price__lt=10.0", "Kind of Blue;STRASSE"),
    ("price__ne=9.9", "Blue, Train;Straße"),
    ("price__is_null=true", "Straße"),
    ("genre__in=jazz,noise", "Kind of Blue;Blue, Train;STRASSE"),
    ("genre__in=jazz&genre__in=noise", "Kind of Blue;Blue, Train;STRASSE"),
    ("genre__not_in=jazz", "STRASSE;Straße"),
    ("released__gte=1959-01-01", "Kind of Blue"),
    ("title__icontains=strasse", "STRASSE;Straße"),
    ("title__contains=Blue", "Kind of Blue;Blue, Train"),
    ("title__starts_with=Blue", "Blue, Train"),
    ("title__ends_with=Blue", "Kind of Blue"),
    ("title__regex=^[KS].*e$", "Kind of Blue;Straße"),
    ('title__in="Blue, Train",STRASSE', "Blue, Train;STRASSE"),
    ("limit__eq=2", "Straße"),
    ("limit__lte=2&limit=1000", "STRASSE;Straße"),
    ("created_time__gte=2026-01-01", "Kind of Blue;Blue, Train;STRASSE;Straße"),
    ("created_time__lt=2026-01-01", ""),
    ("version=1&is_deleted=false&status=stable", "Kind of Blue;Blue, Train;STRASSE;Straße"),
    ('qb=QB["stock"].gte(3) %26 (QB["genre"] == "jazz")', "Kind of Blue"),
    ('qb=~(QB["genre"] == "jazz") | (QB["stock"] > 2)', "Kind of Blue;STRASSE;Straße"),
    ('qb=QB["price"] <= 10.5&genre=noise', "STRASSE"),
    ('qb=QB["genre"].in_(["noise", "jazz"]) %26 ~QB["stock"].eq(0)', "Kind of Blue"),
    ('qb=QB["released"].eq(None)', "STRASSE;Straße"),
    ("sort=title", "Blue, Train;Kind of Blue;STRASSE;Straße"),
    ("sort=-stock,title", "Straße;Kind of Blue;Blue, Train;STRASSE"),
    ("sort=released", "Blue, Train;Kind of Blue;STRASSE;Straße"),
    ("sort=-released", "Kind of Blue;Blue, Train;Straße;STRASSE"),
    ("sort=price,-title", "STRASSE;Kind of Blue;Blue, Train;Straße"),
]


async def test_filters_select_the_expected_resources(serve: Serve) -> None:
    """Whole and page by page. Counts agree."""
    async with serve(Record) as http:
        for record in RECORDS:
            assert (await http.post("/record", json=record)).status_code == 201
        for query, expected in QUERIES:
            titles = expected.split(";") if expected else []
            found = await walk(http, query)
            assert found == titles if "sort=" in query else set(found) == set(titles), query
            if "sort=" not in query and "&limit=1000" not in query:
                assert (await http.get(f"/record/count?{query}")).json() == {"count": len(titles)}, query


async def walk(http: httpx.AsyncClient, query: str) -> list[str]:
    """Return the titles in pages of two, unless the query has a limit. Check `total` on each page."""
    url, titles, totals = f"/record?{query}", list[str](), set[int]()
    url += "&count=exact" if "limit=1000" in query else "&count=exact&limit=2"
    cursor = ""
    while True:
        response = await http.get(url + cursor)
        assert response.status_code == 200, response.text
        page = response.json()
        titles += [item["data"]["title"] for item in page["items"]]
        totals.add(page["total"])
        if page["next_cursor"] is None:
            assert totals == {len(titles)}
            return titles
        cursor = f"&cursor={page['next_cursor']}"


REFUSED = [
    ("note=x", "note", "title"),
    ("note__gte=x", "note__gte", "title"),
    ("stock__icontains=x", "stock__icontains", "between"),
    ("stock__gte=many", "stock__gte", "integer"),
    ("stock__gte=1&stock__gte=2", "stock__gte", "more than once"),
    ("stock__between=1", "stock__between", "two"),
    ("genre=rock", "genre", "jazz"),
    ("price__is_null=perhaps", "price__is_null", "true or false"),
    ("title__regex=(", "title__regex", "too early"),
    ("title__regex=(a*)\\1", "title__regex", ""),
    ("stock__in=", "stock__in", "integer"),
    ("created_time__gte=0.5", "created_time__gte", "not as a number"),
    ("released=1", "released", "not as a number"),
    ('title__in="x', "title__in", ""),
    ("limit=x", "limit", ""),
    ("sort=note", "sort", "title"),
    ("sort=title,-title", "sort", "twice"),
    ("sort=", "sort", ""),
    ("count=some", "count", "exact"),
    ('qb=QB["note"].eq("x")', "note", "title"),
    ('qb=QB["stock"].gte("x")', "stock__gte", ""),
    ('qb=__import__("os").system("true")', "qb", ""),
    ('qb=QB["stock"].__class__', "qb", ""),
    ('qb=QB["stock"].gte(18) and QB["stock"].lt(20)', "qb", "& | ~"),
    ("qb=" + "~" * 100 + 'QB["stock"].eq(1)', "qb", "deep"),
    ("qb=" + " | ".join(['(QB["stock"]<1)'] * 201), "qb", "200"),
    ("qb=" + "(" * 3000 + ")" * 3000, "qb", ""),
    ("qb=" + "x" * 9000, "qb", "4000"),
    ("qb=%00", "qb", ""),
    ('qb=QB["\\ud800"].eq(1)', "qb", ""),
    ("title%27%3B DROP TABLE record_resources%3B --__eq=x", "title'; DROP TABLE record_resources; --__eq", "title"),
]


@pytest.mark.parametrize(("query", "field", "says"), REFUSED)
async def test_invalid_filter_is_400_with_the_alternatives(query: str, field: str, says: str) -> None:
    """The message names the parameter or the field."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Record)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        response = await http.get("/record", params=httpx.QueryParams(query))
        assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter"), response.text
        assert response.json()["errors"][0]["field"] == field
        assert says in response.json()["detail"]


async def test_cursor_of_another_query_or_order_is_refused(serve: Serve) -> None:
    """An equal query in another notation is accepted."""
    async with serve(Record) as http:
        for record in RECORDS:
            await http.post("/record", json=record)
        query = "stock__gte=0&genre__is_null=false&sort=-title&limit=1"
        cursor = (await http.get(f"/record?{query}")).json()["next_cursor"]
        for same in (query, "genre__is_null=false&stock__gte=0&sort=-title&limit=2"):
            assert (await http.get(f"/record?{same}&cursor={cursor}")).status_code == 200
        for other in (query.replace("0", "1"), query.replace("-title", "title"), query + "&include_deleted=true"):
            response = await http.get(f"/record?{other}&cursor={cursor}")
            assert (response.status_code, response.json()["errors"][0]["field"]) == (400, "cursor")


async def test_pages_in_any_order_stay_stable_while_others_write(serve: Serve) -> None:
    """Unchanged resources are seen exactly once."""
    async with serve(Record) as http:
        for number in range(12):
            await http.post("/record", json={"title": f"kept {number % 4}", "stock": number})
        seen, cursor, moved = list[int](), "", (await http.post("/record", json={"title": "a", "stock": 99})).json()
        while True:
            page = (await http.get(f"/record?sort=title,-stock&limit=3{cursor}")).json()
            seen += [item["data"]["stock"] for item in page["items"] if item["data"]["stock"] < 99]
            path = f"/record/{moved['meta']['resource_id']}"
            await http.put(path, json={"title": f"kept {len(seen) % 5}", "stock": 99})
            await http.post("/record", json={"title": f"kept {len(seen) % 3}", "stock": 100 + len(seen)})
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == [number for start in range(4) for number in range(8 + start, -1, -4)]


async def test_filter_by_is_deleted_includes_deleted(serve: Serve) -> None:
    """`include_deleted` is not needed."""
    async with serve(Record) as http:
        gone = (await http.post("/record", json=RECORDS[0])).headers["location"]
        await http.post("/record", json=RECORDS[1])
        await http.delete(gone)
        assert await walk(http, "is_deleted=true") == ["Kind of Blue"]
        assert await walk(http, "is_deleted=false") == ["Blue, Train"]
        assert await walk(http, 'qb=QB["is_deleted"] == True') == ["Kind of Blue"]


async def test_times_compare_as_moments(serve: Serve) -> None:
    """With any offset. A date is its beginning in UTC."""
    async with serve(Record) as http:
        created = (await http.post("/record", json=RECORDS[0])).json()["meta"]["created_time"]
        moment = datetime.fromisoformat(created)
        for text in (created, moment.astimezone(UTC).isoformat(), moment.isoformat().replace("+00:00", "Z")):
            params = {"created_time__gte": text, "created_time__lte": text}
            assert (await http.get("/record/count", params=params)).json() == {"count": 1}, text
        assert (await http.get(f"/record/count?created_time__gte={moment.date()}")).json() == {"count": 1}


def _document(model: type[BaseModel], style: Literal["compact", "full", "none"] = "compact") -> dict[str, Any]:
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), openapi_filters=style)
    crud.add_model(model)
    app = FastAPI()
    crud.apply(app)
    return app.openapi()


FILTER_PATHS = ("/record", "/record/count")


def _shown(document: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
    """Return the filters of a route by name."""
    return {name: item for name, item in parameters_of(document, path).items() if name not in RESERVED}


def test_full_openapi_has_each_filter_with_its_type() -> None:
    """Each operator of each field is a parameter."""
    document = _document(Record, "full")
    for path in FILTER_PATHS:
        by_name = _shown(document, path)
        assert by_name["stock__gte"]["schema"] == {"$ref": "#/components/schemas/FilterInteger"}
        assert by_name["genre__in"]["schema"]["items"] == {"$ref": "#/components/schemas/Genre"}
        assert by_name["genre__in"]["explode"] is False
        assert by_name["released"]["schema"] == {"type": "string", "format": "date"}
        assert by_name["created_time__lt"]["schema"] == {"type": "string", "format": "date-time"}
        assert by_name["price__is_null"]["schema"] == {"type": "boolean"}
        assert by_name["limit__eq"]["schema"] == {"$ref": "#/components/schemas/FilterInteger"}
        assert "limit" not in by_name
        assert "note" not in by_name


def test_compact_openapi_has_equality_filters_and_an_object_of_all_operators() -> None:
    """Each filter of the full form is there, either as a parameter or as a member of an object."""
    document, full = _document(Record), _document(Record, "full")
    schemas = document["components"]["schemas"]
    assert schemas["Genre"]["enum"] == ["jazz", "noise"]
    for path in FILTER_PATHS:
        by_name = _shown(document, path)
        assert by_name["filter"]["schema"] == {"$ref": "#/components/schemas/RecordFilter"}
        assert by_name["metadata"]["schema"] == {"$ref": "#/components/schemas/MetadataFilter"}
        for name in ("filter", "metadata"):
            item = by_name.pop(name)
            assert (item["style"], item["explode"], item["example"]) == ("form", True, {})
        members = schemas["RecordFilter"]["properties"] | schemas["MetadataFilter"]["properties"]
        assert not by_name.keys() & members.keys()
        assert by_name.keys() | members.keys() == _shown(full, path).keys()
        for name, item in _shown(full, path).items():
            shown = by_name[name]["schema"] if name in by_name else members[name]
            assert shown == item["schema"] or resolve(document, shown)["pattern"].endswith(("){0,999}$", "){1}$"))
        assert resolve(document, members["genre__in"])["pattern"] == "^(jazz|noise)(,(jazz|noise)){0,999}$"


def test_openapi_without_filters_lists_none_and_takes_them_still() -> None:
    """The setting changes the document, not the requests."""
    document = _document(Record, "none")
    assert not _shown(document, "/record")
    assert "RecordFilter" not in document["components"]["schemas"]
    assert "qb" in parameters_of(document, "/record")


def test_unknown_filter_style_is_refused() -> None:
    """The error names the argument and the choices."""
    style: Any = "short"
    with pytest.raises(ConfigurationError, match="openapi_filters must be one of compact, full, none, not 'short'"):
        AutoCRUD(openapi_filters=style)


def test_compact_filters_of_a_model_with_clashing_names() -> None:
    """Names of index fields win over names of the objects, and over names of metadata fields."""

    class Odd(BaseModel):
        filter: Annotated[str, Index()]
        version: Annotated[str, Index()]

    document = _document(Odd)
    assert _shown(document, "/odd").keys() == {"filter", "filters", "version", "metadata"}
    schemas = document["components"]["schemas"]
    assert schemas["OddMetadataFilter"]["properties"]["meta.version__gte"] == {
        "$ref": "#/components/schemas/FilterInteger"
    }
    assert schemas["OddFilter"]["properties"]["version__gte"] == {"$ref": "#/components/schemas/FilterText"}


def test_no_filter_has_a_parameter_name() -> None:
    """On any route with filters, so that a name has one meaning."""
    document = _document(Record)
    filters = {"title", "genre", "price", "released", "stock", "limit__eq", "filter", "metadata"}
    names = [
        {name for name, item in parameters_of(document, path, method).items() if item["in"] == "query"}
        for path, method, _ in operations_of(document)
    ]
    filtered = [found for found in names if "metadata" in found]
    assert len(filtered) > 4
    for found in filtered:
        assert found - filters <= RESERVED
