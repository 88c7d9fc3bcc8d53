"""Process that writes until it is killed, and prints each acknowledgement before it goes on."""

import asyncio
import json
import random
import sys
import threading
from pathlib import Path
from typing import Any

from autocrud.storage.commit_log.records.entry import Entry
from autocrud.storage.commit_log.segments.segments import Segments
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Write
from autocrud.testing.sample_writes import SAMPLE, create_write, delete_write, restore_write, sample, update_write

CLIENTS = 4


def tell(**what: Any) -> None:
    """Print a line in one system call."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def next_write(before: Write | None, name: str, chance: random.Random) -> Write:
    """Return a random next write of a resource."""
    data = sample(number=chance.randrange(1000), payload="p" * chance.choice([0, 100, 20_000]))
    if before is None:
        return create_write(name, data)
    if before.meta.is_deleted:
        return restore_write(before)
    return delete_write(before) if chance.random() < 0.2 else update_write(before, data)


async def client(storage: IStorage, prefix: str, seed: int) -> None:
    """Write to a few own resources for ever."""
    chance = random.Random(seed)
    last: dict[str, Write] = {}
    for number in range(1_000_000):
        name = f"{prefix}-{number // 12}"
        write = next_write(last.get(name), name, chance)
        tell(begin=name, version=write.meta.version)
        await storage.commit(write)
        last = {name: write}
        tell(done=name, version=write.meta.version, deleted=write.meta.is_deleted, meta=write.meta_json.decode())


def stall_after(commits: int) -> None:
    """Make the SQLite thread hang before its commit after this many batches."""
    append, done = Segments.append, 0

    def append_and_hang(self: Segments, entry: Entry) -> None:
        nonlocal done
        append(self, entry)
        done += 1
        if done > commits:
            tell(stalled=True)
            threading.Event().wait()

    Segments.append = append_and_hang  # type: ignore[method-assign]  # the fault that is to be tested


async def main(directory: Path, seed: int, stall: int | None = None) -> None:
    """Open the storage and write with several clients. Print a line of JSON per acknowledged write.

    Args:
        stall: number of batches after which the process stops for ever, between the log and SQLite.
    """
    factory = DiskStorageFactory(directory)
    await factory.open()
    storage = factory.build(SAMPLE)
    await storage.open()
    if stall is not None:
        stall_after(stall)
    await asyncio.gather(*(client(storage, f"s{seed}c{number}", seed * 100 + number) for number in range(CLIENTS)))
