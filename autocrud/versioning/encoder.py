"""Encoder: validates a value, finds or stores its blobs, and writes it as JSON."""

from collections.abc import AsyncIterator
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from autocrud.errors import FieldError, FieldErrors, InvalidData
from autocrud.schema.binary import OCTETS, Binary, binaries
from autocrud.schema.exact_numbers import dump_json
from autocrud.schema.forms.stored_form import Parsed
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.nesting import MAX_DEPTH, check_nesting
from autocrud.schema.versions.upgrade import NewerVersion, UpgradeError
from autocrud.storage.ports.blobs import BlobStore
from autocrud.storage.ports.types import Blob
from autocrud.storage.ports.uploaded_types import UploadedType, UploadedTypes
from autocrud.versioning.write_builder import Encoded

T = TypeVar("T")


class Encoder(Generic[T]):
    """Encodes the values of one model."""

    def __init__(self, spec: ModelSpec[T], blobs: BlobStore) -> None:
        self._spec = spec
        self._blobs = blobs

    async def encode(self, value: Any) -> Encoded:
        """Encode an instance of the model, a value that validates to one, or JSON as bytes or parsed.

        An encoded value is returned unchanged.

        Raises:
            MalformedBody: the bytes are not JSON.
            InvalidData: the model does not accept the value, or a blob is missing.
        """
        return value if isinstance(value, Encoded) else await self.encode_value(value)

    async def encode_value(self, value: Any) -> Encoded:
        """Encode a value as `encode` does, for a resource that exists."""
        spec = self._spec
        if isinstance(value, bytes):
            return await self._encode_validated(spec.parse(value), is_trusted=spec.stored_form.is_plain)
        if isinstance(value, Parsed):
            return await self._encode_validated(value.value, is_trusted=spec.stored_form.is_plain)
        return await self._encode_validated(spec.validate(value), is_trusted=False)

    async def encode_patched(self, data: bytes, before: bytes | None = None) -> Encoded:
        """Encode the stored form that a patch has made.

        Args:
            before: stored data of the resource before the patch, whose blobs may stay; None for a new resource.

        Raises:
            InvalidData: the model does not accept the data, or a blob is missing.
        """
        value, is_trusted = self._spec.parse_stored(data), self._spec.stored_form.is_plain
        return await self._encode_validated(value, is_trusted=is_trusted, before=before)

    async def encode_stored(self, data: bytes) -> Encoded | None:
        """Return the bytes of an export unchanged; None if they are not a stored form of the model.

        Raises:
            InvalidData: a blob is missing.
        """
        value = self._spec.stored_form.recognize(data)
        if value is None:
            return None
        blobs = await self._resolve_blobs(value.value) if self._spec.has_blobs else ()
        return Encoded(self._check_nesting(data), blobs)

    async def encode_older(self, data: bytes, version: int) -> Encoded:
        """Return data of an older schema version, to be stored as it is, with its upgraded form.

        Raises:
            InvalidData: the data cannot be upgraded, or a blob is missing.
        """
        spec = self._spec
        try:
            upgraded = spec.upgrader.upgrade(data, version)
        except (UpgradeError, NewerVersion) as error:
            step, field = (error.step, error.field) if isinstance(error, UpgradeError) else ("", None)
            reason = f"cannot be upgraded from schema version {version}: {step and f'{step}: '}{error}"
            raise InvalidData(f"The {spec.name} is not valid.", [FieldError(field or "data", reason)]) from error
        blobs = await self._resolve_blobs(spec.decode(upgraded)) if spec.has_blobs else ()
        return Encoded(self._check_nesting(upgraded), blobs, self._check_nesting(data))

    async def _encode_validated(self, value: T, *, is_trusted: bool, before: bytes | None = None) -> Encoded:
        """Encode a value that the model's validator has made.

        Args:
            is_trusted: True if the stored form of each such value reads back as an equal value.
        """
        blobs = await self._resolve_blobs(value, before) if self._spec.has_blobs else ()
        data = self._check_nesting(self._spec.dump(value))
        return Encoded(data if is_trusted else self._spec.check(value, data), blobs)

    def _check_nesting(self, data: bytes) -> bytes:
        """Return stored data that is not nested too deeply. Texts of `Json` fields count as parsed, as answers show."""
        # The count is a bound of the depth, and most documents have few objects and lists.
        if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
            names = self._spec.names
            check_nesting(self._spec.name, dump_json(names.open_json(from_json(data))) if names.has_json else data)
        return data

    async def _resolve_blobs(self, value: T, before: bytes | None = None) -> tuple[str, ...]:
        """Find the blobs that a value refers to, and store its inline blobs."""
        found = [(self._spec.field_name(path.split(".")), binary) for path, binary in binaries(value)]
        errors = FieldErrors(FieldError(path, message) for path, binary in found for message in binary.errors())
        if not errors:
            async for error in self._find_faults(found, before):
                errors.append(error)
        if errors:
            raise InvalidData(f"The {self._spec.name} is not valid.", errors)
        for _, binary in found:
            if binary.data is not None:
                types = [UploadedType(binary.content_type, binary.filename, self._uploader())]
                blob = await self._blobs.put_bytes(binary.data, types=types)
                binary.file_id, binary.size, binary.data = blob.file_id, blob.size, None
        return tuple(dict.fromkeys(binary.file_id for _, binary in found if binary.file_id))

    async def _find_blob(self, file_id: str, before: bytes | None) -> Blob | None:
        """Return a blob that the author of the value may refer to; None if there is no such blob.

        Args:
            before: stored data of the resource before the write; None for a new resource.
        """
        return await self._blobs.find(file_id)

    def _uploader(self) -> str | None:
        """Return the user who uploads the inline blobs of a value."""
        return None

    async def _find_faults(self, found: list[tuple[str, Binary]], before: bytes | None) -> AsyncIterator[FieldError]:
        """Fill in the sizes and types of stored blobs. Return the faults of the others."""
        for path, binary in found:
            if binary.file_id is None:
                continue
            blob = await self._find_blob(binary.file_id, before)
            if blob is None:
                yield FieldError(f"{path}.file_id", "is not known: upload the bytes first")
            elif binary.size not in (None, blob.size):
                yield FieldError(f"{path}.size", f"must be {blob.size}, the size of the upload")
            else:
                binary.size = blob.size
                uploaded = await self._blobs.types_of(blob)
                _fill_in_type(binary, uploaded)
                for message in [*binary.errors(), *_type_errors(binary, uploaded)]:
                    yield FieldError(path, message)


def _fill_in_type(binary: Binary, uploaded: UploadedTypes) -> None:
    """Give a reference without a type the type and the name of the last upload that fits the field.

    The default type counts as no type, unless the blob was uploaded with it and the reference names it.
    """
    if not binary.awaits_type:
        return
    filename = binary.filename
    candidates = [*reversed(uploaded.types)] or [UploadedType(OCTETS)]
    if "content_type" in binary.model_fields_set and uploaded.accepts(OCTETS):
        candidates = [UploadedType(OCTETS)]
    # If no type fits the field, the error is about the last upload.
    for item in (*candidates, candidates[0]):
        binary.take_type(item.content_type, filename or item.filename)
        if not binary.errors():
            break


def _type_errors(binary: Binary, uploaded: UploadedTypes) -> list[str]:
    """Return a message if the blob was not uploaded as the type that the reference names."""
    if uploaded.accepts(binary.content_type):
        return []
    types = ", ".join(dict.fromkeys(item.content_type for item in uploaded.types))
    return [f"content_type must be a type of the upload: {types}"]
