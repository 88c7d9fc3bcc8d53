"""Location of a model's data: a folder with the name of the model, or with a former name.

A renamed model uses the folder of its former name. `models/<name>/folder.json` names that folder. Data never
move, so that processes with the old name go on with the same data.
"""

from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from autocrud.errors import ConfigurationError, DataCorrupted
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.model_folder.creation import create_object
from autocrud.storage.model_folder.schema_records import record_key
from autocrud.storage.ports.objects import ObjectMissing, ObjectStore

_FOLDER = "[a-z][a-z0-9_-]*"


class _Alias(BaseModel):
    """Content of `folder.json`."""

    folder: Annotated[str, Field(pattern=f"^{_FOLDER}$")]


async def find_folder(
    objects: ObjectStore, spec: ModelSpec[Any], stored_models: Callable[[], Awaitable[AbstractSet[str]]]
) -> str:
    """Return the folder of a model. The first start with `formerly` makes a former name's folder the model's own.

    Args:
        stored_models: returns the folders of all models with data.

    Raises:
        ConfigurationError: the model has data under several of its names.
    """
    folder = await folder_of(objects, spec.name)
    if folder != spec.name or not spec.formerly:
        return folder
    candidates = dict.fromkeys([spec.name, *[await folder_of(objects, name) for name in spec.formerly]])
    stored = await stored_models()
    found = [candidate for candidate in candidates if candidate in stored]
    if len(found) > 1:
        names = " and ".join(map(repr, found))
        raise ConfigurationError(
            f"{spec.type_name}: there are data of {names}, and one model cannot have both. Remove formerly=, register"
            " both models, and move the resources of one to the other by an export and an import"
        )
    # Without data, the folder of processes that may still run with a former name, and write soon.
    found = found or [candidate for candidate in candidates if await _has_record(objects, candidate)]
    if not found or found[0] == spec.name:
        return spec.name
    alias = _Alias(folder=found[0]).model_dump_json().encode()
    is_created = await create_object(objects, _alias_key(spec.name), alias)
    return found[0] if is_created else await folder_of(objects, spec.name)


def shared_folder_error(spec: ModelSpec[Any], other: ModelSpec[Any]) -> ConfigurationError:
    """Return the error for two models with the same data: a renamed model, and a new model with the former name."""
    renamed, rival = (spec, other) if spec.name != spec.folder else (other, spec)
    return ConfigurationError(
        f"{rival.type_name}: the data of {rival.name!r} belong to {renamed.type_name}, which had this name before;"
        " pass another name with name="
    )


async def _has_record(objects: ObjectStore, folder: str) -> bool:
    """Return True if a process has started with the model of a folder."""
    try:
        return await objects.size(record_key(folder)) > 0
    except ObjectMissing:
        return False


async def folder_of(objects: ObjectStore, name: str) -> str:
    """Return the folder with the data of a name, as far as a start has decided it."""
    try:
        content = await objects.get(_alias_key(name))
    except ObjectMissing:
        return name
    try:
        return _Alias.model_validate_json(content).folder
    except ValidationError as error:
        raise DataCorrupted(f'{_alias_key(name)} does not name a folder, as in {{"folder": "post"}}.') from error


def _alias_key(name: str) -> str:
    return f"models/{name}/folder.json"
