"""Writers killed at random points: no acknowledged write is lost (invariants 1, 2 and 6)."""

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autocrud.query.conditions import Query
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.ports.storage import IStorage
from autocrud.testing.conformance import ids
from tests.faults.forks import ForkedProcess
from tests.faults.writer import main
from tests.storage.backends import remove_sqlite_files, storage_on

KILLS = int(os.environ.get("AUTOCRUD_TEST_KILLS", "24"))


class Ledger:
    """Record of the writers: the newest acknowledged state of each resource, and writes of unknown outcome."""

    def __init__(self) -> None:
        self.done: dict[str, dict[str, Any]] = {}
        self.open: dict[str, int] = {}

    def read(self, lines: Iterator[str]) -> None:
        """Record the lines of a writer. A last line that was cut short does not count."""
        for line in lines:
            if not line.endswith("\n"):
                break
            said = json.loads(line)
            if "begin" in said:
                self.open[said["begin"]] = said["version"]
            elif "done" in said:
                self.done[said["done"]] = said
                del self.open[said["done"]]


async def check(directory: Path, ledger: Ledger) -> list[Any]:
    """Open the storage, compare it with the ledger, and return all heads."""
    async with storage_on(DiskStorageFactory(directory)) as storage:
        await compare(storage, ledger)
        everything = [head async for head in all_heads(storage)]
        return [everything, await ids(storage), await storage.count(Query())]


async def all_heads(storage: IStorage) -> Any:
    """Return every head, page by page."""
    query: Query | None = Query(include_deleted=True, limit=1000)
    while query is not None:
        page = await storage.search(query)
        for head in page.items:
            yield head
        query = None if page.next is None else Query(include_deleted=True, limit=1000, after=page.next)


async def compare(storage: IStorage, ledger: Ledger) -> None:
    """Check that each resource is intact at its last acknowledged version, or at the version in flight."""
    for name, said in ledger.done.items():
        head = await storage.get(name)
        assert head is not None
        assert head.version in {said["version"], ledger.open.get(name)}
        if head.version == said["version"]:
            assert head.meta.decode() == said["meta"]
        history = await storage.commits(name)
        assert [commit.version for commit in history] == list(range(head.version, 0, -1))
        newest = next(commit for commit in history if commit.locator)
        assert head.data == await storage.data(newest)
    for name in ledger.open.keys() - ledger.done.keys():
        head = await storage.get(name)
        assert head is None or head.version == ledger.open[name]


async def test_2_sigkill_loses_no_acknowledged_write(tmp_path: Path) -> None:
    """Kill dozens of times at points that the seed chooses, also two writers at once."""
    chance, ledger = random.Random(2026), Ledger()
    for round_number in range(KILLS // 2):
        writers = [ForkedProcess(main, tmp_path, round_number * 2 + number) for number in range(2)]
        said = [[writer.read_line() for _ in range(chance.randrange(1, 120))] for writer in writers]
        for writer, lines in zip(writers, said, strict=True):
            ledger.read(iter(lines + writer.kill()))
        if round_number % 5 == 4:
            await check(tmp_path, ledger)
    before = await check(tmp_path, ledger)
    remove_sqlite_files(tmp_path)
    assert await check(tmp_path, ledger) == before
    assert len(ledger.done) >= KILLS


async def test_2_kill_between_log_and_sqlite_loses_no_entry(tmp_path: Path) -> None:
    """The entry is the commit point, although no client was answered."""
    ledger, committed = Ledger(), 0
    for seed in range(8):
        writer = ForkedProcess(main, tmp_path, seed, seed)
        lines: list[str] = []
        while "stalled" not in (lines[-1] if lines else ""):
            lines.append(writer.read_line())
        writer.kill()
        ledger.read(iter(lines))
        committed += len(ledger.open)
        before = await check(tmp_path, ledger)
        heads = {head.resource_id: head.version for head in before[0]}
        pending = {name: version for name, version in ledger.open.items() if heads.get(name) == version}
        assert pending, "the entry that was written last is not there"
        ledger.open.clear()
        ledger.done = {name: said for name, said in ledger.done.items() if name not in pending}
    assert committed >= 8
