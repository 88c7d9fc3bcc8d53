"""Import of the module or file with the models."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from autocrud import AutoCRUD
from autocrud.errors import ConfigurationError
from autocrud.service.model_loader import load_module, register_models
from autocrud.service.settings import SettingsError
from autocrud.storage.memory import MemoryStorageFactory


@pytest.fixture(autouse=True)
def restored_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the search path and the modules after each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def write(path: Path, text: str) -> Path:
    """Write a file, with its folder, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_file_may_import_its_neighbours(tmp_path: Path) -> None:
    """As a script may. A second import returns the same module."""
    write(tmp_path / "neighbour_of_models.py", "answer = 42")
    module = load_module(str(write(tmp_path / "my-models.py", "from neighbour_of_models import answer")))
    assert module.answer == 42
    assert load_module(str(tmp_path / "my-models.py")) is module


def test_file_in_a_package_may_import_relatively(tmp_path: Path) -> None:
    """The package is found by its `__init__.py` files."""
    write(tmp_path / "loader_shop" / "__init__.py", "")
    write(tmp_path / "loader_shop" / "api" / "__init__.py", "")
    write(tmp_path / "loader_shop" / "base.py", "answer = 42")
    path = write(tmp_path / "loader_shop" / "api" / "models.py", "from ..base import answer")
    module = load_module(str(path))
    assert (module.__name__, module.answer) == ("loader_shop.api.models", 42)


def test_file_with_the_name_of_another_module_replaces_nothing(tmp_path: Path) -> None:
    """The standard library keeps its module."""
    path = str(write(tmp_path / "types.py", "answer = 42"))
    module = load_module(path)
    assert (module.answer, sys.modules["types"]) == (42, types)
    assert load_module(path) is module


def test_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable may begin with `~`, which no shell has expanded."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "loader_home.py", "answer = 42")
    assert load_module("~/loader_home.py").answer == 42


def test_file_that_failed_can_be_imported_when_it_is_correct(tmp_path: Path) -> None:
    """No part of the failed module stays."""
    path = write(tmp_path / "loader_failing.py", "answer = 42\nimport no_such_module_of_models")
    with pytest.raises(SettingsError, match=r"cannot import .*: No module named 'no_such_module_of_models'\.$"):
        load_module(str(path))
    write(path, "answer = 43")
    assert load_module(str(path)).answer == 43


REGISTRIES = """
from pydantic import BaseModel
from autocrud import AutoCRUD, Schema
from autocrud.storage.memory import MemoryStorageFactory

class Note(BaseModel):
    text: str

first, empty, _alias = AutoCRUD(), AutoCRUD(), None
first.add_model(Note, schema=Schema(2).step(1, 2))
"""
SECOND = """
second = AutoCRUD(storage_factory=MemoryStorageFactory())
second.add_model(Note, name="memo")
"""


def test_registry_of_the_module_gives_the_options_of_its_models(tmp_path: Path) -> None:
    """Without a storage of its own, the models get the storage of the service."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    loaded = register_models(crud, str(write(tmp_path / "loader_registry.py", REGISTRIES)))
    assert (crud.model_names, loaded.without_routes, loaded.has_storage) == (("note",), (), False)
    assert crud.manager("note").spec.schema.version == 2


def test_one_of_several_registries_must_be_named(tmp_path: Path) -> None:
    """Its storage factory is used."""
    path = str(write(tmp_path / "loader_registries.py", REGISTRIES + SECOND))
    with pytest.raises(SettingsError, match=r"several AutoCRUD objects: first, second; choose one, as in .*\.py:first"):
        register_models(AutoCRUD(), path)
    for name in ("Note", "other"):
        with pytest.raises(SettingsError, match=f"{name} is not an AutoCRUD object of the module"):
            register_models(AutoCRUD(), f"{path}:{name}")
    crud = AutoCRUD()
    assert register_models(crud, f"{path}:second").has_storage
    assert crud.manager("memo").spec.name == "memo"
    with pytest.raises(ConfigurationError, match="'memo' is taken"):
        register_models(crud, f"{path}:second")
