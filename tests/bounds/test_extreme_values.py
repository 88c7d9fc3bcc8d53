"""Bounds of values: nesting, numbers of very many digits and malformed headers get an answer below 500."""

from typing import Any

import httpx
import pytest

from autocrud.schema.nesting import MAX_DEPTH
from tests.bounds.conftest import note

_DIGITS = "9" * 5000
_PATCH = {"content-type": "application/json-patch+json"}
_MERGE = {"content-type": "application/merge-patch+json"}
_LINES = {"content-type": "application/x-ndjson"}
_JSON = {"content-type": "application/json"}


def _writes(path: str, value: str) -> list[tuple[str, str, dict[str, str], str]]:
    """Return a request of each kind of write that stores a JSON value."""
    data, resource_id = f'{{"free":{value}}}', path.rpartition("/")[2]
    create = f'{{"op":"create","data":{data}}}'
    return [
        ("POST", "/note", _JSON, data),
        ("PUT", path, _JSON, data),
        ("PATCH", path, _MERGE, data),
        ("PATCH", path, _PATCH, f'[{{"op":"add","path":"/free","value":{value}}}]'),
        ("PATCH", path, _PATCH, f'[{{"op":"test","path":"/free","value":{value}}}]'),
        ("PATCH", "/note?title=a", _MERGE, data),
        ("POST", "/note/bulk", _LINES, create),
        ("POST", "/note/bulk", _JSON, f'[{{"op":"patch","id":"{resource_id}","merge":{data}}}]'),
        ("POST", "/note/import", _LINES, f'{{"data":{data}}}'),
        ("POST", "/transaction", _JSON, f'{{"operations":[{{"model":"note",{create[1:]}]}}'),
    ]


def _nested(depth: int, *, text: bool = False) -> str:
    value = "[" * depth + "]" * depth
    return f'"{value}"' if text else value


@pytest.mark.parametrize("depth", [MAX_DEPTH, 150, 199, 250, 100_000])
async def test_deeply_nested_value_is_refused(http: httpx.AsyncClient, depth: int) -> None:
    """Each kind of write refuses a value that is nested too deeply, and stores nothing."""
    path = await note(http)
    for method, url, headers, content in _writes(path, _nested(depth)):
        response = await http.request(method, url, headers=headers, content=content)
        assert response.status_code < 500, (url, response.text)
        assert '"status":500' not in response.text
    for url in ("/note", f"{path}/revisions?returns=data", "/note/export"):
        assert "[" * MAX_DEPTH not in (await http.get(url)).text


async def test_value_of_the_greatest_depth_can_be_read_everywhere(http: httpx.AsyncClient) -> None:
    """A value of the limit is stored, and every route can read it."""
    value = _nested(MAX_DEPTH - 1)
    path = await note(http)
    for method, url, headers, content in _writes(path, value):
        response = await http.request(method, url, headers=headers, content=content)
        assert response.status_code in (200, 201), (url, response.text)
    for url in (
        path,
        f"{path}?fields=free",
        "/note",
        f"{path}/revisions?returns=data",
        f"{path}/revisions/diff?from=1&to=2",
    ):
        assert (await http.get(url)).status_code == 200, url
    lines = (await http.get("/note/export")).content
    imported = await http.post("/note/import?on_duplicate=overwrite", content=lines, headers=_LINES)
    assert '"failed":0' in imported.text


async def test_nesting_inside_a_json_text_is_refused(http: httpx.AsyncClient) -> None:
    """JSON in a text counts, because answers show it parsed."""
    for depth, status in ((MAX_DEPTH - 1, 201), (MAX_DEPTH, 422)):
        response = await http.post("/note", json={"text": _nested(depth)})
        assert response.status_code == status, response.text


@pytest.mark.parametrize("op", ["copy", "move"])
async def test_patch_that_nests_deeper_with_each_operation_is_refused(http: httpx.AsyncClient, op: str) -> None:
    """A patch cannot build a document that is nested too deeply, in however many operations."""
    path = await note(http)
    deep = "/free" + "/a" * 90
    patch: list[dict[str, Any]] = [{"op": "add", "path": "/free", "value": _objects(90)}]
    if op == "copy":
        patch += [{"op": "copy", "from": "/free", "path": deep}] * 20
    else:
        outer = {"op": "add", "path": "/tags", "value": _objects(90)}
        down, up = (
            {"op": "move", "from": "/free", "path": f"/tags{'/a' * 90}"},
            {"op": "move", "from": "/tags", "path": "/free"},
        )
        patch += [outer, down, up] * 30
    response = await http.patch(path, json=patch, headers=_PATCH)
    assert 400 <= response.status_code < 500, response.text


def _objects(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


async def test_pointer_with_many_levels_or_digits_is_refused(http: httpx.AsyncClient) -> None:
    """A pointer of a patch has a limit of levels, and of digits of a number."""
    path = await note(http, tags=["a"])
    for pointer in ("/free" * 100_000, f"/tags/{_DIGITS}", f"/members/{_DIGITS}"):
        for operation in (
            {"op": "add", "path": pointer, "value": 1},
            {"op": "remove", "path": pointer},
            {"op": "copy", "from": pointer, "path": "/title"},
        ):
            response = await http.patch(path, json=[operation], headers=_PATCH)
            assert response.status_code == 422, response.text
            assert response.json()["code"] == "invalid_patch"


async def test_number_of_very_many_digits_in_a_body_has_an_answer(http: httpx.AsyncClient) -> None:
    """Each kind of write answers a number of 5,000 digits, and one as the key of a mapping."""
    path = await note(http)
    wrong_key = f'{{"members":{{"{_DIGITS}":"x"}}}}'
    requests = [write for value in (_DIGITS, f"1e{_DIGITS}", f"0.{_DIGITS}") for write in _writes(path, value)]
    requests += [("POST", "/note", _JSON, wrong_key), ("PATCH", path, _MERGE, wrong_key)]
    for method, url, headers, content in requests:
        response = await http.request(method, url, headers=headers, content=content)
        assert response.status_code < 500, (url, response.text)
        assert '"status":500' not in response.text
        assert len(response.content) < 20_000


async def test_number_of_very_many_digits_in_a_url_has_an_answer(http: httpx.AsyncClient) -> None:
    """Each number of a path or a query may have 5,000 digits."""
    path = await note(http)
    names = ("number", "number__in", "limit", "cursor", "at", "created_time__gte", "fields", "sort", "returns", "title")
    urls = [f"/note?{name}={_DIGITS}" for name in names]
    urls += [f"/note?qb=QB['number']=={_DIGITS[:3900]}", f"/note?at=2026-01-01T00:00:00.{_DIGITS}Z", f"/note/{_DIGITS}"]
    urls += [f"{path}/revisions{end}" for end in (f"/{_DIGITS}", f"?from={_DIGITS}", f"/diff?from=1&to={_DIGITS}")]
    urls += [
        f"/picture/uploads/{_DIGITS}",
        f"/note/aggregate?metrics=sum:{_DIGITS}",
        f"/note?fields=tags.{_DIGITS[:1900]}",
    ]
    for url in urls:
        response = await http.get(url)
        assert response.status_code < 500, (url[:50], response.text)
        assert len(response.content) < 8000


async def test_extreme_header_has_an_answer(http: httpx.AsyncClient) -> None:
    """Each header that the service reads may have any value."""
    path = await note(http)
    names = (
        "content-type", "content-length", "content-encoding", "accept", "if-match", "if-none-match",
        "idempotency-key", "prefer", "range", "host", "x-request-id",
    )  # fmt: skip
    for name in names:
        for value in (_DIGITS, ",;=\"'" * 500, "\x7f\x1b[31m"):
            for method, url in (("POST", "/note"), ("GET", path), ("PUT", path), ("POST", "/picture/blobs")):
                headers = {"content-type": "application/json", name: value}
                content = None if method == "GET" else b"{}"
                response = await http.request(method, url, headers=headers, content=content)
                assert response.status_code < 500, (name, value[:10], response.text)
                assert len(response.content) < 8000


@pytest.mark.parametrize(
    "date",
    [
        "x", "Thu, 01 Jan 1970 00:00:00", "Mon, 01 Jan 2124 00:00:00 -0000", "Mon, 99 Foo 99999 99:99:99 GMT",
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2124 00:00:00 +999999", "1" * 400,
    ],
)  # fmt: skip
async def test_malformed_date_header_is_ignored(http: httpx.AsyncClient, date: str) -> None:
    """A date that is no HTTP date has no effect (RFC 9110, 13.1.3); a range of `If-Range` is then not sent."""
    blob = (await http.post("/picture/blobs", content=b"hello")).json()
    resource_id = (await http.post("/picture", json={"file": blob})).json()["meta"]["resource_id"]
    url = f"/picture/{resource_id}/blobs/{blob['file_id']}"
    for name in ("if-modified-since", "if-unmodified-since"):
        assert (await http.get(url, headers={name: date})).content == b"hello"
    assert (await http.get(url, headers={"if-range": date, "range": "bytes=0-1"})).content == b"hello"
