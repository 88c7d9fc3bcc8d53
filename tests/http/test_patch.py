"""PATCH by RFC 6902 and RFC 7396, on each backend."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from tests.http.conftest import Serve

OPERATIONS = {"Content-Type": "application/json-patch+json"}
MERGE = {"Content-Type": "application/merge-patch+json"}


class Address(BaseModel):
    """An address."""

    city: str | None = None
    zip: str | None = None


class Person(BaseModel):
    """A person."""

    name: str
    tags: list[str] = []
    address: Address | None = None
    notes: dict[str, Any] = {}


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Person`s."""
    async with serve(Person) as client:
        yield client


async def _person(http: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    response = await http.post("/person", json={"name": "Ada", "tags": ["a", "b"], **fields})
    assert response.status_code == 201, response.text
    return response


async def test_json_patch_applies_operations_in_order(http: httpx.AsyncClient) -> None:
    """All six operations. The result is a revision."""
    location = (await _person(http, address={"city": "Wien"}, notes={"x/y": 1, "m~n": 2})).headers["location"]
    operations = [
        {"op": "test", "path": "/name", "value": "Ada"},
        {"op": "add", "path": "/tags/1", "value": "new"},
        {"op": "add", "path": "/tags/-", "value": "last"},
        {"op": "remove", "path": "/tags/0"},
        {"op": "replace", "path": "/name", "value": "Grace"},
        {"op": "copy", "from": "/name", "path": "/address/city"},
        {"op": "move", "from": "/notes/x~1y", "path": "/notes/moved"},
        {"op": "test", "path": "/notes/m~0n", "value": 2},
    ]
    response = await http.patch(location, json=operations, headers=OPERATIONS)
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["data"] == {
        "name": "Grace", "tags": ["new", "b", "last"], "address": {"city": "Grace", "zip": None},
        "notes": {"m~n": 2, "moved": 1},
    }  # fmt: skip
    assert body["meta"]["total_revision_count"] == 2
    whole = [{"op": "replace", "path": "", "value": {"name": "Joan"}}]
    assert (await http.patch(location, json=whole, headers=OPERATIONS)).json()["data"]["name"] == "Joan"
    unchanged = await http.patch(location, json=[], headers=OPERATIONS)
    assert unchanged.json()["meta"]["version"] == 3


async def test_failed_operation_is_409_and_changes_nothing(http: httpx.AsyncClient) -> None:
    """The problem has the operation's index."""
    response = await _person(http)
    ok = {"op": "replace", "path": "/name", "value": "Grace"}
    for operation in (
        {"op": "test", "path": "/name", "value": "Ada"},
        {"op": "test", "path": "/tags", "value": ["b", "a"]},
        {"op": "test", "path": "/notes/x", "value": None},
        {"op": "remove", "path": "/notes/x"},
        {"op": "replace", "path": "/notes/x", "value": 1},
        {"op": "add", "path": "/tags/9", "value": "x"},
        {"op": "add", "path": "/nothing/here", "value": "x"},
        {"op": "move", "from": "/notes/x", "path": "/name"},
        {"op": "copy", "from": "/tags/-", "path": "/name"},
    ):
        refused = await http.patch(response.headers["location"], json=[ok, operation], headers=OPERATIONS)
        assert (refused.status_code, refused.json()["code"]) == (409, "patch_failed"), operation
        assert refused.json()["operation"] == 1
        assert refused.json()["errors"][0]["field"] == "/1"
    assert (await http.get(response.headers["location"])).json() == response.json()


async def test_test_operation_compares_as_json(http: httpx.AsyncClient) -> None:
    """RFC 6902, 4.6: numbers by value; true and 1 differ."""
    location = (await _person(http, notes={"one": 1, "yes": True, "no": None})).headers["location"]
    for path, value, status in (
        ("/notes/one", 1.0, 200), ("/notes/one", True, 409), ("/notes/yes", 1, 409), ("/notes/yes", True, 200),
        ("/notes/no", None, 200), ("/notes/no", False, 409), ("/notes/one", "1", 409),
    ):  # fmt: skip
        operations = [{"op": "test", "path": path, "value": value}]
        assert (await http.patch(location, json=operations, headers=OPERATIONS)).status_code == status, (path, value)


async def test_invalid_patch_is_422_or_400(http: httpx.AsyncClient) -> None:
    """422 for JSON, 400 for other bodies."""
    location = (await _person(http)).headers["location"]
    for operations, field in (
        ({"op": "add"}, "(body)"),
        ([{"op": "add", "path": "/x"}], "/0/value"),
        ([{"op": "put", "path": "/x", "value": 1}], "/0"),
        ([{"op": "remove", "path": "x"}], "/0/path"),
        ([{"op": "remove", "path": "/~2"}], "/0/path"),
        ([{"op": "move", "path": "/x"}], "/0/from"),
    ):
        refused = await http.patch(location, json=operations, headers=OPERATIONS)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_patch"), operations
        assert refused.json()["errors"][0]["field"] == field
    for headers in (OPERATIONS, MERGE):
        assert (await http.patch(location, content=b"{", headers=headers)).status_code == 400


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_rfc_examples(before: Any, patch: Any, after: Any) -> None:
    """RFC 7396, appendix A, for objects."""
    from pydantic_core import to_json

    from autocrud.versioning.json_patch import MergePatch

    assert MergePatch(to_json(patch)).apply(before, 1000) == after


async def test_merge_patch_null_restores_the_default(http: httpx.AsyncClient) -> None:
    """Null removes the member."""
    location = (await _person(http, address={"city": "Wien", "zip": "1010"})).headers["location"]
    patch = {"name": "Grace", "tags": None, "address": {"zip": None}, "notes": {"x": {"y": 1}}}
    response = await http.patch(location, json=patch, headers=MERGE)
    assert response.json()["data"] == {
        "name": "Grace", "tags": [], "address": {"city": "Wien", "zip": None}, "notes": {"x": {"y": 1}},
    }  # fmt: skip


async def test_other_patch_type_is_415_with_accept_patch(http: httpx.AsyncClient) -> None:
    """RFC 5789."""
    location = (await _person(http)).headers["location"]
    for kind in ("application/json", "text/plain", ""):
        refused = await http.patch(location, content=b"{}", headers={"Content-Type": kind})
        assert refused.status_code == 415
        assert refused.headers["accept-patch"] == "application/json-patch+json, application/merge-patch+json"


async def test_patch_result_is_validated(http: httpx.AsyncClient) -> None:
    """A refused result is not stored."""
    response = await _person(http)
    location = response.headers["location"]
    for patch, headers, field in (
        ([{"op": "replace", "path": "/name", "value": 5}], OPERATIONS, "name"),
        ([{"op": "remove", "path": "/name"}], OPERATIONS, "name"),
        ({"tags": [1]}, MERGE, "tags.0"),
        ([1], MERGE, "(body)"),
    ):
        refused = await http.patch(location, json=patch, headers=headers)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    assert (await http.get(location)).json() == response.json()


async def test_concurrent_patches_all_apply(http: httpx.AsyncClient) -> None:
    """None is lost. `If-Match` binds a patch to one version."""
    location = (await _person(http)).headers["location"]
    add = [{"op": "add", "path": "/tags/-", "value": "x"}]
    answers = await asyncio.gather(*(http.patch(location, json=add, headers=OPERATIONS) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    body = (await http.get(location)).json()
    assert body["data"]["tags"] == ["a", "b"] + ["x"] * 12
    assert body["meta"]["total_revision_count"] == 13
    tag = (await http.get(location)).headers["etag"]
    bound = (http.patch(location, json=add, headers=OPERATIONS | {"If-Match": tag}) for _ in range(5))
    assert sorted(answer.status_code for answer in await asyncio.gather(*bound)) == [200] + [412] * 4


async def test_patch_result_over_the_limit_is_413(http: httpx.AsyncClient) -> None:
    """Copies of copies end at the body limit."""
    location = (await _person(http, notes={"x": "y" * 100})).headers["location"]
    bomb = [{"op": "copy", "from": "/notes", "path": f"/notes/{number}"} for number in range(30)]
    assert (await http.patch(location, json=bomb, headers=OPERATIONS)).status_code == 413
    many = [{"op": "test", "path": "", "value": 1}] * 1001
    assert (await http.patch(location, json=many, headers=OPERATIONS)).status_code in (413, 422)
    assert (await http.patch("/person/none", json=[], headers=OPERATIONS)).status_code == 404
