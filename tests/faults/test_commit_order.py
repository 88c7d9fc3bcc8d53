"""One commit order, across kills, lost answers and rebuilds (invariants 2, 5, 6 and 11)."""

import os
import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autocrud import AutoCRUD
from autocrud.references import plan
from autocrud.storage.memory import MemoryStorageFactory
from tests.faults.bank.campaign import MAX_DEPENDENTS, BuildFactory, cancel_tasks, kill_processes
from tests.faults.bank.checks import History, check_resumption, check_state, finish_tasks, read_changes
from tests.faults.bank.journal import KINDS, Journal
from tests.faults.bank.models import bank, open_accounts, store_of
from tests.faults.bank.setups import SETUPS, Setup
from tests.storage.backends import STORES

KILLS = int(os.environ.get("AUTOCRUD_TEST_KILLS", "24"))


@pytest.fixture
def seed(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return a random seed. On-delete tasks have the limit of the campaign."""
    monkeypatch.setattr(plan, "MAX_DEPENDENTS", MAX_DEPENDENTS)
    return random.randrange(10**6)


async def check(crud: AutoCRUD, journal: Journal) -> Any:
    """Check changes, reports and state. Return changes and state."""
    store = store_of(crud)
    await finish_tasks(crud)
    changes = await read_changes(store)
    history = History(journal, changes)
    history.check()
    await check_resumption(store, sorted(history.by_position), changes)
    return changes, await check_state(crud, changes)


async def run_campaign(setup: Setup, path: Path, seed: int) -> Journal:
    """Open the accounts, kill processes, and check with a node that has run meanwhile. Return the reports."""
    crud = bank(setup.build(path, "first"))
    async with crud.running():
        await open_accounts(crud)
        async with setup.faulty(path, seed) as build:
            journal = await kill_processes(build, setup.processes, KILLS // 10, seed)
        await check(crud, journal)
    assert {operation.kind for operation in journal.accepted} == set(KINDS)
    return journal


async def check_with_new_node(build: BuildFactory, slot: str, journal: Journal) -> Any:
    """Check with a node that is opened for this. Return changes and state."""
    crud = bank(build(slot))
    async with crud.running():
        return await check(crud, journal)


@pytest.mark.parametrize("backend", [name for name in STORES if name in SETUPS])
async def test_11_killed_processes_leave_one_commit_order(backend: str, tmp_path: Path, seed: int) -> None:
    """A node that starts later, and a rebuild of the index, have the same changes."""
    setup = SETUPS[backend]
    journal = await run_campaign(setup, tmp_path, seed)
    build = partial(setup.build, tmp_path)
    found = await check_with_new_node(build, "first", journal)
    last_change = found[0][-1]
    assert await setup.check_log(tmp_path) == last_change.position.sequence
    await setup.lose_index(tmp_path)
    assert await check_with_new_node(build, "rebuilt", journal) == found


async def test_11_cancelled_tasks_in_memory_leave_one_commit_order(seed: int) -> None:
    """Tasks take the place of processes."""
    crud = bank(MemoryStorageFactory())
    async with crud.running():
        await open_accounts(crud)
        journal = await cancel_tasks(crud, 4, KILLS // 4, seed)
        await check(crud, journal)


def test_campaign_has_all_stores() -> None:
    """No backend is left out."""
    assert set(STORES) <= {"memory", *SETUPS}
