"""Schema records in the object store: one object per model, `models/<folder>/schema.json`."""

from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter, ValidationError

from autocrud.errors import DataCorrupted
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.model_folder.creation import create_object
from autocrud.storage.ports.objects import ObjectMissing, ObjectStore
from autocrud.storage.ports.schema_records import SchemaRecord, SchemaRecords, VersionRecord

_RECORD = TypeAdapter(SchemaRecord)


class ObjectSchemaRecords(SchemaRecords):
    """The schema record of one model as an object."""

    def __init__(self, objects: ObjectStore, spec: ModelSpec[Any]) -> None:
        self._objects = objects
        self._spec = spec

    async def read(self) -> SchemaRecord:
        try:
            return _decode(self._key, await self._objects.get(self._key))
        except ObjectMissing:
            return SchemaRecord()

    async def publish(self, version: int, record: VersionRecord, *, replaces_fingerprint: bool) -> None:
        edit = partial(_merge, self._key, version, record, replaces_fingerprint)
        stored = await self.read()
        if stored.versions:
            before = _RECORD.dump_json(stored)
            if edit(before) != before:
                await self._objects.rewrite(self._key, edit)
            return
        if not await create_object(self._objects, self._key, _RECORD.dump_json(SchemaRecord({version: record}))):
            await self._objects.rewrite(self._key, edit)

    @property
    def _key(self) -> str:
        return record_key(self._spec.folder)


def record_key(folder: str) -> str:
    """Return the key of the schema record in a model's folder."""
    return f"models/{folder}/schema.json"


def _merge(key: str, version: int, record: VersionRecord, replaces_fingerprint: bool, content: bytes) -> bytes:
    """Return the content of a schema record with the record of a version."""
    stored = _decode(key, content)
    if existing := stored.versions.get(version):
        fingerprint = record.fingerprint if replaces_fingerprint else existing.fingerprint
        record = replace(record, first_seen=existing.first_seen, fingerprint=fingerprint)
    return _RECORD.dump_json(SchemaRecord(dict(sorted({**stored.versions, version: record}.items()))))


def _decode(key: str, content: bytes) -> SchemaRecord:
    try:
        return _RECORD.validate_json(content)
    except ValidationError as error:
        raise DataCorrupted(f"{key} is not a schema record. Restore it, or remove it to start a new one.") from error
