"""The files that a create enters above the storage. A reader follows them all, and each costs calls."""

import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import autocrud
from autocrud import AutoCRUD, Index, OnDelete, Ref, ResourceManager, Unique
from autocrud.storage.memory import MemoryStorageFactory

PACKAGE = Path(autocrud.__file__).parent


class Director(BaseModel):
    name: Annotated[str, Unique()]
    born: Annotated[int, Index()] = 1900


class Film(BaseModel):
    title: Annotated[str, Unique()]
    director: Annotated[str | None, Ref("director", on_delete=OnDelete.restrict)] = None


async def files_of_create(manager: ResourceManager[Any], value: Any) -> set[str]:
    """Return the files above the storage in which a create calls a function."""
    files: set[str] = set()

    def note(frame: FrameType, _event: str, _argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(PACKAGE) and (name := str(path.relative_to(PACKAGE))).partition("/")[0] != "storage":
            files.add(name)

    before = sys.gettrace()
    sys.settrace(note)
    try:
        await manager.create(value)
    finally:
        sys.settrace(before)
    return files


@pytest.mark.parametrize("form", ["instance", "mapping", "json"])
@pytest.mark.parametrize("refers", [False, True])
async def test_create_enters_few_files_above_the_storage(form: str, refers: bool) -> None:
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Director)
    crud.add_model(Film)
    async with crud.running():
        director = await crud.manager(Director).create(Director(name="Varda"))
        manager: ResourceManager[Any] = crud.manager(Film if refers else Director)
        model = Film(title="Cléo", director=director.resource_id) if refers else Director(name="Akerman")
        value = {"instance": model, "mapping": model.model_dump(), "json": model.model_dump_json().encode()}[form]
        files = await files_of_create(manager, value)
        assert len(files) <= 10, sorted(files)
