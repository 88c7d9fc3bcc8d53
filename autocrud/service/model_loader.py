"""Model loader: registers the models of the module or file that `AUTOCRUD_MODELS` names."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from autocrud import AutoCRUD
from autocrud.service.model_selection import select_models
from autocrud.service.settings import PREFIX, SettingsError


@dataclass(frozen=True)
class LoadedModels:
    """The models of a module or file.

    Attributes:
        without_routes: the models without routes, each with the reason.
        has_storage: True if the module names the storage of a model.
    """

    without_routes: Sequence[str] = ()
    has_storage: bool = False


def register_models(crud: AutoCRUD, source: str) -> LoadedModels:
    """Register the models of a module or file.

    They are those of its `register(crud)`, of its `AutoCRUD` object with models, or its public Pydantic models. Of
    these, base classes of other models and parts of other models get no routes. `module:name` names the object.

    Raises:
        SettingsError: the module or file does not exist, cannot be imported, or has no models.
    """
    place, name = _split_source(source)
    module = load_module(place)
    register = getattr(module, "register", None)
    if name is None and callable(register):
        register(crud)
        return LoadedModels()
    registry = _find_registry(module, source, name)
    if registry is not None:
        return LoadedModels(has_storage=crud.include(registry))
    models, reasons = select_models(module)
    if not models:
        raise SettingsError(
            f"{PREFIX}MODELS: {source!r} has neither register(crud), an AutoCRUD object nor a Pydantic model."
        )
    for model in models:
        crud.add_model(model)
    return LoadedModels([f"{model.__name__} {reason}" for model, reason in reasons.items()])


def _find_registry(module: ModuleType, source: str, name: str | None) -> AutoCRUD | None:
    """Return the named `AutoCRUD` object of a module, or the only object with models; None if there is none.

    Raises:
        SettingsError: the module has no such object, or several.
    """
    if name is not None:
        candidate = getattr(module, name, None)
        if not isinstance(candidate, AutoCRUD):
            raise SettingsError(f"{PREFIX}MODELS: {source!r}: {name} is not an AutoCRUD object of the module.")
        return candidate
    found = {name: value for name, value in vars(module).items() if isinstance(value, AutoCRUD) and value.model_names}
    if len(set(found.values())) > 1:
        names = ", ".join(found)
        raise SettingsError(
            f"{PREFIX}MODELS: {source!r} has several AutoCRUD objects: {names}; choose one, as in"
            f" {source}:{next(iter(found))}."
        )
    return next(iter(found.values()), None)


def load_module(source: str) -> ModuleType:
    """Import a module by its name, or a file by its path.

    Raises:
        SettingsError: the module or file does not exist, or cannot be imported.
    """
    try:
        return _load_file(Path(source).expanduser()) if is_path(source) else importlib.import_module(source)
    except SyntaxError as error:
        place = f"{Path(error.filename or source).name}, line {error.lineno}"
        raise SettingsError(f"{PREFIX}MODELS: {place}: {error.msg}.") from error
    except ImportError as error:
        is_missing = error.name is not None and f"{source}.".startswith(f"{error.name}.")
        hint = "; set it to a module or a file with models" if is_missing else ""
        raise SettingsError(f"{PREFIX}MODELS: cannot import {source!r}: {error}{hint}.") from error
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{PREFIX}MODELS: cannot import {source!r}: {error}.") from error


def is_path(source: str) -> bool:
    """Return True if the text is the path of a file, and False if it is the name of a module."""
    place, _ = _split_source(source)
    return place.endswith(".py") or "/" in place or os.sep in place


def _split_source(source: str) -> tuple[str, str | None]:
    """Return the module or file of a text such as `shop.py:crud`, and the name of the object, or None."""
    place, separator, name = source.rpartition(":")
    return (place, name) if separator and name.isidentifier() else (source, None)


def _load_file(path: Path) -> ModuleType:
    """Import a file as Python would import it from its folder, or from the folder of its package."""
    if not path.is_file():
        raise SettingsError(f"{PREFIX}MODELS: no such file: {path}.")
    path = path.resolve()
    folder, package = path.parent, list[str]()
    while (folder / "__init__.py").is_file():
        package.insert(0, folder.name)
        folder = folder.parent
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    name = ".".join([*package, path.stem])
    if package:
        return importlib.import_module(name)
    if name in sys.modules and not _is_loaded_from(sys.modules[name], path):
        name = f"autocrud_models_{path.stem}"  # the file has the name of another module, such as `types`
    if name in sys.modules and _is_loaded_from(sys.modules[name], path):
        return sys.modules[name]
    return _execute(name, path)


def _is_loaded_from(module: ModuleType, path: Path) -> bool:
    return module.__dict__.get("__file__") is not None and Path(str(module.__file__)).resolve() == path


def _execute(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SettingsError(f"{PREFIX}MODELS: {path.name} is not a Python file; its name must end with .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:  # raised again: a module that failed must not be found by the next import
        del sys.modules[name]
        raise
    return module
