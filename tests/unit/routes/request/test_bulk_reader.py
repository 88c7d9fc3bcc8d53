"""Bulk reader: operations from NDJSON lines and JSON arrays."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import BaseModel

from autocrud.errors import InvalidData, MalformedBody, PayloadTooLarge, PreconditionRequired
from autocrud.manager.bulk.operation import BulkOp
from autocrud.routes.request.bulk_reader import OperationReader
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.json_patch import MergePatch, OperationsPatch


class Note(BaseModel):
    """A note."""

    text: str


READER = OperationReader(ModelSpec(Note), 100, None)
LINE = b'{"op":"create","data":{"text":"x"}}'


def line(**members: Any) -> bytes:
    """Return an operation as a line."""
    return json.dumps(members).encode()


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield the chunks of a body."""
    for chunk in chunks:
        yield chunk


def test_read_returns_operation_with_precondition_and_patch() -> None:
    """Each kind has its own members."""
    created = READER.read(LINE)
    assert (created.op, created.resource_id, created.refused) == (BulkOp.create, None, None)
    deleted = READER.read(line(op="delete", id="a", if_match='"1-x"'))
    assert (deleted.op, deleted.resource_id, deleted.if_match) == (BulkOp.delete, "a", ["1-x"])
    upsert = READER.read(line(op="update", id="a", data={"text": "y"}, if_none_match="*"))
    assert (upsert.op, upsert.if_absent) == (BulkOp.update, True)
    assert isinstance(READER.read(line(op="patch", id="a", merge={"text": "z"})).patch, MergePatch)
    assert isinstance(READER.read(line(op="patch", id="a", patch=[])).patch, OperationsPatch)


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"op": "create", "data": {}}, "text"),
        ({"op": "create", "data": 1}, "(body)"),
        ({"op": "create"}, "data"),
        ({"op": "erase", "id": "a"}, "op"),
        ({"id": "a"}, "op"),
        ({"op": "delete", "id": "a", "more": {}}, "more"),
        ({"op": "delete", "id": 1}, "id"),
        ({"op": "create", "data": {"text": "x"}, "if_none_match": "*"}, "id"),
        ({"op": "update", "id": "a", "data": {"text": "x"}, "if_match": '"1"', "if_none_match": "*"}, "if_match"),
        ({"op": "patch", "id": "a"}, "patch"),
        ({"op": "patch", "id": "a", "patch": [], "merge": {}}, "patch"),
    ],
)
def test_read_of_invalid_operation_carries_the_field(content: dict[str, Any], field: str) -> None:
    """The operation carries the error, and the id of the line if the id is a text."""
    operation = READER.read(line(**content))
    assert isinstance(operation.refused, InvalidData)
    assert [error.field for error in operation.refused.errors] == [field]
    expected_id = content.get("id")
    assert operation.resource_id == (expected_id if isinstance(expected_id, str) else None)


def test_read_without_required_precondition_is_refused() -> None:
    """A create needs no precondition; a change needs one."""
    reader = OperationReader(ModelSpec(Note), 100, "note")
    assert reader.read(LINE).refused is None
    assert isinstance(reader.read(line(op="delete", id="a")).refused, PreconditionRequired)
    assert reader.read(line(op="delete", id="a", if_match="*")).refused is None


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_lines_in_chunks_of_any_size_are_read(size: int) -> None:
    """Blank lines are skipped; the last line needs no line feed."""
    body = LINE + b"\n\n  \r\n" + line(op="delete", id="a") + b"\nnonsense\n" + line(op="restore", id="b")
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    operations = [operation async for group in READER.read_lines(stream(*chunks)) for operation in group]
    assert [operation.op for operation in operations] == [BulkOp.create, BulkOp.delete, BulkOp.create, BulkOp.restore]
    assert [type(operation.refused) for operation in operations] == [type(None), type(None), MalformedBody, type(None)]


async def test_line_over_the_limit_is_refused_once() -> None:
    """The rest of the line is skipped, and the next line is read."""
    chunks = (b"x" * 80, b"x" * 80, b"x" * 200, b"x\n" + LINE, b"\n")
    operations = [operation async for group in READER.read_lines(stream(*chunks)) for operation in group]
    assert [type(operation.refused) for operation in operations] == [PayloadTooLarge, type(None)]


async def test_array_accepts_both_forms() -> None:
    """An invalid item carries its own error."""
    for body in (b"[%s, {}]" % LINE, b'{"operations": [%s, {}]}' % LINE):
        operations = await READER.read_array(body)
        assert [type(operation.refused) for operation in operations] == [type(None), InvalidData]


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"[", MalformedBody), (b"{}", InvalidData), (b'{"operations": [], "x": 1}', InvalidData), (b"[1]", InvalidData)],
)
async def test_array_with_another_body_raises(body: bytes, error: type[Exception]) -> None:
    """The whole request is refused if the body is not a list of objects."""
    with pytest.raises(error):
        await READER.read_array(body)
