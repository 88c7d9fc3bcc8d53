"""One commit order, across kills, lost answers and rebuilds (invariants 2, 5, 6 and 11)."""

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autocrud import AutoCRUD
from autocrud.references import plan
from autocrud.storage import s3
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorageFactory
from autocrud.storage.s3 import S3StorageFactory
from tests.faults.bank.campaign import MAX_DEPENDENTS, BuildFactory, cancel_tasks, kill_processes
from tests.faults.bank.checks import History, check_resumption, check_state, finish_tasks, read_changes
from tests.faults.bank.journal import Journal
from tests.faults.bank.models import bank, open_accounts, store_of
from tests.faults.proxy import Exchange, Proxy
from tests.servers_real import seaweed
from tests.storage.backends import remove_sqlite_files, s3_options

KILLS = int(os.environ.get("AUTOCRUD_TEST_KILLS", "24"))
SNAPSHOT_EVERY = 50


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


async def check_after(build: BuildFactory, slot: str, journal: Journal) -> Any:
    """Check with a node that is opened for this."""
    crud = bank(build(slot))
    async with crud.running():
        return await check(crud, journal)


async def run_campaign(build: BuildFactory, slots: int, seed: int) -> tuple[Journal, Any]:
    """Kill processes, and check. Return the reports, and the changes with the state."""
    crud = bank(build("first"))
    async with crud.running():
        await open_accounts(crud)
        journal = await kill_processes(build, slots, KILLS // 10, seed)
        found = await check(crud, journal)
    assert len({operation.kind for operation in journal.accepted}) == 3
    return journal, found


def disk_factory(path: Path, slot: str) -> IStorageFactory:
    """Return a factory of the one folder."""
    return DiskStorageFactory(path)


def s3_node(path: Path, options: dict[str, Any], slot: str) -> IStorageFactory:
    """Return a factory of a node with a cache of its own."""
    return S3StorageFactory(**options, prefix=path.name, cache_dir=path / slot, snapshot_every=SNAPSHOT_EVERY)


async def test_11_cancelled_tasks_in_memory_leave_one_commit_order(seed: int) -> None:
    """Tasks take the place of processes."""
    crud = bank(MemoryStorageFactory())
    async with crud.running():
        await open_accounts(crud)
        journal = await cancel_tasks(crud, 4, KILLS // 4, seed)
        await check(crud, journal)


async def test_11_killed_processes_on_disk_leave_one_commit_order(tmp_path: Path, seed: int) -> None:
    """Four processes share a folder. A rebuild from the log gives the same positions."""
    build = partial(disk_factory, tmp_path)
    journal, found = await run_campaign(build, 4, seed)
    remove_sqlite_files(tmp_path)
    assert await check_after(build, "rebuilt", journal) == found


@asynccontextmanager
async def faulty_s3(seed: int) -> AsyncIterator[dict[str, Any]]:
    """Yield the options of an S3 server that loses some requests, and some answers to the commits."""
    chance = random.Random(seed)

    async def lose(exchange: Exchange) -> None:
        fault = chance.random() if exchange.request.is_append else 1.0
        if fault < 0.05:
            return
        answer = await exchange.forward()
        if fault > 0.1:
            await exchange.answer(answer)

    async with Proxy(seaweed().port).running() as proxy:
        s3._PROBED_SERVERS.add((proxy.endpoint_url, "tests"))
        proxy.behave = lose
        yield {**s3_options(), "endpoint_url": proxy.endpoint_url}


async def test_11_killed_nodes_on_s3_leave_one_commit_order(tmp_path: Path, seed: int) -> None:
    """Three nodes, with lost requests and answers. A new node has the same positions, also without snapshots."""
    async with faulty_s3(seed) as options:
        build = partial(s3_node, tmp_path, options)
        journal, found = await run_campaign(build, 3, seed)
    build = partial(s3_node, tmp_path, s3_options())
    assert await check_after(build, "cold", journal) == found
