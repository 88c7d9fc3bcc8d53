"""Bulk writer and bulk reader: streams, outages, and models of every kind."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, RootModel
from typing_extensions import TypedDict

from autocrud import AutoCRUD, ResourceManager
from autocrud.errors import BulkRefused, InvalidData, StorageUnavailable
from autocrud.manager.bulk.operation import BulkOp, BulkOperation, BulkResult
from autocrud.routes.request.bulk_reader import OperationReader
from autocrud.schema.forms.stored_form import Parsed
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Outcome, Write

LIMIT = 4096


class Note(BaseModel):
    """A note."""

    text: str


class Strict(BaseModel):
    """A model that accepts no other types and no other members."""

    model_config = ConfigDict(strict=True, extra="forbid")

    number: int


class Loose(TypedDict):
    """A model that ignores other members."""

    number: int


@dataclass
class Point:
    """A point."""

    x: int
    y: int = 0


class Tree(BaseModel):
    """A model that contains itself."""

    name: str
    children: list["Tree"] = []


class Names(RootModel[list[str]]):
    """A model that is no object."""


NOTES: ModelSpec[Note] = ModelSpec(Note)


async def manager_of(storage: IStorage) -> ResourceManager[Note]:
    """Yield a manager of notes on an open storage."""
    await storage.open()
    return ResourceManager(NOTES, storage)


def create(number: int) -> BulkOperation:
    """Return an operation that creates a note."""
    return BulkOperation(BulkOp.create, f"n{number}", {"text": str(number)})


def forgetful(*, away_from: int = 1 << 62) -> IStorage:
    """Return a storage that stores nothing, and is unavailable from some write on."""
    storage, writes = MemoryStorageFactory().build(NOTES), 0

    async def commit_all(asked: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        nonlocal writes
        writes += len(asked)
        await asyncio.sleep(0)
        return [StorageUnavailable("away") if writes > away_from else None for _ in asked]

    storage.commit_all = commit_all  # type: ignore[method-assign,assignment]
    return storage


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (Strict, '{"number":1}'), (Strict, '{"number":"1"}'), (Strict, '{"number":1,"x":1}'),
        (Loose, '{"number":"1","x":1}'), (Loose, "{}"), (Point, '{"x":"1","z":1}'), (Point, "[1]"),
        (Tree, '{"name":"a","children":[{"name":"b","children":[{"name":"c"}]}]}'), (Tree, '{"name":1}'),
        (Tree, '{"name":"a","children":[{}]}'),
        (Names, '["a","b"]'), (Names, '["a",1]'),
    ],
)  # fmt: skip
def test_operation_validates_data_like_the_model_alone(model: type[Any], body: str) -> None:
    """Check models of any kind."""
    spec: ModelSpec[Any] = ModelSpec(model)
    reader = OperationReader(spec, LIMIT, None)
    for operation in (f'{{"op":"create","data":{body}}}', f'{{"data":{body},"id":"a","op":"update"}}'):
        found = reader.read(operation.encode())
        assert _outcome(found) == _alone(spec, body.encode())


def _outcome(found: BulkOperation) -> Any:
    if isinstance(found.refused, InvalidData):
        return str(found.refused), found.refused.errors
    return found.value.value if isinstance(found.value, Parsed) else found.refused


def _alone(spec: ModelSpec[Any], body: bytes) -> Any:
    try:
        return spec.parse(body)
    except InvalidData as error:
        return str(error), error.errors


async def test_line_over_the_limit_is_skipped() -> None:
    """In pieces of any size; the line is never held in memory."""
    reader = OperationReader(NOTES, LIMIT, None)
    good = b'{"op":"create","data":{"text":"x"}}\n'
    long = b'{"op":"create","data":{"text":"' + b"x" * 50_000 + b'"}}\n'
    for size in (1, 100, 4096, 10_000, 1_000_000):
        content = good + long + good + long + long + good

        async def pieces(content: bytes = content, size: int = size) -> AsyncIterator[bytes]:
            for first in range(0, len(content), size):
                yield content[first : first + size]

        found = [operation async for portion in reader.read_lines(pieces()) for operation in portion]
        assert [operation.refused is None for operation in found] == [True, False, True, False, False, True]


async def test_single_operation_is_answered_without_waiting() -> None:
    """The client sends the next operation only after the answer."""
    manager = await manager_of(MemoryStorageFactory().build(NOTES))
    answered = asyncio.Event()

    async def operations() -> AsyncIterator[BulkOperation]:
        for number in range(3):
            yield create(number)
            await answered.wait()
            answered.clear()

    seen = []
    async with asyncio.timeout(10):
        async for result in manager.bulk.run(operations()):
            seen.append(result.resource_id)
            answered.set()
    assert seen == ["n0", "n1", "n2"]


async def test_9_long_stream_takes_constant_memory() -> None:
    """Send 20,000 operations. None is read far ahead of its answer."""
    manager = await manager_of(forgetful())
    reader = OperationReader(NOTES, LIMIT, None)
    read = answered = ahead = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(200):
            read += 100
            yield b"".join(b'{"op":"create","data":{"text":"%s"}}\n' % (b"x" * 500) for _ in range(100))

    gc.collect()
    tracemalloc.start()
    async for results in manager.bulk.stream(reader.read_lines(pieces())):
        answered += len(results)
        ahead = max(ahead, read - answered)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (answered, read) == (20_000, 20_000)
    assert ahead <= 6000
    assert peak < 25_000_000


async def test_outage_ends_the_stream_after_started_operations() -> None:
    """Unknown outcomes are reported, and operations not started have no result."""
    manager = await manager_of(forgetful(away_from=4000))
    found: list[BulkResult] = []

    async def more() -> AsyncIterator[Sequence[BulkOperation]]:
        for first in range(0, 20_000, 500):
            yield [create(number) for number in range(first, first + 500)]

    stream = manager.bulk.stream(more())
    with pytest.raises(StorageUnavailable):
        await _into(found, stream)
    assert [result.index for result in found] == list(range(len(found)))
    known = [result for result in found if result.error is None]
    assert 0 < len(known) <= 4000
    assert {(type(result.error), result.unknown) for result in found[len(known) :]} == {(StorageUnavailable, True)}
    assert len(found) <= 6500
    with pytest.raises(StorageUnavailable):
        await manager.bulk.atomic([create(1)])


async def test_closed_stream_starts_no_further_operation() -> None:
    """Operations in flight are finished."""
    storage = MemoryStorageFactory().build(NOTES)
    manager = await manager_of(storage)
    asked = 0

    async def operations() -> AsyncIterator[Sequence[BulkOperation]]:
        nonlocal asked
        while True:
            asked += 1
            yield [create(asked)]
            await asyncio.sleep(0)

    stream = manager.bulk.stream(operations())
    assert len(await anext(stream)) >= 1
    await stream.aclose()
    before = asked
    await asyncio.sleep(0.01)
    assert asked == before
    assert await manager.count() <= asked


async def test_python_operations_equal_http_operations() -> None:
    """From any iterable. A refused atomic request has a result per operation."""
    manager = await manager_of(MemoryStorageFactory().build(NOTES))
    results = [result async for result in manager.bulk.run([create(1), create(1), create(2)], by="ada")]
    assert [result.error and result.error.code for result in results] == [None, "already_exists", None]
    assert (await manager.get("n2")).tag == results[2].tag
    with pytest.raises(BulkRefused) as caught:
        await manager.bulk.atomic([create(3), BulkOperation(BulkOp.delete, "n9")])
    codes = [result.error.code for result in caught.value.results if isinstance(result, BulkResult) and result.error]
    assert codes == ["aborted", "not_found"]
    assert json.loads((await manager.get("n1")).head.meta)["created_by"] == "ada"


async def _into(found: list[BulkResult], stream: AsyncIterator[list[BulkResult]]) -> None:
    async for results in stream:
        found += results


@pytest.mark.parametrize("leaves_after", [None, 60])
async def test_client_may_send_everything_before_reading(leaves_after: int | None) -> None:
    """The answer waits in a file. A client that leaves keeps its writes and leaves no task."""
    crud, app, pieces = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI(), 100
    crud.add_model(Note)
    crud.apply(app)
    line = b'{"op":"create","data":{"text":"x"}}\n'
    answer: list[bytes] = []
    sent, sent_all = 0, asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        if sent in (leaves_after, pieces):
            sent_all.set()
        if sent == leaves_after:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": line * 200, "more_body": sent < pieces}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await sent_all.wait()
            answer.append(message["body"])

    scope = {
        "type": "http", "method": "POST", "path": "/note/bulk", "raw_path": b"/note/bulk", "query_string": b"",
        "headers": [(b"content-type", b"application/x-ndjson")], "http_version": "1.1", "scheme": "http",
        "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    async with app.router.lifespan_context(app), asyncio.timeout(60):
        before = asyncio.all_tasks()
        await app(scope, receive, send)
        assert asyncio.all_tasks() <= before
        count = await crud.manager(Note).count()
    if leaves_after is None:
        assert count == b"".join(answer).count(b"\n") == 200 * pieces
        assert answer[-1] == b""
    else:
        assert b"".join(answer).count(b"\n") <= count <= 200 * leaves_after
