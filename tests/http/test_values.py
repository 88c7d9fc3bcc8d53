"""Values on each backend: numbers, times of day, Pydantic's own types, and texts that are not valid Unicode."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    EmailStr,
    HttpUrl,
    IPvAnyAddress,
    Json,
    NaiveDatetime,
    PastDate,
    PositiveInt,
    SecretStr,
    StringConstraints,
    conint,
    field_serializer,
)

from autocrud import AutoCRUD, Index, Unique
from autocrud.errors import ConfigurationError, InvalidData, InvalidParameter
from autocrud.query.builder import QB
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve, serving

NDJSON = {"Content-Type": "application/x-ndjson"}
MERGE = {"Content-Type": "application/merge-patch+json"}
PATCH = {"Content-Type": "application/json-patch+json"}
JSON = {"Content-Type": "application/json"}


class Reading(BaseModel):
    """A reading of a meter, with fields of its own."""

    model_config = ConfigDict(extra="allow")

    price: Annotated[float | None, Index()] = None
    exact: Annotated[Decimal | None, Index()] = None
    anything: Any = None
    nested: dict[str, list[float]] = {}


class Constants(BaseModel):
    """A model that writes NaN as a constant."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    value: float | None = None


class Shop(BaseModel):
    """Opening times."""

    opens: Annotated[time | None, Index()] = None
    closes: Annotated[time | None, Unique()] = None
    breaks: Annotated[list[time], Index()] = []


class Host(BaseModel):
    """A host with fields of Pydantic's own types."""

    address: Annotated[IPv4Address | None, Unique()] = None
    any_address: Annotated[IPvAnyAddress | None, Index()] = None
    url: Annotated[HttpUrl | None, Unique()] = None
    links: Annotated[list[AnyUrl], Index()] = []
    seen: Annotated[AwareDatetime | None, Index()] = None
    local: Annotated[NaiveDatetime | None, Index()] = None
    built: Annotated[PastDate | None, Index()] = None
    cores: Annotated[PositiveInt | None, Index()] = None
    racks: Annotated[conint(gt=1), Index()] = 2  # type: ignore[valid-type]
    owner: Annotated[EmailStr | None, Index()] = None
    code: Annotated[str, StringConstraints(to_lower=True, strip_whitespace=True), Index()] = ""


def memory(model: type[Any] = Reading) -> FastAPI:
    """Return an application with one model in memory."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(model)
    crud.apply(app)
    return app


@pytest.fixture
async def readings() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of readings in memory."""
    async with serving(memory()) as http:
        yield http


async def put(http: httpx.AsyncClient, path: str, data: Any) -> None:
    """Create a resource with an id. Bytes and texts are sent as they are."""
    content = data if isinstance(data, str) else json.dumps(data)
    response = await http.put(path, content=content, headers={**JSON, "If-None-Match": "*"})
    assert response.status_code == 201, response.text


def fields_of(response: httpx.Response) -> list[str]:
    """Return the fields of a problem's errors."""
    return [error["field"] for error in response.json()["errors"]]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"price": %s}', "price"),
        ('{"extra": %s}', "extra"),
        ('{"anything": {"a": [1, %s]}}', "anything.a.1"),
        ('{"nested": {"a": [%s]}}', "nested.a.0"),
    ],
)
async def test_number_that_is_not_finite_is_422_with_its_field(
    readings: httpx.AsyncClient, number: str, body: str, field: str
) -> None:
    """In each way of writing."""
    data = body % number
    await put(readings, "/reading/a", {})
    for response in (
        await readings.post("/reading", content=data, headers=JSON),
        await readings.put("/reading/a", content=data, headers=JSON),
        await readings.patch("/reading/a", content=data, headers=MERGE),
    ):
        assert (response.status_code, response.json()["code"]) == (422, "invalid_data")
        assert fields_of(response) == [field]
    for operation in (f'{{"op": "create", "data": {data}}}', f'{{"op": "patch", "id": "a", "merge": {data}}}'):
        for content, headers in ((operation, NDJSON), (f"[{operation}]", JSON)):
            answer = (await readings.post("/reading/bulk", content=content, headers=headers)).json()
            result = answer if headers is NDJSON else answer["items"][0]
            assert (result["status"], result["problem"]["errors"][0]["field"]) == (422, field)
    imported = await readings.post("/reading/import", content=f'{{"data": {data}}}', headers=NDJSON)
    assert field in imported.text
    assert (await readings.get("/reading/count")).json() == {"count": 1}


async def test_number_that_is_not_finite_is_refused_in_python_and_with_constants() -> None:
    """A response never has a token that JSON lacks."""
    async with serving(memory(Constants)) as http:
        response = await http.post("/constants", content='{"value": Infinity}', headers=JSON)
        assert (response.status_code, fields_of(response)) == (422, ["value"])
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Reading)
    async with crud.running():
        with pytest.raises(InvalidData) as raised:
            await crud.manager(Reading).create({"other": Decimal("NaN")})
        assert [error.field for error in raised.value.errors] == ["other"]


@pytest.mark.parametrize("value", ["nan", "inf", "-Infinity", "1e999"])
async def test_filter_value_that_is_not_finite_is_400(serve: Serve, value: str) -> None:
    """On floats and decimals, in parameters and expressions."""
    async with serve(Reading) as http:
        for name in ("price", "price__gt", "exact__lt"):
            if (name, value) == ("exact__lt", "1e999"):
                continue  # a decimal, if a large one
            response = await http.get("/reading", params={name: value})
            assert (response.status_code, fields_of(response)) == (400, [name])
        expression = await http.get("/reading", params={"qb": 'QB["price"] > 1e999'})
        assert (expression.status_code, "finite" in expression.json()["detail"]) == (400, True)


async def test_where_value_that_is_not_finite_is_refused() -> None:
    """In the Python API."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Reading)
    async with crud.running():
        for where in ({"price": float("nan")}, QB["price"].gt(float("inf")), QB["exact"].eq(Decimal("Infinity"))):
            with pytest.raises(InvalidParameter, match="finite"):
                await crud.manager(Reading).search(where=where)


@pytest.mark.parametrize("number", ["1e999999999999999999999", "0.1e-99999999999999999999999"])
async def test_number_with_an_exponent_beyond_decimals_is_refused(number: str) -> None:
    """In each way of writing a decimal, and in `qb=`; nothing is stored, and no request fails inside."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Reading)
    crud.apply(app)
    async with serving(app) as http:
        await put(http, "/reading/a", {"price": 0.1})
        data = f'{{"exact": {number}}}'
        operations = f'[{{"op": "add", "path": "/exact", "value": {number}}}]'
        for method, path, content, headers in (
            ("POST", "/reading", data, JSON),
            ("PATCH", "/reading/a", data, MERGE),
            ("PATCH", "/reading/a", operations, PATCH),
        ):
            response = await http.request(method, path, content=content, headers=headers)
            assert (response.status_code, fields_of(response)) == (422, ["exact"]), response.text
        create = f'{{"op": "create", "data": {data}}}'
        array = await http.post("/reading/bulk", content=f"[{create}]", headers=JSON)
        assert array.json()["items"][0]["status"] == 422
        lines = await http.post("/reading/bulk", content=create, headers=NDJSON)
        assert lines.json()["status"] == 422
        imported = await http.post("/reading/import", content=f'{{"data": {data}}}', headers=NDJSON)
        assert json.loads(imported.text.splitlines()[-1])["failed"] == 1
        query = await http.get("/reading", params={"qb": f'QB["exact"] == {number}'})
        assert (query.status_code, "exponent" in query.json()["detail"]) == (400, True)
        assert (await http.get("/reading/count")).json() == {"count": 1}


async def test_decimal_sent_as_a_number_is_exact(serve: Serve) -> None:
    """In each way of writing, and in filters."""
    number = "99999999999999.999"
    async with serve(Reading) as http:
        await put(http, "/reading/a", f'{{"exact": {number}}}')
        for name in ("merge", "operations", "line", "array"):
            await put(http, f"/reading/{name}", {"price": 0.1})
        await http.patch("/reading/merge", content=f'{{"exact": {number}}}', headers=MERGE)
        operations = f'[{{"op": "replace", "path": "/exact", "value": {number}}}]'
        await http.patch("/reading/operations", content=operations, headers=PATCH)
        for name, (start, end) in {"line": ("", ""), "array": ("[", "]")}.items():
            content = f'{start}{{"op": "patch", "id": "{name}", "merge": {{"exact": {number}}}}}{end}'
            await http.post("/reading/bulk", content=content, headers=JSON if start else NDJSON)
        create = f'{{"op": "create", "id": "created", "data": {{"exact": {number}, "anything": 0.30000000000000004}}}}'
        await http.post("/reading/bulk", content=f"[{create}]", headers=JSON)
        await http.post("/reading/import", content=f'{{"id": "new", "data": {{"exact": {number}}}}}', headers=NDJSON)
        items = (await http.get("/reading", params={"returns": "data"})).json()["items"]
        assert [item["data"]["exact"] for item in items] == [number] * 7
        assert (await http.get("/reading/count", params={"exact": number})).json() == {"count": 7}
        assert (await http.get("/reading/count", params={"qb": f'QB["exact"] == {number}'})).json() == {"count": 7}


async def test_decimal_whose_digits_are_ambiguous_is_422_with_the_remedy(readings: httpx.AsyncClient) -> None:
    """Two numbers that become one float cannot be told apart."""
    body = '{"exact": 99999999999999.9991, "price": 99999999999999.9992}'
    response = await readings.post("/reading", content=body, headers=JSON)
    assert (response.status_code, fields_of(response)) == (422, ["exact"])
    assert "as a text" in response.json()["errors"][0]["message"]


JsonValue: Any = Json[Any]  # type: ignore[misc]  # a type for mypy, a generic class at run time


class Offer(BaseModel):
    """A model with JSON inside a text."""

    prices: Json[dict[str, Decimal]]
    anything: JsonValue = None


@pytest.mark.parametrize("number", ["99999999999999.999", "0.12345678901234567890", "1e400"])
async def test_decimal_inside_a_json_field_is_exact(number: str) -> None:
    """A text of JSON, parsed JSON, both sorts of patches, and Python keep all digits."""
    content = f'{{"a":{number}}}'
    async with serving(memory(Offer)) as http:
        for body in (f'{{"prices":{json.dumps(content)}}}', f'{{"prices":{content}}}'):
            await put(http, f"/offer/{len(body)}", body)
            data = (await http.get(f"/offer/{len(body)}")).json()["data"]
            assert Decimal(data["prices"]["a"]) == Decimal(number)
        await put(http, "/offer/x", {"prices": {"b": 1}})
        merge = f'{{"prices":{content}}}'
        assert (await http.patch("/offer/x", content=merge, headers=MERGE)).status_code == 200
        add = f'[{{"op":"add","path":"/prices/c","value":{number}}}]'
        data = (await http.patch("/offer/x", content=add, headers=PATCH)).json()["data"]
        assert {name: Decimal(part) for name, part in data["prices"].items()} == {
            "a": Decimal(number),
            "b": 1,
            "c": Decimal(number),
        }
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Offer)
    async with crud.running():
        created = await crud.manager(Offer).create({"prices": content})
        assert created.data.prices == {"a": Decimal(number)}


async def test_number_of_many_digits_inside_a_json_field_stays_a_number() -> None:
    """No part of the service's own notation for such numbers gets into the data."""
    async with serving(memory(Offer)) as http:
        await put(http, "/offer/x", '{"prices":{},"anything":{"a":0.12345678901234567890}}')
        merge = '{"anything":{"b":[0.12345678901234567890]}}'
        data = (await http.patch("/offer/x", content=merge, headers=MERGE)).json()["data"]
        assert data["anything"] == {"a": 0.12345678901234568, "b": [0.12345678901234568]}
        refused = await http.patch("/offer/x", content='{"anything":{"b":1e400}}', headers=MERGE)
        assert (refused.status_code, fields_of(refused)) == (422, ["anything.b"])


async def test_numbers_of_other_fields_stay_numbers(readings: httpx.AsyncClient) -> None:
    """A float field and an untyped field get the nearest float, also through a patch."""
    body = '{"price": 0.12345678901234567890, "anything": [0.12345678901234567890, 99999999999999.999]}'
    await put(readings, "/reading/a", {})
    response = await readings.patch("/reading/a?returns=data", content=body, headers=MERGE)
    assert response.json()["data"] == json.loads(body) | {"nested": {}, "exact": None}


async def test_time_of_day_is_compared_in_utc(serve: Serve) -> None:
    """A time without an offset counts as UTC."""
    async with serve(Shop) as http:
        for name, opens in {"a": "11:00Z", "b": "13:00+02:00", "c": "11:00", "d": "00:30+02:00", "e": "12:00"}.items():
            await put(http, f"/shop/{name}", {"opens": opens, "breaks": [opens]})
        for text in ("11:00:00Z", "13:00+02:00", "11:00", "06:00-05:00"):
            for query in ({"opens": text}, {"breaks__contains": text}, {"qb": f'QB["opens"] == "{text}"'}):
                assert (await http.get("/shop/count", params=query)).json() == {"count": 3}
        assert (await http.get("/shop/count", params={"opens__lt": "12:00+01:00"})).json() == {"count": 0}
        assert (await http.get("/shop/count", params={"opens__gt": "11:30"})).json() == {"count": 2}
        ordered = (await http.get("/shop", params={"sort": "opens,resource_id"})).json()["items"]
        assert [item["meta"]["resource_id"] for item in ordered] == ["a", "b", "c", "e", "d"]
        groups = (await http.get("/shop/aggregate", params={"group_by": "opens", "metrics": "count"})).json()
        assert [group["values"]["count"] for group in groups["groups"]] == [3, 1, 1]


async def test_times_of_one_moment_are_not_unique(serve: Serve) -> None:
    """Unique compares as filters do."""
    async with serve(Shop) as http:
        await put(http, "/shop/a", {"closes": "20:00+02:00"})
        for text in ("18:00Z", "18:00", "13:00-05:00"):
            response = await http.post("/shop", json={"closes": text})
            assert (response.status_code, response.json()["holder"]) == (409, "a")
        assert (await http.post("/shop", json={"closes": "20:00"})).status_code == 201


async def test_where_takes_python_times() -> None:
    """The Python API takes aware and naive times."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Shop)
    async with crud.running():
        shops = crud.manager(Shop)
        await shops.create({"opens": time(13, tzinfo=timezone(timedelta(hours=2)))})
        for value in (time(11), time(11, tzinfo=UTC), "13:00+02:00"):
            assert await shops.count(where={"opens": value}) == 1


async def test_pydantic_types_are_indexed_in_their_normal_form(serve: Serve) -> None:
    """Filters read values as the model does. Unique compares the normal form."""
    host = {
        "address": "10.0.0.1", "any_address": "2001:DB8:0:0::1", "url": "HTTPS://Example.com",
        "links": ["http://a.example", "ftp://b.example/x"], "seen": "2026-01-02T13:00:00+02:00",
        "local": "2026-01-02T11:00:00", "built": "2020-01-02", "cores": 4, "racks": 3, "owner": "ada@EXAMPLE.com",
        "code": " ABC ",
    }  # fmt: skip
    async with serve(Host) as http:
        await put(http, "/host/a", host)
        await put(http, "/host/b", {})
        for query in (
            {"address": "10.0.0.1"}, {"any_address": "2001:db8::1"}, {"url": "https://example.com"},
            {"url__starts_with": "https://example"}, {"links__contains": "http://a.example/"},
            {"seen": "2026-01-02T11:00:00Z"}, {"local": "2026-01-02T11:00:00"}, {"built__lt": "9999-12-31"},
            {"built": "2020-01-02"}, {"cores__gt": "-1"}, {"racks__in": "1,3"}, {"owner": "ada@example.COM"},
            {"code": "Abc"}, {"seen__between": "2026-01-02T11:00:00,2026-01-02T11:00:00"},
        ):  # fmt: skip
            found = await http.get("/host", params=query)
            assert [item["meta"]["resource_id"] for item in found.json()["items"]] == ["a"], (query, found.text)
        for query in ({"address": "10.0.0.256"}, {"url": "no url"}, {"owner": "nobody"}, {"seen": "soon"}):
            refused = await http.get("/host", params=query)
            assert (refused.status_code, fields_of(refused)) == (400, list(query))
        for data, field in (({"address": "10.0.0.1"}, "address"), ({"url": "https://EXAMPLE.com/"}, "url")):
            twice = await http.post("/host", json=data)
            assert (twice.status_code, fields_of(twice)) == (409, [field])
        assert (await http.get("/openapi.json")).status_code == 200


def test_secret_index_field_is_refused_with_the_reason() -> None:
    """A filter would be an oracle."""

    class Login(BaseModel):
        password: Annotated[SecretStr, Index()]

        @field_serializer("password")
        def write(self, value: SecretStr) -> str:
            return value.get_secret_value()

    with pytest.raises(ConfigurationError, match=r"Login\.password cannot be indexed: filters would reveal the secret"):
        AutoCRUD().add_model(Login)


async def test_lone_surrogate_is_a_clear_error(readings: httpx.AsyncClient) -> None:
    """In JSON 400, in filters 400, and never with the text of a codec."""
    for body in ('{"anything": "\\ud800"}', '{"\\udfff": 1}'):
        response = await readings.post("/reading", content=body, headers=JSON)
        assert (response.status_code, response.json()["code"]) == (400, "malformed_body")
        assert "codec" not in response.text
    async with serving(memory(Host)) as http:
        for operator in ("eq", "contains", "regex", "starts_with"):
            response = await http.get("/host", params={"qb": f'QB["code"].{operator}("\\ud800")'})
            assert (response.status_code, "codec" in response.text) == (400, False)
            assert "lone surrogate" in response.json()["detail"]


async def test_lone_surrogate_in_python_names_the_field() -> None:
    """The same in the Python API."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Host)
    crud.add_model(Reading)
    async with crud.running():
        with pytest.raises(InvalidParameter, match="code: must not contain a lone surrogate"):
            await crud.manager(Host).count(where={"code": "\ud800"})
        for data, field in (({"anything": "\ud800"}, "anything"), ({"anything": [{"\ud800": 1}]}, "anything.0")):
            with pytest.raises(InvalidData) as raised:
                await crud.manager(Reading).create(data)
            assert [error.field for error in raised.value.errors] == [field]
            assert "lone surrogate" in raised.value.errors[0].message
        reading = await crud.manager(Reading).create({})
        for patch in ({"other": "\ud800"}, [{"op": "add", "path": "/other", "value": "\ud800"}]):
            with pytest.raises(InvalidData) as raised:
                await crud.manager(Reading).patch(reading.resource_id, patch)
            assert [error.field for error in raised.value.errors] == ["other"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ('QB["code"].eq("éé") & nothing', "at character 23"),
        ('  QB["code"].eq("é") & nothing', "at character 24"),
        ('QB["code"].eq("é") & (\n nothing)', "at character 25"),
        ('QB["code"] == "é" 1', "at character"),
    ],
)
async def test_expression_error_counts_characters(expression: str, message: str) -> None:
    """Not bytes."""
    async with serving(memory(Host)) as http:
        response = await http.get("/host", params={"qb": expression})
        assert (response.status_code, message in response.json()["detail"]) == (400, True), response.text


async def test_expression_with_a_pattern_does_not_warn() -> None:
    """The test run turns warnings into errors."""
    async with serving(memory(Host)) as http:
        await http.post("/host", json={"code": "a1"})
        found = await http.get("/host/count", params={"qb": r'QB["code"].regex("\d+")'})
        assert found.json() == {"count": 1}


async def test_route_that_is_left_out_is_404_with_its_own_code() -> None:
    """The name of a route is never read as an id."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Reading, routes=["create", "read", "replace", "list"])
    crud.apply(app, prefix="/v1")
    async with serving(app) as http:
        for method, name in (("GET", "export"), ("HEAD", "export"), ("GET", "count"), ("PUT", "import")):
            response = await http.request(method, f"/v1/reading/{name}", json={} if method == "PUT" else None)
            assert response.status_code == 404
            if method != "HEAD":
                assert response.json()["code"] == "route_not_found"
                assert repr(name) in response.json()["detail"]
        assert (await http.get("/v1/reading/other")).json()["code"] == "not_found"


async def test_dates_of_python_are_filter_values() -> None:
    """A value of a field's own type is accepted as such."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Host)
    async with crud.running():
        hosts = crud.manager(Host)
        await hosts.create({"built": date(2020, 1, 2), "seen": datetime(2026, 1, 2, tzinfo=UTC)})
        assert await hosts.count(where={"built": date(2020, 1, 2), "seen__gte": datetime(2026, 1, 2, tzinfo=UTC)}) == 1
        assert await hosts.count(where={"address": IPv4Address("10.0.0.1")}) == 0
