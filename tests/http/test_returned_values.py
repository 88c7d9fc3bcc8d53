"""PUT and PATCH of values as answers show them: no value changes, also if the model reads another form."""

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import TypedDict

from autocrud import AutoCRUD
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve, serving

MERGE = {"content-type": "application/merge-patch+json"}
OPERATIONS = {"content-type": "application/json-patch+json"}
JSON_VALUE: Any = Json[Any]  # type: ignore[misc]  # a type for mypy, a generic class at run time


class Encoded(BaseModel):
    """A model whose bytes are read as text and shown as base64."""

    model_config = ConfigDict(ser_json_bytes="base64")

    content: bytes = b""
    pieces: list[bytes] = []
    tags: set[bytes] = set()
    name: str = ""


class Size(BaseModel):
    """A record that answers show as a text."""

    width: int
    height: int

    @model_serializer
    def _write(self) -> str:
        return f"{self.width} x {self.height}"


class Shaped(BaseModel):
    """A model with serializers of its own, and an unusual form of times."""

    model_config = ConfigDict(ser_json_temporal="milliseconds")

    cents: int = 0
    password: str = ""
    sizes: list[Size] = []
    settings: JSON_VALUE = None
    seen: datetime | None = None
    duration: timedelta | None = None
    name: str = ""

    @field_serializer("cents")
    def _write_cents(self, value: int) -> str:
        return f"{value / 100:.2f} EUR"

    @field_serializer("password")
    def _hide(self, value: str) -> None:
        return None


class Partial(BaseModel):
    """A model whose answers leave a field out."""

    secret: str = ""
    name: str = ""

    @model_serializer(mode="wrap")
    def _write(self, handler: Any) -> Any:
        shown = handler(self)
        del shown["secret"]
        return shown


class Account(BaseModel):
    """A model whose validators hash one field and derive another."""

    name: str
    slug: str = ""
    password: str = ""

    @field_validator("password")
    @classmethod
    def _hash(cls, value: str) -> str:
        return f"hash({value})"

    @model_validator(mode="after")
    def _derive(self) -> "Account":
        self.slug = self.name.lower()
        return self


def crud_of(*models: type[Any]) -> AutoCRUD:
    """Return a registry of models in memory."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    for model in models:
        crud.add_model(model)
    return crud


def app_of(*models: type[BaseModel]) -> FastAPI:
    """Return an application with models in memory."""
    app = FastAPI()
    crud_of(*models).apply(app)
    return app


async def create(http: httpx.AsyncClient, path: str, data: Any) -> Any:
    """Create a resource, and return its data as answers show it."""
    response = await http.put(path, json=data, headers={"if-none-match": "*"})
    assert response.status_code == 201, response.text
    return response.json()["data"]


async def stored(http: httpx.AsyncClient, model: str) -> Any:
    """Return the stored data of the only resource of a model."""
    return json.loads((await http.get(f"/{model}/export")).text.splitlines()[0])["data"]


async def put(http: httpx.AsyncClient, path: str, data: Any) -> Any:
    """Replace the data, and return the metadata."""
    response = await http.put(path, json=data)
    assert response.status_code == 200, response.text
    return response.json()["meta"]


ENCODED = {"content": "abc", "pieces": ["abc", "YWJj"], "tags": ["abc", "zz"], "name": ""}
SHAPED = {
    "cents": 1250,
    "password": "x",
    "sizes": [{"width": 1, "height": 2}, {"width": 3, "height": 4}],
    "settings": '"123"',
    "seen": "1970-01-02T00:00:00Z",
    "duration": "PT5S",
    "name": "",
}


async def test_put_of_an_answer_makes_no_revision(serve: Serve) -> None:
    """Bytes in another encoding are the simplest case."""
    async with serve(Encoded) as http:
        shown = await create(http, "/encoded/x", ENCODED)
        assert shown["content"] == "YWJj"
        assert (await put(http, "/encoded/x", shown))["version"] == 1
        assert (await put(http, "/encoded/x", {**shown, "name": "new"}))["version"] == 2
        assert await stored(http, "encoded") == {**ENCODED, "name": "new"}


@pytest.mark.parametrize(
    ("model", "data"), [(Encoded, ENCODED), (Shaped, SHAPED), (Partial, {"secret": "x", "name": ""})]
)
async def test_answer_with_one_changed_value_changes_only_that_value(model: type[BaseModel], data: Any) -> None:
    """PUT, both sorts of patches, bulk, and Python."""
    name = model.__name__.lower()
    async with serving(app_of(model)) as http:
        shown = await create(http, f"/{name}/x", data)
        assert shown != data
        assert (await put(http, f"/{name}/x", shown))["version"] == 1
        await put(http, f"/{name}/x", {**shown, "name": "put"})
        assert await stored(http, name) == {**data, "name": "put"}
        operation = {"op": "update", "id": "x", "data": {**shown, "name": "bulk"}}
        bulk = await http.post(f"/{name}/bulk", json=[operation])
        assert bulk.status_code == 200, bulk.text
        assert await stored(http, name) == {**data, "name": "bulk"}
        members = {field: part for field, part in shown.items() if part is not None}
        answer = await http.patch(f"/{name}/x", json={**members, "name": "merge"}, headers=MERGE)
        assert answer.status_code == 200, answer.text
        operations = [{"op": "replace", "path": "/name", "value": data["name"]}]
        for op in ("test", "add"):
            operations += [{"op": op, "path": f"/{field}", "value": part} for field, part in members.items()]
        answer = await http.patch(f"/{name}/x", json=operations[1:], headers=OPERATIONS)
        assert answer.status_code == 409, answer.text  # the name is another one
        answer = await http.patch(f"/{name}/x", json=operations, headers=OPERATIONS)
        assert answer.status_code == 200, answer.text
        assert await stored(http, name) == data
    crud = crud_of(model)
    manager: Any = crud.manager(model)
    async with crud.running():
        created = await manager.create(data)
        replaced = await manager.replace(created.resource_id, {**json.loads(created.shown_json), "name": "new"})
        assert json.loads(replaced.data_json) == {**data, "name": "new"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"content": "abc"}, {}),
        ({"content": "new"}, {"content": "new"}),
        ({"pieces": ["new", "YWJj", "WVdKag=="]}, {"pieces": ["new", "abc", "YWJj"]}),
        ({"pieces": ["WVdKag=="]}, {"pieces": ["YWJj"]}),
        ({"pieces": ["abc"]}, {"pieces": ["abc"]}),
        ({"tags": ["abc", "new"]}, {"tags": ["abc", "new"]}),
    ],
)
async def test_changed_bytes_are_read_as_the_model_reads_them(change: Any, expected: Any) -> None:
    """Items of a list that the client sent back keep their values, in any order."""
    async with serving(app_of(Encoded)) as http:
        shown = await create(http, "/encoded/x", ENCODED)
        await put(http, "/encoded/x", {**shown, **change})
        assert await stored(http, "encoded") == {**ENCODED, **expected}


async def test_set_of_shown_and_new_items_is_422_with_the_remedy() -> None:
    """Answers sort a set by its shown items, so no item can be told from another."""
    async with serving(app_of(Encoded)) as http:
        shown = await create(http, "/encoded/x", ENCODED)
        answer = await http.put("/encoded/x", json={**shown, "tags": ["YWJj", "new"]})
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert fault["field"] == "tags"
        assert "send" in fault["message"]


async def test_put_never_validates_a_returned_value_once_more() -> None:
    """A new password is hashed, a returned one is not; a derived field follows its source."""
    async with serving(app_of(Account)) as http:
        shown = await create(http, "/account/x", {"name": "Ann", "password": "a"})
        assert (await put(http, "/account/x", shown))["version"] == 1
        answer = await http.put("/account/x", json={**shown, "name": "Eve"})
        assert (answer.status_code, answer.json()["code"]) == (422, "validator_not_idempotent")
        assert [fault["field"] for fault in answer.json()["errors"]] == ["password"]
        await put(http, "/account/x", {**shown, "name": "Eve", "password": "b"})
        assert await stored(http, "account") == {"name": "Eve", "slug": "eve", "password": "hash(b)"}


class Row(TypedDict):
    """A TypedDict with an encoding of its own, which Pydantic reads and does not write."""

    __pydantic_config__ = ConfigDict(val_json_bytes="base64")  # type: ignore[misc]

    content: bytes


class Table(BaseModel):
    """A model around the TypedDict, with a value that answers leave out."""

    row: Row
    price: Decimal = Field(Decimal(0), exclude_if=lambda value: value == 0)


async def test_bytes_of_a_typed_dict_are_stored_as_the_typed_dict_reads_them() -> None:
    """A PUT of the answer keeps them, and digits of a hidden value, too."""
    data = {"row": {"content": "YWJj"}, "price": "0.00"}
    crud = crud_of(Table, Row)
    async with crud.running():
        created = await crud.manager(Table).create(json.dumps(data).encode())
        assert json.loads(created.data_json) == data
        assert json.loads(created.shown_json) == {"row": {"content": "abc"}}
        assert (await crud.manager(Table).get(created.resource_id)).data.row["content"] == b"abc"
        replaced = await crud.manager(Table).replace(created.resource_id, created.shown_json)
        assert (replaced.meta.version, replaced.data_json) == (1, created.data_json)
        row = await crud.manager("row").create(b'{"content":"_-8="}')
        assert row.data == {"content": b"\xff\xef"}
        assert (await crud.manager("row").replace(row.resource_id, row.shown_json)).meta.version == 1
