"""Bounds of bulk writes: work per operation, and results that are much larger than their operations."""

import asyncio
import sys
from types import FrameType
from typing import Any

import httpx
import pytest

from autocrud.manager.bulk.steps import CHUNK_OPERATIONS, MAX_FAULTS
from autocrud.routes.request.bulk_reader import MAX_ARRAY
from autocrud.routes.response.spool import SpoolBudget, SpooledBuffer
from tests.bounds.conftest import note

_LINES = {"content-type": "application/x-ndjson"}


async def _calls_of_bulk(http: httpx.AsyncClient, path: str, count: int) -> int:
    """Return the number of calls of functions that a bulk request of changes of one resource makes."""
    resource_id = path.rpartition("/")[2]
    operations = [{"op": "patch", "id": resource_id, "merge": {"number": number}} for number in range(count)]
    calls = 0

    def note_call(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(note_call)
    try:
        response = await http.post("/note/bulk", json=operations)
    finally:
        sys.setprofile(None)
    assert response.json()["failed"] == 0
    return calls


async def test_work_of_a_bulk_on_one_resource_is_linear(http: httpx.AsyncClient) -> None:
    """Ten times the operations on one id make about ten times the calls."""
    path = await note(http)
    few, many = await _calls_of_bulk(http, path, 100), await _calls_of_bulk(http, path, 1000)
    assert many < 13 * few


async def test_bulk_commits_a_json_body_in_chunks(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps of a JSON body are in memory for a chunk at a time, as those of lines are."""
    from autocrud.manager.bulk.writer import BulkWriter

    sizes: list[int] = []
    commit: Any = BulkWriter._commit

    async def note_size(self: Any, steps: list[Any], *arguments: Any) -> Any:
        sizes.append(len(steps))
        return await commit(self, steps, *arguments)

    monkeypatch.setattr(BulkWriter, "_commit", note_size)
    operations = [{"op": "delete", "id": "missing"}] * (3 * CHUNK_OPERATIONS)
    assert (await http.post("/note/bulk", json=operations)).json()["failed"] == len(operations)
    assert max(sizes) < CHUNK_OPERATIONS + 200


async def test_json_body_with_very_many_operations_is_refused(http: httpx.AsyncClient) -> None:
    """A body of three bytes per operation cannot make a result for each of a million."""
    response = await http.post(
        "/note/bulk", content=b"[" + b"{}," * MAX_ARRAY + b"{}]", headers={"content-type": "application/json"}
    )
    assert response.status_code == 422
    assert len(response.content) < 1000


async def test_result_of_an_operation_has_few_faults(http: httpx.AsyncClient) -> None:
    """A refused operation names its first faults only."""
    operation = {"op": "create", "data": {"tags": list(range(1000))}}
    (item,) = (await http.post("/note/bulk", json=[operation])).json()["items"]
    assert len(item["problem"]["errors"]) == MAX_FAULTS


async def test_results_that_nobody_reads_wait_in_bounded_files() -> None:
    """The files of all requests have a limit together. A client that reads its own results goes on."""
    budget, piece = SpoolBudget(1000), b"x" * 100
    buffers = [SpooledBuffer(in_memory=0, in_file=600, budget=budget) for _ in range(5)]

    async def fill(buffer: SpooledBuffer) -> None:
        for _ in range(50):
            await buffer.put(piece)
        await buffer.end()

    async def drain(buffer: SpooledBuffer) -> int:
        size = 0
        while data := await buffer.get():
            assert budget.used <= 2000
            size += len(data)
        return size

    filling = [asyncio.ensure_future(fill(buffer)) for buffer in buffers]
    assert [await drain(buffer) for buffer in buffers] == [5000] * 5
    await asyncio.gather(*filling)
    for buffer in buffers:
        await buffer.close()
    assert budget.used == 0


async def test_closed_buffer_frees_its_part_of_the_budget() -> None:
    """The bytes of a client that disconnected count no longer."""
    budget = SpoolBudget(1000)
    buffer = SpooledBuffer(in_memory=0, budget=budget)
    await buffer.put(b"x" * 100)
    assert budget.used == 100
    await buffer.close()
    assert budget.used == 0


async def test_lines_without_bodies_are_answered_in_a_stream(http: httpx.AsyncClient) -> None:
    """Very many lines that are no operations have a result each, in chunks."""
    lines = b"x\n" * 20_000
    async with http.stream("POST", "/note/bulk", content=lines, headers=_LINES) as response:
        sizes = [len(piece) async for piece in response.aiter_raw()]
    assert sum(sizes) > 100 * len(lines) / 2
    assert max(sizes) < 4 * 1024 * 1024
