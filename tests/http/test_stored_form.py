"""Stored form and shown form over HTTP: what is stored reads back, and a patch changes the fields that it names."""

from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    computed_field,
    field_serializer,
    field_validator,
)
from pydantic.alias_generators import to_camel

from autocrud import AutoCRUD, Index, OnDelete, Ref
from autocrud.schema.binary import Binary
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Serve, serving
from tests.storage.backends import BACKENDS


class User(BaseModel):
    """A user with names of every sort."""

    name: Annotated[str, Index()]
    role: Annotated[str, Index()] = Field("guest", serialization_alias="userRole")
    mail: str = Field("", validation_alias=AliasChoices("mail", "e-mail"), serialization_alias="mailTo")


class Camel(BaseModel):
    """A model with generated aliases."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    first_name: str
    last_name: str = ""


class Square(BaseModel):
    """A model with a computed field, and extra values."""

    model_config = ConfigDict(extra="allow")

    side: int

    @computed_field
    def area(self) -> int:
        """Return the area."""
        return self.side**2


class ClosedSquare(BaseModel):
    """A model with a computed field that refuses extra values."""

    model_config = ConfigDict(extra="forbid")

    side: int

    @computed_field
    def area(self) -> int:
        """Return the area."""
        return self.side**2


class Settings(BaseModel):
    """A model with JSON inside a text."""

    settings: Json[Any]
    name: str = ""


class Account(BaseModel):
    """A model whose validator does not leave its own result unchanged."""

    name: str
    password: str

    @field_validator("password")
    @classmethod
    def _hash(cls, value: str) -> str:
        return f"hash({value})"


class Encoded(BaseModel):
    """A model whose bytes are read as text and shown as base64."""

    model_config = ConfigDict(ser_json_bytes="base64")

    content: bytes
    name: str = ""


class Labelled(BaseModel):
    """A model with a set."""

    labels: set[str]
    name: str = ""


class Price(BaseModel):
    """A model with a serializer of its own."""

    cents: int
    name: str = ""

    @field_serializer("cents")
    def _write(self, value: int) -> str:
        return f"{value / 100:.2f} EUR"


MERGE = {"content-type": "application/merge-patch+json"}
OPERATIONS = {"content-type": "application/json-patch+json"}


async def post(http: httpx.AsyncClient, path: str, **data: Any) -> str:
    """Create a resource and return its URL."""
    answer = await http.post(path, json=data)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


async def data_of(http: httpx.AsyncClient, url: str) -> Any:
    """Return the data of a resource as a client sees it."""
    answer = await http.get(url)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def merge(http: httpx.AsyncClient, url: str, **members: Any) -> Any:
    """Patch a resource and return its data."""
    answer = await http.patch(url, json=members, headers=MERGE)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def refused(http: httpx.AsyncClient, url: str, members: Any, headers: dict[str, str] = MERGE) -> Any:
    """Patch a resource and return the code and the fields of the problem."""
    answer = await http.patch(url, json=members, headers=headers)
    assert answer.status_code == 422, answer.text
    return answer.json()["code"], [error["field"] for error in answer.json()["errors"]]


async def put_of_get(http: httpx.AsyncClient, url: str) -> Any:
    """Replace a resource by the data that a read returned, and return its data afterwards."""
    data = await data_of(http, url)
    answer = await http.put(url, json=data)
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"] == data
    return data


async def test_patch_of_another_field_keeps_aliased_fields(serve: Serve) -> None:
    """Answers, `fields=`, filters, diffs and PUT use the names of answers."""
    async with serve(User) as http:
        url = await post(http, "/user", name="Ann", role="admin", **{"e-mail": "a@x"})
        expected = {"name": "Anna", "userRole": "admin", "mailTo": "a@x"}
        assert await merge(http, url, name="Anna") == expected
        assert await put_of_get(http, url) == expected
        for name in ("role", "userRole"):
            assert (await merge(http, url, **{name: name}))["userRole"] == name
        assert (await http.get(url, params={"fields": "userRole"})).json()["data"] == {"userRole": "userRole"}
        found = await http.get("/user", params={"userRole": "userRole", "sort": "userRole"})
        assert [item["data"]["mailTo"] for item in found.json()["items"]] == ["a@x"]
        diff = await http.get(f"{url}/revisions/diff", params={"from": "1", "to": "3"})
        assert {item["path"] for item in diff.json()} == {"/name", "/userRole"}
        listed = await http.get(f"{url}/revisions", params={"returns": "data"})
        assert listed.json()["items"][-1]["data"] == {"name": "Ann", "userRole": "admin", "mailTo": "a@x"}


async def test_table_and_pages_have_the_names_of_answers(serve: Serve) -> None:
    """CSV and the data view show what a read returns."""
    async with serve(User) as http:
        url = await post(http, "/user", name="Ann", role="admin")
        for path in ("/user", "/user/export"):
            table = (await http.get(path, headers={"accept": "text/csv"})).text
            header, row, *_ = table.splitlines()
            assert dict(zip(header.split(","), row.split(","), strict=True))["userRole"] == "admin"
        for path in ("/user", url):
            page = (await http.get(path, headers={"accept": "text/html"})).text
            assert "userRole" in page
            assert "admin" in page


async def test_patch_with_an_unknown_name_is_422(serve: Serve) -> None:
    """The problem names the unknown name. Models with extra values accept any name."""
    async with serve(User) as http:
        url = await post(http, "/user", name="Ann")
        assert await refused(http, url, {"nmae": "x", "name": "y"}) == ("invalid_data", ["nmae"])
        operation = {"op": "add", "path": "/nmae", "value": 1}
        assert (await refused(http, url, [operation], OPERATIONS))[1] == ["/nmae"]
        assert (await data_of(http, url))["name"] == "Ann"


@pytest.mark.parametrize("name", ["role", "userRole"])
async def test_json_patch_path_accepts_each_name_of_a_field(serve: Serve, name: str) -> None:
    """The names are those of answers and of the model."""
    async with serve(User) as http:
        url = await post(http, "/user", name="Ann", role="admin")
        operations = [
            {"op": "test", "path": f"/{name}", "value": "admin"},
            {"op": "copy", "from": f"/{name}", "path": "/name"},
            {"op": "replace", "path": f"/{name}", "value": "owner"},
        ]
        answer = await http.patch(url, json=operations, headers=OPERATIONS)
        assert answer.json()["data"] == {"name": "admin", "userRole": "owner", "mailTo": ""}


class Shelf(BaseModel):
    """A model with aliases in each of its records, and a value that answers hide."""

    inner_list: list[User] = Field([], alias="innerList")
    some_map: dict[str, str] = Field({}, alias="someMap")
    secret: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def size(self) -> int:
        """Number of items."""
        return len(self.inner_list)

    @field_serializer("secret")
    def _hide(self, value: str) -> str:
        return "***"


@pytest.mark.parametrize(
    ("operation", "status", "message"),
    [
        ({"op": "test", "path": "/innerList/0/userRole", "value": "x"}, 409, "test /innerList/0/userRole: "),
        ({"op": "remove", "path": "/someMap/x"}, 409, "remove /someMap/x: the path leads to no value"),
        ({"op": "add", "path": "/someMap/a/b/c", "value": 1}, 409, "add /someMap/a/b/c: the path leads to no object"),
        ({"op": "add", "path": "/none/a/b", "value": 1}, 409, "add /none/a/b: the path leads to no object"),
        ({"op": "move", "from": "/someMap/q", "path": "/someMap/r"}, 409, "no value is at /someMap/q"),
        ({"op": "replace", "path": "/innerList/7/name", "value": "x"}, 409, "index '7' is out of bounds"),
        ({"op": "add", "path": "/size", "value": 1}, 422, "is computed, and cannot be changed"),
        ({"op": "add", "path": "/innerList/-", "value": {"bogus": 1}}, 422, "/innerList/-/bogus"),
    ],
)
async def test_error_of_a_json_patch_has_names_of_the_client_and_no_data(
    operation: Any, status: int, message: str
) -> None:
    """An error that quotes the stored document would show hidden values."""
    app, crud = FastAPI(), AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Shelf)
    crud.apply(app)
    async with serving(app) as http:
        url = await post(http, "/shelf", innerList=[{"name": "Ann"}], someMap={"k": "v"}, secret="hidden value")
        answer = await http.patch(url, json=[operation], headers=OPERATIONS)
        assert answer.status_code == status
        assert message in answer.text
        for word in ("inner_list", "some_map", "hidden value", "Ann"):
            assert word not in answer.text


async def test_patch_accepts_the_names_that_post_accepts(serve: Serve) -> None:
    """Both accept the name of a field and its generated alias."""
    async with serve(Camel) as http:
        url = await post(http, "/camel", first_name="A", lastName="B")
        assert await merge(http, url, first_name="C") == {"firstName": "C", "lastName": "B"}
        assert await merge(http, url, lastName="D") == {"firstName": "C", "lastName": "D"}


async def test_text_that_is_no_json_is_422_with_its_field() -> None:
    """The body itself is JSON."""
    app, crud = FastAPI(), AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Settings)
    crud.apply(app)
    async with serving(app) as http:
        answer = await http.post("/settings", json={"settings": "no json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_data")
        assert [error["field"] for error in answer.json()["errors"]] == ["settings"]


async def test_json_field_stays_readable(serve: Serve) -> None:
    """A text is JSON, as in a POST. Answers have the parsed value, which a PUT accepts."""
    async with serve(Settings) as http:
        url = await post(http, "/settings", settings='{"a": {"b": 1}}')
        assert await merge(http, url, name="x") == {"settings": {"a": {"b": 1}}, "name": "x"}
        assert (await merge(http, url, settings={"c": 2}))["settings"] == {"a": {"b": 1}, "c": 2}
        await put_of_get(http, url)
        operation = {"op": "replace", "path": "/settings/a/b", "value": 3}
        answer = await http.patch(url, json=[operation], headers=OPERATIONS)
        assert answer.json()["data"]["settings"] == {"a": {"b": 3}, "c": 2}
        assert (await merge(http, url, settings="[1]"))["settings"] == [1]
        assert await refused(http, url, {"settings": "{"}) == ("invalid_data", ["settings"])


@pytest.mark.parametrize("model", [Square, ClosedSquare])
async def test_computed_field_is_shown_and_never_stored(serve: Serve, model: type[BaseModel]) -> None:
    """An answer can be sent back, although it has the computed field."""
    async with serve(model, name="square") as http:
        url = await post(http, "/square", side=2)
        answer = await http.patch(url, json={"side": 3}, headers=MERGE)
        assert answer.text.startswith('{"data":{"side":3,"area":9},')
        assert await put_of_get(http, url) == {"side": 3, "area": 9}
        assert (await refused(http, url, {"area": 4}))[1] == ["area"]
        exported = (await http.get("/square/export")).text
        assert '"data":{"side":3}}' in exported


async def test_patch_with_a_validator_that_is_not_idempotent_is_422(serve: Serve) -> None:
    """POST and PUT store the result of the validator, and reads leave it unchanged."""
    async with serve(Account) as http:
        url = await post(http, "/account", name="Ann", password="secret")
        assert (await data_of(http, url))["password"] == "hash(secret)"
        assert await refused(http, url, {"name": "x"}) == ("validator_not_idempotent", ["password"])
        answer = await http.put(url, json={"name": "x", "password": "new"})
        assert answer.json()["data"] == {"name": "x", "password": "hash(new)"}


async def test_import_of_hashed_values_keeps_bytes_and_hashes(serve: Serve, tmp_path: Path) -> None:
    """Lines with hashes are stored unchanged."""
    async with serve(Account) as http:
        url = await post(http, "/account", name="Ann", password="secret")
        await http.put(url, json={"name": "x", "password": "new"})
        exported = (await http.get("/account/export", params={"history": "true"})).content
        before = (await http.get(url)).json()
    (tmp_path / "other").mkdir()
    crud = AutoCRUD(storage_factory=BACKENDS["disk"](tmp_path / "other"))
    crud.add_model(Account)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as other:
        headers = {"content-type": "application/x-ndjson"}
        answer = await other.post("/account/import", content=exported, headers=headers)
        assert '"failed":0' in answer.text
        assert (await other.get(url)).json() == before
        assert (await other.get("/account/export", params={"history": "true"})).content == exported


async def test_bytes_are_stored_as_the_model_reads_them(serve: Serve) -> None:
    """Answers have the model's encoding, and a patch does not encode once more."""
    async with serve(Encoded) as http:
        url = await post(http, "/encoded", content="abc")
        for name in ("x", "y"):
            assert await merge(http, url, name=name) == {"content": "YWJj", "name": name}


async def test_put_of_an_equal_set_makes_no_revision(serve: Serve) -> None:
    """Sets are stored in order."""
    labels = [f"label-{number}" for number in range(20)]
    async with serve(Labelled) as http:
        url = await post(http, "/labelled", labels=labels)
        assert (await data_of(http, url))["labels"] == sorted(labels)
        answer = await http.put(url, json={"labels": labels[::-1]})
        assert answer.json()["meta"]["total_revision_count"] == 1


async def test_serializer_shapes_answers_and_not_the_stored_value(serve: Serve) -> None:
    """A patch and an export see the stored value."""
    async with serve(Price) as http:
        url = await post(http, "/price", cents=1250)
        assert await merge(http, url, name="x") == {"cents": "12.50 EUR", "name": "x"}
        assert '"data":{"cents":1250,"name":"x"}}' in (await http.get("/price/export")).text


async def test_entity_tag_of_another_shape_still_matches_if_match(serve: Serve) -> None:
    """If-Match compares the version, If-None-Match also the shown form."""
    async with serve(User) as http:
        url = await post(http, "/user", name="Ann")
        tag = (await http.get(url)).headers["etag"]
        assert (await http.get(url, headers={"if-none-match": tag})).status_code == 304
        old = tag.partition("+")[0] + '"'
        assert (await http.get(url, headers={"if-none-match": old})).status_code == 200
        patched = await http.patch(url, json={"name": "x"}, headers={**MERGE, "if-match": old})
        assert patched.status_code == 200
        stale = await http.patch(url, json={"name": "y"}, headers={**MERGE, "if-match": tag})
        assert stale.status_code == 412
        current = patched.headers["etag"]
        assert (await http.patch(url, json={"name": "z"}, headers={**MERGE, "if-match": current})).status_code == 200


class Person(BaseModel):
    """A person, before the field had an alias."""

    full_name: str = ""
    age: int = 0


class RenamedPerson(BaseModel):
    """A person, after the field got an alias."""

    full_name: str = Field("", alias="fullName")
    age: int = 0


@pytest.fixture(params=["disk", "s3", "postgres"])
def deploy(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Return a function that serves models on one durable store, as another version of a service would."""

    def start(**models: type[Any]) -> Any:
        crud = AutoCRUD(storage_factory=BACKENDS[request.param](tmp_path))
        for name, model in models.items():
            crud.add_model(model, name=name)
        app = FastAPI()
        crud.apply(app)
        return serving(app)

    return start


async def test_alias_that_is_added_later_keeps_the_value(deploy: Any) -> None:
    """The stored form has the names of the fields, which did not change."""
    async with deploy(person=Person) as http:
        url = await post(http, "/person", full_name="Ann")
        tag = (await http.get(url)).headers["etag"]
    async with deploy(person=RenamedPerson) as http:
        changed = await http.get(url, headers={"if-none-match": tag})
        assert (changed.status_code, changed.json()["data"]) == (200, {"fullName": "Ann", "age": 0})
        assert await merge(http, url, age=3) == {"fullName": "Ann", "age": 3}


class Author(BaseModel):
    """A target."""

    name: str = ""


class Post(BaseModel):
    """A referrer."""

    author: Annotated[str | None, Ref("author", on_delete=OnDelete.set_null)] = None


class StrictPost(BaseModel):
    """A referrer that no longer accepts what an older version stored."""

    author: Annotated[str | None, Ref("author", on_delete=OnDelete.set_null)] = None
    language: str


async def test_delete_with_set_null_changes_documents_that_no_longer_validate(deploy: Any) -> None:
    """Only the one value of the stored form changes."""
    async with deploy(author=Author, post=Post) as http:
        author = await post(http, "/author", name="Ann")
        url = await post(http, "/post", author=author.rpartition("/")[2])
    async with deploy(author=Author, post=StrictPost) as http:
        assert (await http.delete(author)).status_code in (200, 204)
        assert await data_of(http, url) == {"author": None}
        assert (await http.delete(f"{author}/permanently")).status_code in (200, 204)


class StrictAccount(Account):
    """An account with a field that older accounts lack."""

    language: str


async def test_patch_that_repairs_a_document_runs_no_validator_twice(deploy: Any) -> None:
    """The document did not validate before, so the result of the patch is checked."""
    async with deploy(account=Account) as http:
        url = await post(http, "/account", name="Ann", password="secret")
    async with deploy(account=StrictAccount) as http:
        assert await refused(http, url, {"language": "de"}) == ("validator_not_idempotent", ["password"])


class Cover(BaseModel):
    """A model whose blob has an alias."""

    cover_image: Annotated[Binary, Binary(content_types=["image/*"])] = Field(alias="coverImage")


async def test_error_of_a_blob_names_the_alias(serve: Serve) -> None:
    """Clients see their own names in errors."""
    async with serve(Cover) as http:
        answer = await http.post("/cover", json={"coverImage": {"data": "aGVsbG8=", "content_type": "text/plain"}})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["coverImage"]


async def test_bulk_and_import_accept_the_names_of_answers(serve: Serve) -> None:
    """They rename like a POST, and refuse like a PATCH."""
    async with serve(User) as http:
        operations = [
            {"op": "create", "id": "a", "data": {"name": "Ann", "userRole": "admin"}},
            {"op": "patch", "id": "a", "merge": {"mailTo": "a@x"}},
            {"op": "patch", "id": "a", "merge": {"other": 1}},
        ]
        answer = await http.post("/user/bulk", json=operations)
        assert [item["status"] for item in answer.json()["items"]] == [201, 200, 422]
        line = b'{"id":"b","data":{"name":"Ben","userRole":"guest","e-mail":"b@x"}}\n'
        headers = {"content-type": "application/x-ndjson"}
        await http.post("/user/import", content=line, headers=headers)
        assert await data_of(http, "/user/a") == {"name": "Ann", "userRole": "admin", "mailTo": "a@x"}
        assert await data_of(http, "/user/b") == {"name": "Ben", "userRole": "guest", "mailTo": "b@x"}
