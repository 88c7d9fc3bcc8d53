"""Process that writes, deletes, restores and purges resources with references at random, until it is killed."""

import asyncio
import sys
from pathlib import Path
from random import Random
from typing import Any

from autocrud import AutoCRUD
from autocrud.errors import AutoCRUDError
from autocrud.references import plan
from autocrud.storage.disk import DiskStorageFactory
from tests.http.reference_models import library

# Number of ids of each model. Few ids make many races.
POOLS = {"person": 3, "film": 5, "review": 15, "quote": 4}
# More dependents than this are handled by a task.
MAX_DEPENDENTS = 3


def _data(model: str, chance: Random) -> dict[str, Any]:
    """Return random data, which refers to resources that may exist."""

    def name(target: str) -> str:
        return f"{target}{chance.randrange(POOLS[target])}"

    if model == "film":
        return {chance.choice(("director", "producer")): name("person"), "cast": [name("person")]}
    if model == "review":
        return {"film": name("film"), "answers": chance.choice((None, name("review")))}
    return {"review": name("review")} if model == "quote" else {"name": "Ann"}


async def _operate(crud: AutoCRUD, chance: Random) -> None:
    """Run a random operation."""
    model = chance.choice(list(POOLS))
    manager, resource_id = crud.manager(model), f"{model}{chance.randrange(POOLS[model])}"
    match chance.choices(("create", "replace", "restore", "delete", "purge"), (4, 2, 2, 2, 1))[0]:
        case "create":
            await manager.create(_data(model, chance), resource_id=resource_id)
        case "replace":
            await manager.replace(resource_id, _data(model, chance))
        case "restore":
            await manager.restore(resource_id)
        case "delete":
            await manager.delete(resource_id)
        case "purge":
            await manager.purge(resource_id)


async def race(crud: AutoCRUD, seed: int, count: int) -> None:
    """Run random operations. Refusals are expected."""
    chance = Random(seed)
    for _ in range(count):
        try:
            await _operate(crud, chance)
        except AutoCRUDError:
            continue


async def main(directory: Path, seed: int) -> None:
    """Race in several tasks at once. Print a line when they begin."""
    plan.MAX_DEPENDENTS = MAX_DEPENDENTS
    _, crud = library(DiskStorageFactory(directory))
    async with crud.running():
        sys.stdout.write("running\n")
        sys.stdout.flush()
        await asyncio.gather(*(race(crud, seed * 10 + number, 1_000_000) for number in range(4)))
