"""A process that deletes what a thousand others go with, and stops for ever in the middle of that, saying so.

`python -m tests.faults.cascade DIRECTORY`
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from autocrud.storage.composite import Storage
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.ports.types import Outcome, Write
from tests.http.reference_models import library

REVIEWS = 1000


def stall_after(pages: int) -> None:
    """Make the delete hang behind that many pages of those that go with it."""
    commit_all, done = Storage.commit_all, 0

    async def commit_or_hang(self: Storage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        nonlocal done
        outcomes = await commit_all(self, writes, atomic=atomic)
        done += len(writes) > 1
        if done == pages:
            sys.stdout.write("stalled\n")
            sys.stdout.flush()
            await asyncio.Event().wait()
        return outcomes

    Storage.commit_all = commit_or_hang  # type: ignore[method-assign]  # the fault that is to be tested


async def main(directory: str) -> None:
    """Make the resources, and delete the one."""
    _, crud = library(DiskStorageFactory(Path(directory)))
    async with crud.running():
        films, reviews = crud.manager("film"), crud.manager("review")
        await films.create({}, resource_id="f")
        await asyncio.gather(*(reviews.create({"film": "f"}, resource_id=f"r{n}") for n in range(REVIEWS)))
        await asyncio.gather(*(reviews.create({"film": "f", "answers": f"r{n}"}) for n in range(100)))
        stall_after(3)
        await films.delete("f", by="ada")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
