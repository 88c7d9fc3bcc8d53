"""Observation of a store: every answer about it, as JSON."""

from hashlib import sha256
from typing import Any

from pydantic_core import to_jsonable_python

from autocrud import AutoCRUD
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.testing.sample_writes import Sample
from tests.golden.models import registry
from tests.storage.backends import storage_on
from tests.storage.backfill_probe import wait_until_filled
from tests.storage.full_scenario import read_everything

_LONG = 1000
_KEYS = 12  # place of the idempotency keys in `read_everything`; these expire


async def observe(factory: IStorageFactory) -> dict[str, Any]:
    """Return the answers of a store. The sample model is read last, because that writes."""
    found: dict[str, Any] = {}
    for has_diary, models in ((False, ["author", "book"]), (True, ["diary"])):
        crud = registry(factory, version=2, has_diary=has_diary)
        async with crud.running():
            found |= await _exports(crud, *models)
    async with storage_on(factory, ModelSpec(Sample, name="sample")) as storage:
        await wait_until_filled()
        found["changes"] = await _changes(storage)
        everything = await read_everything(storage)
    found["sample"] = [part for place, part in enumerate(everything) if place != _KEYS]
    shortened: dict[str, Any] = _shorten(to_jsonable_python(found, bytes_mode="base64"))
    return shortened


def _shorten(value: Any) -> Any:
    """Replace long texts by their length and hash."""
    if isinstance(value, dict):
        return {key: _shorten(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_shorten(part) for part in value]
    if isinstance(value, str) and len(value) > _LONG and "\n" not in value:
        return f"{len(value)} characters, SHA-256 {sha256(value.encode()).hexdigest()}"
    return value


async def _exports(crud: AutoCRUD, *models: str) -> dict[str, str]:
    return {
        model: b"".join([chunk async for chunk in crud.manager(model).transfer.export(history=True)]).decode()
        for model in models
    }


async def _changes(storage: IStorage) -> list[Any]:
    assert storage.store is not None
    return list(await storage.store.changes(limit=10_000))
