"""Process that starts a cascade of a thousand deletes and stalls in the middle."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.model_storage import ModelStorage
from autocrud.storage.ports.types import Outcome, Write
from tests.http.reference_models import library

REVIEWS = 1000


def stall_after(pages: int) -> None:
    """Make the delete stall after this many pages."""
    commit_all, done = ModelStorage.commit_all, 0

    async def commit_or_hang(self: ModelStorage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        nonlocal done
        outcomes = await commit_all(self, writes, atomic=atomic)
        done += len(writes) > 1
        if done == pages:
            sys.stdout.write("stalled\n")
            sys.stdout.flush()
            await asyncio.Event().wait()
        return outcomes

    ModelStorage.commit_all = commit_or_hang  # type: ignore[method-assign]  # the fault that is to be tested


async def main(directory: Path) -> None:
    """Store the resources and delete their target. Print a line when the delete stalls."""
    _, crud = library(DiskStorageFactory(directory))
    async with crud.running():
        films, reviews = crud.manager("film"), crud.manager("review")
        await films.create({}, resource_id="f")
        await asyncio.gather(*(reviews.create({"film": "f"}, resource_id=f"r{n}") for n in range(REVIEWS)))
        await asyncio.gather(*(reviews.create({"film": "f", "answers": f"r{n}"}) for n in range(100)))
        stall_after(3)
        await films.delete("f", by="ada")
