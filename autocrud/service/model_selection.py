"""Model selection: the Pydantic models of a module that get routes if the module has no `register(crud)`."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_settings import BaseSettings

from autocrud.schema.type_inspection import fields_of

Model = type[BaseModel]


def select_models(module: ModuleType) -> tuple[list[Model], dict[Model, str]]:
    """Return the models to serve, and the reason for each model that is left out.

    A base class of another model is not served, and neither is a model that is a part of another model. If each model
    is a base class or a part, all models are served.
    """
    models = _public_models(module)
    reachable = {model: _reachable(model) for model in models}
    reasons = {model: reason for model in models if (reason := _reason(model, models, reachable))}
    selected_models = [model for model in models if model not in reasons]
    return (selected_models, reasons) if selected_models else (models, {})


def _reason(model: Model, models: list[Model], reachable: Mapping[Model, set[Model]]) -> str | None:
    """Return the reason to leave out a model, or None."""
    for other in models:
        if other is model:
            continue
        if issubclass(other, model):
            return f"is a base class of {other.__name__}"
        # Models that contain each other are equal partners.
        if model in reachable[other] and other not in reachable[model]:
            return f"is a part of {other.__name__}"
    return None


def _public_models(module: ModuleType) -> list[Model]:
    """Return the models in `__all__`, or the models that the module defines under a public name."""
    exported_names = getattr(module, "__all__", None)
    models = []
    for name, value in vars(module).items():
        if not isinstance(value, type) or not issubclass(value, BaseModel):
            continue
        is_defined_here = value.__module__ == module.__name__ and name[0] != "_"
        is_public = is_defined_here if exported_names is None else name in exported_names
        if is_public and not issubclass(value, BaseSettings) and not value.__pydantic_generic_metadata__["parameters"]:
            models.append(value)
    return list(dict.fromkeys(models))


def _reachable(model: Model) -> set[Model]:
    """Return the models in the fields of a model, and the models in their fields."""
    found, queue = set[Model](), [model]
    while queue:
        parts = {part for info in fields_of(queue.pop()).values() for part in _models_in(info.annotation)}
        queue += parts - found
        found |= parts
    return found


def _models_in(annotation: Any) -> set[Model]:
    """Return the models in an annotation, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    annotation = getattr(annotation, "__value__", annotation)  # the value of a `type` statement
    return set().union(*(_models_in(part) for part in get_args(annotation)))
