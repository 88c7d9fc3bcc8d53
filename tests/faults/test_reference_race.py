"""Processes that race with writes and deletes, and die at random points, leave no dangling reference (invariant 5)."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from autocrud import AutoCRUD
from autocrud.references import plan
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from tests.faults.forks import ForkedProcess
from tests.faults.reference_race import MAX_DEPENDENTS, POOLS, main, race
from tests.http.reference_models import library
from tests.storage.backends import STORES

_KILLS = 3
_REFERENCES = {
    "film": (("director", "person"), ("producer", "person"), ("cast", "person")),
    "review": (("film", "film"), ("answers", "review")),
    "quote": (("review", "review"),),
}


def kill_while_racing(directory: Path, seed: int) -> None:
    """Run two processes for a random time, and kill both."""
    processes = [ForkedProcess(main, directory, seed + number) for number in range(2)]
    assert [process.read_line() for process in processes] == ["running\n", "running\n"]
    processes[0].wait(random.uniform(0.2, 1))
    assert [process.is_running for process in processes] == [True, True]
    for process in processes:
        process.kill()


async def race_and_cancel(crud: AutoCRUD, seed: int) -> None:
    """Race in several tasks of one process, and cancel these at a random point."""
    tasks = [asyncio.create_task(race(crud, seed * 10 + number, 1_000_000)) for number in range(4)]
    done, _ = await asyncio.wait(tasks, timeout=random.uniform(0.2, 0.6))
    assert not done
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def check(crud: AutoCRUD) -> int:
    """Finish the pending on-delete tasks, and find each target. Return the number of references."""
    for model in POOLS:
        await crud.manager(model).references.drain()
    pending = True
    while pending:
        for model in POOLS:
            await crud.manager(model).run_maintenance()
        tasks = [await crud.manager(model).node.storage.pending_deletions(None, 1) for model in POOLS]
        pending = any(tasks)
    found = {model: (await crud.manager(model).search(limit=100)).items for model in POOLS}
    live = {model: {item.resource_id for item in items} for model, items in found.items()}
    references: list[tuple[str, str, str]] = []
    for model, fields in _REFERENCES.items():
        for resource in found[model]:
            for field, target in fields:
                value: Any = getattr(resource.data, field)
                names = value if isinstance(value, list) else [value]
                references += [(resource.resource_id, target, name) for name in names if name is not None]
    assert not [reference for reference in references if reference[2] not in live[reference[1]]]
    return len(references)


@pytest.mark.parametrize("backend", [name for name in STORES if name in {"memory", "disk"}])
async def test_5_killed_writers_and_deleters_leave_no_dangling_reference(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes on disk are killed; the tasks of one process in memory are cancelled."""
    monkeypatch.setattr(plan, "MAX_DEPENDENTS", MAX_DEPENDENTS)
    seen, memory = 0, MemoryStorageFactory()
    for _ in range(_KILLS):
        seed = random.randrange(10**6)
        if backend == "disk":
            kill_while_racing(tmp_path, seed)
        _, crud = library(memory if backend == "memory" else DiskStorageFactory(tmp_path))
        async with crud.running():
            if backend == "memory":
                await race_and_cancel(crud, seed)
            seen += await check(crud)
    assert seen > 0
