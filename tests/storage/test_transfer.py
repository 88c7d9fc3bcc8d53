"""Transfer of histories between storages, and rebuilds of imported data."""

import shutil
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic_core import from_json, to_json

from autocrud.manager.manager import ResourceManager
from autocrud.manager.transfer.import_planner import OnDuplicate
from autocrud.manager.transfer.importer import Progress, Refusal
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import RevisionSpan
from autocrud.testing.conformance import ids
from autocrud.testing.sample_writes import SAMPLE
from tests.servers_real import postgres
from tests.storage.backends import BACKENDS, remove_sqlite_files, storage_on
from tests.storage.full_scenario import read_everything, write_everything

Lines = list[bytes]


async def export_lines(storage: IStorage, **asked: Any) -> Lines:
    """Return all lines except the last."""
    transfer = ResourceManager(SAMPLE, storage).transfer
    content = b"".join([piece async for piece in transfer.export(**asked)])
    return content.splitlines(keepends=True)[:-1]


async def import_lines(storage: IStorage, lines: Lines, **asked: Any) -> dict[str, int]:
    """Import lines of which none is refused. Return the counts."""
    transfer = ResourceManager(SAMPLE, storage).transfer
    reports = [report async for report in transfer.load(_body(lines), **asked)]
    assert not [report for report in reports if isinstance(report, Refusal)]
    last = reports[-1]
    assert isinstance(last, Progress)
    assert last.ended
    return {name: number for name, number in last.counts.items() if number}


async def _body(lines: Lines) -> AsyncIterator[bytes]:
    content = b"".join(lines)
    for start in range(0, len(content), 10_000):
        yield content[start : start + 10_000]


async def _without_sqlite(path: Path) -> None:
    remove_sqlite_files(path)


async def _without_cache(path: Path) -> None:
    shutil.rmtree(path / "cache")


async def _without_tables(path: Path) -> None:
    connection = await asyncpg.connect(postgres().url)
    await connection.execute(f'DROP SCHEMA "{path.name}" CASCADE')
    await connection.close()


LOSING: dict[str, Callable[[Path], Awaitable[None]]] = {
    "disk": _without_sqlite,
    "s3": _without_cache,
    "postgres": _without_tables,
}


@asynccontextmanager
async def everything() -> AsyncIterator[IStorage]:
    """Yield a storage with commits of all kinds."""
    async with storage_on(MemoryStorageFactory()) as storage:
        await write_everything(storage)
        yield storage


async def test_import_of_a_history_keeps_its_pruned_revisions() -> None:
    """Commits of each kind. Revisions without data stay without data."""
    async with everything() as source, storage_on(MemoryStorageFactory()) as copy:
        lines = await export_lines(source, history=True)
        pruned = [line for line in map(from_json, lines) if "revision_info" in line and "data" not in line]
        assert len(pruned) == 5
        assert await import_lines(copy, lines) == {"created": len(lines)}
        assert await export_lines(copy, history=True) == lines
        assert await revisions(copy) == await revisions(source)
        assert await ids(copy) == await ids(source)


async def revisions(storage: IStorage) -> list[Any]:
    """Return all revisions with their data."""
    found = [await storage.revisions(name, RevisionSpan()) for name in await ids(storage, include_deleted=True)]
    return [
        (one.info, one.version, one.data_version, await storage.data(one)) for revisions in found for one in revisions
    ]


@pytest.mark.parametrize("backend", LOSING)
async def test_6_rebuild_restores_imported_data(backend: str, tmp_path: Path) -> None:
    """Histories, states, and lives of one id that began at the same time."""
    async with everything() as source:
        histories, states = await export_lines(source, history=True), await export_lines(source, include_deleted=True)
    async with storage_on(BACKENDS[backend](tmp_path)) as storage:
        manager = ResourceManager(SAMPLE, storage)
        assert await import_lines(storage, states) == {"created": len(states)}
        assert await export_lines(storage, include_deleted=True) == states
        overwrite = {"on_duplicate": OnDuplicate.overwrite}
        counts = await import_lines(storage, histories, **overwrite)
        assert counts["overwritten"] + counts.get("unchanged", 0) == len(histories)
        assert await export_lines(storage, history=True) == histories
        for _ in range(2):
            await manager.purge("r8")
            await manager.purge("r2")
            await import_lines(storage, histories)
        await manager.replace("r8", {"text": "x", "number": 99})
        (state,) = [line for line in states if b'"r5"' in line]
        await import_lines(storage, [state.replace(b'"r5', b'"r3'), *histories[:1]], **overwrite)
        await manager.purge("r9")
        await manager.delete("r10")
        before, lines = await read_everything(storage), await export_lines(storage, history=True)
    await LOSING[backend](tmp_path)
    async with storage_on(BACKENDS[backend](tmp_path)) as storage:
        assert await read_everything(storage) == before
        assert await export_lines(storage, history=True) == lines
        assert (await ResourceManager(SAMPLE, storage).replace("r3", {"text": "y"})).meta.version > 1


async def test_9_transfer_runs_in_bounded_memory(tmp_path: Path) -> None:
    """Neither an import nor an export holds half of the data."""
    line = {"data": {"payload": "x" * 8000}}
    peaks = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"".join(to_json(line) + b"\n" for _ in range(100))

    async with storage_on(BACKENDS["disk"](tmp_path)) as storage:
        transfer = ResourceManager(SAMPLE, storage).transfer
        tracemalloc.start()
        try:
            reports = [report async for report in transfer.load(body())]
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()
            sizes = [len(piece) async for piece in transfer.export(history=True)]
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    last = reports[-1]
    assert isinstance(last, Progress)
    assert (last.line, last.counts["created"], last.ended) == (4000, 4000, True)
    assert max(peaks) < 24_000_000
    assert sum(sizes) > 32_000_000
