"""Bounds of errors: number, length, and the memory to build them."""

import tracemalloc
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from autocrud.errors import FieldError, InvalidData, NotFound, PatchFailed
from autocrud.errors.base import MAX_ERRORS, MAX_MESSAGE
from autocrud.schema.model_spec import ModelSpec
from tests.bounds.conftest import Note, note

_WRONG_ITEMS = 10**6
_MAX_PYTHON_BYTES = 16 * 1024 * 1024  # of the body, its copies and the errors
_MAX_ANSWER = 64 * 1024
_JSON = {"content-type": "application/json"}
_LINES = {"content-type": "application/x-ndjson"}
_WRONG_LIST = b'{"tags":[' + b",".join([b"1"] * _WRONG_ITEMS) + b"]}"
_WRONG_MAPPING = b'{"members":{' + b",".join(b'"%d":[]' % number for number in range(20_000)) + b"}}"
_NAN_LIST = b'{"free":[' + b",".join([b"1e999"] * 20_000) + b"]}"
_SHORTER_LIST = b'{"tags":[' + b",".join([b"1"] * 100_000) + b"]}"
_BODIES = {"list": _SHORTER_LIST, "mapping": _WRONG_MAPPING, "infinite numbers": _NAN_LIST}


class Tags(BaseModel):
    """A list of texts."""

    tags: list[str]


@pytest.mark.parametrize("body", _BODIES.values(), ids=_BODIES.keys())
@pytest.mark.parametrize("route", ["create", "bulk lines", "bulk array", "import", "transaction"])
async def test_very_many_errors_are_built_and_sent_up_to_a_limit(
    http: httpx.AsyncClient, route: str, body: bytes
) -> None:
    """A body with an error in each item has an answer of bounded size, and its errors fill no memory."""
    line = b'{"op":"create","data":%s}' % body
    path, content, headers = {
        "create": ("/note", body, _JSON),
        "bulk lines": ("/note/bulk", line, _LINES),
        "bulk array": ("/note/bulk", b"[%s]" % line, _JSON),
        "import": ("/note/import", b'{"data":%s}' % body, _LINES),
        "transaction": ("/transaction", b'{"operations":[{"model":"note",%s]}' % line[1:], _JSON),
    }[route]
    response = await http.post(path, content=content, headers=headers)
    assert "invalid_data" in response.text
    assert len(response.content) < _MAX_ANSWER
    assert response.text.count('"field"') <= MAX_ERRORS + 1


def test_errors_of_a_long_list_fill_no_memory() -> None:
    """The errors of a million wrong items take less memory than a few copies of the body."""
    spec = ModelSpec(Tags)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidData) as raised:
            spec.parse(_WRONG_LIST)
        assert raised.value.errors[0] == FieldError("tags.0", "Input should be a valid string")
        assert len(raised.value.errors) == 1
        assert tracemalloc.get_traced_memory()[1] < _MAX_PYTHON_BYTES
    finally:
        tracemalloc.stop()


def test_errors_past_the_limit_are_not_built() -> None:
    """An error takes the first hundred errors of an iterator, and says that there are more."""
    built = 0

    def errors() -> Any:
        nonlocal built
        for built in range(1, 10**9):
            yield FieldError(str(built), "is wrong")

    error = InvalidData("Wrong.", errors())
    assert built == len(error.errors) == MAX_ERRORS + 1
    assert error.errors[-1].field == "(more)"
    assert len(str(error)) <= MAX_MESSAGE


def test_short_body_lists_each_error() -> None:
    """A body of usual size has an error for each item."""
    spec = ModelSpec(Note)
    with pytest.raises(InvalidData) as raised:
        spec.parse(b'{"tags":[1,2,3],"number":"x"}')
    assert [error.field for error in raised.value.errors] == ["number", "tags.0", "tags.1", "tags.2"]


def test_long_body_accepts_the_values_of_a_short_one() -> None:
    """The validator of long bodies makes equal values."""
    spec = ModelSpec(Note)
    for count in (1, 100_000):
        parsed = spec.parse(b'{"tags":[' + b",".join([b'"a"'] * count) + b"]}")
        assert parsed == Note(tags=["a"] * count)


def test_messages_of_errors_are_short() -> None:
    """No error quotes a text of the client in full."""
    long_text = "x" * 10**6
    for error in (
        NotFound("note", long_text),
        PatchFailed(0, "add", long_text, long_text),
        InvalidData(long_text, [FieldError(long_text, long_text)] * 200),
    ):
        assert len(str(error)) <= MAX_MESSAGE
        assert len(str(error.args[0])) <= MAX_MESSAGE


async def test_failed_patch_quotes_no_stored_data(http: httpx.AsyncClient) -> None:
    """The answer to a patch that does not apply is short, and holds nothing of the document."""
    path = await note(
        http, title="a-secret", tags=["a-secret"] * 1000, free={"a-secret": {"name": ["a-secret"] * 1000}}
    )
    patches: list[list[dict[str, Any]]] = [
        [{"op": "test", "path": "/title", "value": "b"}],
        [{"op": "test", "path": "", "value": "b"}],
        [{"op": "remove", "path": "/free/other"}],
        [{"op": "remove", "path": "/tags/other"}],
        [{"op": "add", "path": "/title/other", "value": 1}],
        [{"op": "replace", "path": "/free/other/name", "value": 1}],
        [{"op": "copy", "from": "/free/other", "path": "/tags"}],
        [{"op": "move", "from": "/tags/100000", "path": "/free"}],
        [{"op": "remove", "path": "/title"}, {"op": "remove", "path": ""}],
        [{"op": "add", "path": "/tags/" + "9" * 90, "value": "b"}],
        [{"op": "add", "path": "/" + "x" * 100_000, "value": 1}],
    ]
    for patch in patches:
        response = await http.patch(path, json=patch, headers={"content-type": "application/json-patch+json"})
        assert 400 <= response.status_code < 500, response.text
        assert "a-secret" not in response.text
        assert len(response.content) < 3 * MAX_MESSAGE
