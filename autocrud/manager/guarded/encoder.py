"""Guarded encoder: encodes new resources under field rules, with the tenant of the principal."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic_core import from_json, to_jsonable_python

from autocrud.guard.documents import is_absent, value_at
from autocrud.guard.field_guard import FieldGuard
from autocrud.guard.model_guard import ModelGuard
from autocrud.schema.exact_numbers import dump_json, load_json
from autocrud.storage.ports.blobs import BlobStore
from autocrud.storage.ports.types import Blob
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.write_builder import Encoded

T = TypeVar("T")


class GuardedEncoder(Encoder[T]):
    """Encodes values as `Encoder` does. `encode` is for new resources, and checks the fields that the value sets."""

    def __init__(self, guard: ModelGuard, fields: FieldGuard, blobs: BlobStore) -> None:
        super().__init__(guard.spec, blobs)
        self._guard = guard
        self._fields = fields

    async def encode(self, value: Any) -> Encoded:
        if isinstance(value, Encoded) or not (self._fields.is_active or self._guard.tenant_path):
            return await super().encode(value)
        if not isinstance(value, bytes | Mapping):
            return await self._with_tenant(await super().encode(value))
        try:
            body = load_json(value) if isinstance(value, bytes) else dict(value)
        except ValueError:
            return await super().encode(value)  # which reports the fault
        if not isinstance(body, dict):
            return await super().encode(value)
        document = self._guard.spec.names.to_stored(to_jsonable_python(body, fallback=lambda _: None))
        self._fields.check_new(document)
        if self._lacks_tenant(document):
            body = {**body, str(self._guard.access.tenant): self._tenant()}
            value = dump_json(body) if isinstance(value, bytes) else body
        return await super().encode(value)

    async def _find_blob(self, file_id: str, before: bytes | None) -> Blob | None:
        """Return a blob that the principal uploaded, that the resource has already, or that he may read anyway."""
        blob = await super()._find_blob(file_id, before)
        if blob is None or (before is not None and file_id.encode() in before) or self._guard.permits_all_blobs:
            return blob
        user, uploaded = self._uploader(), await self._blobs.types_of(blob)
        return blob if user is not None and any(item.by == user for item in uploaded.types) else None

    def _uploader(self) -> str | None:
        return self._guard.principal_id()

    async def _with_tenant(self, encoded: Encoded) -> Encoded:
        document = from_json(encoded.data)
        path = self._guard.tenant_path
        if path is None or value_at(document, path) is not None:
            return encoded
        document[path[0]] = self._tenant()
        return await self.encode_patched(dump_json(document))

    def _lacks_tenant(self, document: Any) -> bool:
        path = self._guard.tenant_path
        return path is not None and is_absent(value_at(document, path))

    def _tenant(self) -> str | None:
        principal = self._guard.who()
        return None if principal is None else principal.tenant
