"""Search for dangling references: `crud.verify` and the command `python -m autocrud.verify`."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref
from autocrud.references.dangling import DanglingReference
from autocrud.service.model_loader import load_module
from autocrud.service.settings import LogLevel, Settings
from autocrud.service.verify_command import main, run_verification
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from tests.servers import ROOT, environment

MODELS = """
from typing import Annotated
from pydantic import BaseModel
from autocrud import AutoCRUD, Ref
from autocrud.storage.disk import DiskStorageFactory

class Person(BaseModel):
    name: str

class Film(BaseModel):
    director: Annotated[str, Ref("person")]

crud = AutoCRUD()
crud.add_model(Person, storage=DiskStorageFactory("people"))
crud.add_model(Film)
"""


class Person(BaseModel):
    """A person."""

    name: str = ""


class Film(BaseModel):
    """A film, in another store than its people."""

    director: Annotated[str | None, Ref("person")] = None
    cast: Annotated[list[str], Ref("person", on_delete=OnDelete.set_null)] = []
    fan: Annotated[str | None, Ref("person", on_delete=OnDelete.dangling)] = None


async def found(crud: AutoCRUD) -> list[DanglingReference]:
    """Return the dangling references."""
    return [item async for item in crud.verify()]


async def test_verify_lists_references_without_a_live_target(tmp_path: Path) -> None:
    """A missing target and a deleted one. Deleted referrers and fields with `dangling` do not count."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    people = DiskStorageFactory(tmp_path)
    crud.add_model(Person, storage=people)
    crud.add_model(Film)
    async with crud.running():
        persons, films = crud.manager(Person), crud.manager(Film)
        for name in ("ann", "ben", "cy"):
            await persons.create({"name": name}, resource_id=name)
        await films.create({"director": "ann", "cast": ["ann", "ben", "cy"], "fan": "cy"}, resource_id="f")
        await films.create({"director": "cy"}, resource_id="g")
        await films.create({"director": "cy"}, resource_id="h")
        await films.delete("h")
        assert await found(crud) == []
    # A process that does not know the films deletes people: what a race can do between two stores.
    other = AutoCRUD(storage_factory=people)
    other.add_model(Person)
    async with other.running():
        await other.manager(Person).delete("ben")
        await other.manager(Person).purge("cy")
    async with crud.running():
        assert await found(crud) == [
            DanglingReference("film", "f", "cast", "person", "ben"),
            DanglingReference("film", "f", "cast", "person", "cy"),
            DanglingReference("film", "g", "director", "person", "cy"),
        ]
        await crud.manager(Person).create({}, resource_id="cy")
        await crud.manager(Person).restore("ben")
        assert await found(crud) == []


def test_verify_command_lists_references_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "verified.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "autocrud.verify", "verified.py:crud", "--data-dir", "films"]
    for name in ("MODELS", "DATA_DIR", "STORAGE"):
        monkeypatch.setenv(f"AUTOCRUD_{name}", "")  # the command sets them; restored at the end
    assert asyncio.run(_fill()) == 0
    assert capsys.readouterr().err == "dangling references: 0\n"
    asyncio.run(_delete_ann())
    variables = environment({}) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60, check=False)
    output = (done.returncode, done.stdout, done.stderr)
    assert output == (1, "film\tf\tdirector\tperson\tann\n", "dangling references: 1\n")
    assert main(["none.py"]) == 2


async def _fill() -> int:
    """Store a film and its director. Return the exit status of the command."""
    crud = load_module("verified.py").crud
    crud.configure(storage_factory=DiskStorageFactory("films"))
    async with crud.running():
        await crud.manager("person").create({"name": "Ann"}, resource_id="ann")
        await crud.manager("film").create({"director": "ann"}, resource_id="f")
    sys.modules.pop("verified")
    return await run_verification(Settings(models="verified.py:crud", data_dir=Path("films"), log_level=LogLevel.error))


async def _delete_ann() -> None:
    """Delete the director in a process that does not know the films."""
    crud = AutoCRUD(storage_factory=DiskStorageFactory("people"))
    crud.add_model(load_module("verified.py").Person)
    async with crud.running():
        await crud.manager("person").delete("ann")
