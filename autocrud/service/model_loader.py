"""Model loader: registers the models of the module that `AUTOCRUD_MODELS` names."""

import importlib
from types import ModuleType

from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.service.settings import PREFIX, SettingsError


def register_models(crud: AutoCRUD, module_name: str) -> None:
    """Register a module's models by its `register(crud)`, or every public Pydantic model that it defines.

    Raises:
        SettingsError: the module cannot be imported, or has no models.
    """
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError, TypeError) as error:
        raise SettingsError(f"{PREFIX}MODELS: cannot import {module_name!r}: {error}.") from error
    register = getattr(module, "register", None)
    if callable(register):
        register(crud)
        return
    models = _models_of(module)
    if not models:
        raise SettingsError(f"{PREFIX}MODELS: {module_name!r} has neither register(crud) nor a Pydantic model.")
    for model in models:
        crud.add_model(model)


def _models_of(module: ModuleType) -> list[type[BaseModel]]:
    names = getattr(module, "__all__", None)
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, BaseModel)
        and (name in names if names is not None else value.__module__ == module.__name__ and name[0] != "_")
    ]
