"""Bulk writes over HTTP, on each backend."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from autocrud import AutoCRUD
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import Book, Serve, serving

LINES = {"content-type": "application/x-ndjson"}
Operation = dict[str, Any]


def ndjson(*operations: Any) -> bytes:
    """Return operations as lines. A text stays unchanged."""
    return b"\n".join(item.encode() if isinstance(item, str) else json.dumps(item).encode() for item in operations)


async def bulk(http: httpx.AsyncClient, *operations: Any, **query: Any) -> list[dict[str, Any]]:
    """Send operations and return the results."""
    response = await http.post("/book/bulk", content=ndjson(*operations), headers=LINES, params=query)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    results = [json.loads(line) for line in response.text.splitlines()]
    assert [result["index"] for result in results] == list(range(len(operations)))
    return results


def create(title: str = "Emma", **more: Any) -> Operation:
    """Return a create operation; names with an underscore are members beside the data."""
    members = {name[1:]: value for name, value in more.items() if name[0] == "_"}
    fields = {name: value for name, value in more.items() if name[0] != "_"}
    return {"op": "create", **members, "data": {"title": title, **fields}}


async def test_bulk_returns_a_result_per_operation_in_order(serve: Serve) -> None:
    """Each has its own status and sees the operations before it."""
    async with serve() as http:
        results = await bulk(
            http,
            create(_id="a", isbn="1"),
            create("taken", isbn="1"),
            {"op": "update", "id": "a", "data": {"title": "Persuasion"}},
            create("free again", isbn="1", _id="b"),
            {"op": "patch", "id": "a", "merge": {"year": 1817}},
            {"op": "patch", "id": "a", "patch": [{"op": "test", "path": "/year", "value": 1}]},
            {"op": "patch", "id": "a", "patch": [{"op": "add", "path": "/price", "value": 7.5}]},
            {"op": "update", "id": "a", "data": {"title": "Persuasion", "year": 1817, "price": 7.5}},
            {"op": "delete", "id": "a"},
            {"op": "delete", "id": "a"},
            create(_id="a"),
            {"op": "restore", "id": "a"},
            {"op": "restore", "id": "nobody"},
            create(),
        )
        statuses = [201, 409, 200, 201, 200, 409, 200, 200, 204, 410, 409, 200, 404, 201]
        assert [result["status"] for result in results] == statuses
        assert [result.get("version") for result in results[:9]] == [1, None, 2, 1, 3, None, 4, 4, 5]
        assert results[1]["problem"]["code"] == "unique_violation"
        read = await http.get("/book/a")
        assert read.json()["data"] == {"title": "Persuasion", "year": 1817, "isbn": None, "price": 7.5}
        assert read.headers["etag"] == results[11]["etag"]
        assert (await http.get(f"/book/{results[13]['id']}")).headers["etag"] == results[13]["etag"]
        assert len((await http.get("/book/a/revisions")).json()["items"]) == 4


async def test_4_bulk_checks_preconditions_per_operation(serve: Serve) -> None:
    """412 has the current tag."""
    async with serve() as http:
        (first,) = await bulk(http, create(_id="a"))
        results = await bulk(
            http,
            {"op": "update", "id": "a", "if_match": first["etag"], "data": {"title": "second"}},
            {"op": "update", "id": "a", "if_match": first["etag"], "data": {"title": "lost"}},
            {"op": "delete", "id": "a", "if_match": first["etag"]},
            {"op": "patch", "id": "a", "if_match": "*", "merge": {"year": 1}},
            {"op": "update", "id": "a", "if_none_match": "*", "data": {"title": "lost"}},
            {"op": "update", "id": "b", "if_none_match": "*", "data": {"title": "made"}},
            {"op": "update", "id": "b", "if_match": "*", "if_none_match": "*", "data": {"title": "x"}},
            {"op": "delete", "id": "b", "if_match": "not a tag"},
        )
        assert [result["status"] for result in results] == [200, 412, 412, 200, 412, 201, 422, 400]
        assert results[1]["etag"] == results[0]["etag"]
        assert results[4]["etag"] == results[3]["etag"]


async def test_bulk_of_json_is_answered_with_totals(serve: Serve) -> None:
    """With `Prefer: return=minimal` only failures are listed."""
    asked = [create(_id="a"), create(""), {"op": "delete", "id": "a"}]
    async with serve() as http:
        response = await http.post("/book/bulk", json={"operations": asked})
        answer = response.json()
        assert [item["status"] for item in answer["items"]] == [201, 422, 204]
        assert (answer["succeeded"], answer["failed"]) == (2, 1)
        again = (await http.post("/book/bulk", json=asked, headers={"Prefer": "return=minimal"})).json()
        assert [item["index"] for item in again["items"]] == [0, 1, 2]
        lines = await http.post(
            "/book/bulk", content=ndjson(create(), "x"), headers={**LINES, "Prefer": "return=minimal"}
        )
        failure, summary = map(json.loads, lines.text.splitlines())
        assert (failure["index"], failure["problem"]["code"]) == (1, "malformed_body")
        assert summary == {"succeeded": 1, "failed": 1}
        assert (await http.post("/book/bulk", json=[])).json() == {"items": [], "succeeded": 0, "failed": 0}


async def test_2_atomic_bulk_applies_all_or_nothing(serve: Serve) -> None:
    """A refusal is 409 and lists each operation."""
    async with serve() as http:
        await bulk(http, create(_id="old", isbn="1"))
        good = [
            {"op": "update", "id": "old", "data": {"title": "moved", "isbn": "2"}},
            create(_id="new", isbn="1"),
            {"op": "patch", "id": "new", "merge": {"year": 1}},
            {"op": "delete", "id": "new"},
        ]
        for bad, status in (
            (create(isbn="2"), 409),
            (create(""), 422),
            ({"op": "delete", "id": "nobody"}, 404),
            ({"op": "update", "id": "old", "if_match": '"9-9"', "data": {"title": "x"}}, 412),
            (create(_id="old"), 409),
        ):
            response = await http.post("/book/bulk", json=[*good, bad], params={"atomic": "true"})
            problem = response.json()
            assert (response.status_code, problem["code"]) == (409, "bulk_refused")
            assert [item["status"] for item in problem["results"]] == [424, 424, 424, 424, status]
        # What follows on a refused creation is not taken for a conflict that would pass.
        chain = [create(_id="old"), {"op": "patch", "id": "old", "merge": {"year": 1}}]
        problem = (await http.post("/book/bulk", json=chain, params={"atomic": "true"})).json()
        assert [item["status"] for item in problem["results"]] == [409, 424]
        assert (await http.get("/book/count", params={"include_deleted": "true"})).json() == {"count": 1}
        results = await bulk(http, *good, atomic="true")
        assert [result["status"] for result in results] == [200, 201, 200, 204]
        assert (await http.get("/book/old")).json()["data"]["isbn"] == "2"
        assert (await http.get("/book/new")).status_code == 410


async def test_invalid_operation_does_not_affect_others(serve: Serve) -> None:
    """Bad lines, unknown members, wrong types, and lines over the limit."""
    bad: list[tuple[Any, int]] = [
        ("not json", 400),
        ("{", 400),
        ("5", 422),
        ("null", 422),
        ("[]", 422),
        ({}, 422),
        ({"op": "zap", "id": "a"}, 422),
        ({"op": [], "id": "a"}, 422),
        ({"op": {"create": 1}}, 422),
        ({"op": "create"}, 422),
        ({"op": "create", "data": {"title": "x"}, "more": 1}, 422),
        ({"op": "create", "data": "x"}, 422),
        ({"op": "create", "id": 5, "data": {"title": "x"}}, 422),
        ({"op": "create", "id": "../x", "data": {"title": "x"}}, 400),
        ({"op": "create", "id": "bulk", "data": {"title": "x"}}, 400),
        ({"op": "create", "if_none_match": "*", "data": {"title": "x"}}, 422),
        ({"op": "create", "id": "q", "if_none_match": "x", "data": {"title": "x"}}, 422),
        ({"op": "update", "data": {"title": "x"}}, 422),
        ({"op": "patch", "id": "a"}, 422),
        ({"op": "patch", "id": "a", "merge": {}, "patch": []}, 422),
        ({"op": "patch", "id": "a", "patch": [{"op": "zap"}]}, 422),
        ({"op": "delete", "id": "a", "data": {"title": "x"}}, 422),
        (create("x" * 5000), 413),
        ('{"op": "create", "data": {"title": "\\ud800"}}', 400),
    ]
    async with serve() as http:
        asked = [item for operation, _ in bad for item in (operation, create())]
        results = await bulk(http, *asked)
        assert [result["status"] for result in results[::2]] == [status for _, status in bad]
        assert {result["status"] for result in results[1::2]} == {201}
        for response, status in (
            (await http.post("/book/bulk", content=b"{", headers={"content-type": "application/json"}), 400),
            (await http.post("/book/bulk", json={"operation": []}), 422),
            (await http.post("/book/bulk", json=[create(), 5]), 422),
            (await http.post("/book/bulk", json=[create("x" * 5000)]), 413),
            (await http.post("/book/bulk", content=b"", headers={"content-type": "text/csv"}), 415),
            (await http.post("/book/bulk?atomic=perhaps", json=[]), 400),
        ):
            assert response.status_code == status, response.text


async def test_operation_with_a_forbidden_member_names_the_member() -> None:
    """Also if the member is `data`, of which the operation takes none."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Book)
    crud.apply(app)
    async with serving(app) as http:
        results = await bulk(
            http, {"op": "delete", "id": "a", "data": {"title": "x"}}, {"op": "delete", "id": "a", "merge": {}}
        )
    problems = [result["problem"] for result in results]
    assert [[error["field"] for error in problem["errors"]] for problem in problems] == [["data"], ["merge"]]
    assert {problem["detail"] for problem in problems} == {"The operation is not valid."}


DATA = (
    "{}", "5", '{"title":1}', '{"title":""}', '{"title":"x","year":"1"}', '{"title":"x","price":NaN}',
    '{"title":"x","y":1}', '{"title":"x","year":1.0}', '{"title":"x","year":1.5}', '{"title":"x","isbn":"\\u0000"}',
    '{"title":"a","title":"b"}',
)  # fmt: skip


@pytest.mark.parametrize("data", DATA)
async def test_bulk_validates_data_like_a_post(data: str) -> None:
    """Equal messages and equal stored bytes, also from a JSON array."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Book)
    crud.apply(app)
    async with serving(app) as http:
        posted = await http.post("/book", content=data.encode(), headers={"content-type": "application/json"})
        operation = f'{{"op":"create","data":{data}}}'
        (line,) = await bulk(http, operation)
        array = await http.post("/book/bulk", content=f"[{operation}]", headers={"content-type": "application/json"})
        for result in (line, array.json()["items"][0]):
            assert result["status"] == posted.status_code
            if posted.status_code != 201:
                assert result["problem"] == posted.json()
            else:
                assert (await http.get(f"/book/{result['id']}")).json()["data"] == posted.json()["data"]


async def test_bulk_requires_preconditions_per_operation(serve: Serve) -> None:
    """A change without `if_match` is 428. A create needs none."""
    async with serve(require_if_match=True) as http:
        results = await bulk(
            http,
            create(_id="a"),
            {"op": "update", "id": "a", "data": {"title": "x"}},
            {"op": "delete", "id": "a"},
            {"op": "patch", "id": "a", "if_match": "*", "merge": {"year": 1}},
            {"op": "update", "id": "b", "if_none_match": "*", "data": {"title": "x"}},
        )
        assert [result["status"] for result in results] == [201, 428, 428, 200, 201]


async def test_bulk_lines_in_any_pieces_are_applied(serve: Serve) -> None:
    """Cut anywhere, with blank lines, without a last line feed."""
    count = 2000

    async def body() -> AsyncIterator[bytes]:
        content = b"\n\r\n".join(ndjson(create(f"book {number}", year=number)) for number in range(count))
        size = 7
        while content:
            yield content[:size]
            content, size = content[size:], size * 3 % 10_007 + 1

    async with serve() as http:
        response = await http.post("/book/bulk", content=body(), headers=LINES)
        results = [json.loads(line) for line in response.text.splitlines()]
        assert [(result["index"], result["status"]) for result in results] == [(n, 201) for n in range(count)]
        assert len({result["id"] for result in results}) == count
        assert (await http.get("/book/count")).json() == {"count": count}
        # Those that were created together are listed as they came, the last one first.
        page = (await http.get("/book", params={"limit": 3, "returns": "data"})).json()
        assert [item["data"]["year"] for item in page["items"]] == [count - 1, count - 2, count - 3]


async def test_concurrent_bulk_patches_lose_no_update(serve: Serve) -> None:
    """Four requests patch the same resources."""

    async with serve() as http:
        await bulk(http, *(create(_id=f"r{number}", year=0) for number in range(5)))
        patches = [{"op": "patch", "id": f"r{number % 5}", "merge": {"year": number}} for number in range(10)]
        found = await asyncio.gather(*(bulk(http, *patches) for _ in range(4)))
        assert {result["status"] for results in found for result in results} == {200}
