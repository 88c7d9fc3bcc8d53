"""Encoder: what a caller gives becomes what is stored: validated, its blobs found or stored, and written as JSON."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from autocrud.errors import FieldError, InvalidData
from autocrud.schema.binary import Binary, binaries
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.blobs import BlobStore
from autocrud.versioning.write_builder import Encoded

T = TypeVar("T")


@dataclass(slots=True)
class Parsed(Generic[T]):
    """A value that the model's validator has made of JSON."""

    value: T


class Encoder(Generic[T]):
    """Encodes the values of one model."""

    def __init__(self, spec: ModelSpec[T], blobs: BlobStore) -> None:
        self._spec = spec
        self._blobs = blobs

    async def encode(self, value: Any) -> Encoded:
        """Encode an instance of the model, anything that the model validates to one, or JSON, as bytes or parsed.

        What is encoded already stays as it is.

        Raises:
            MalformedBody: it is not JSON.
            InvalidData: the model does not accept it, or it refers to blobs that are not there.
        """
        if isinstance(value, Encoded):
            return value
        from_json = isinstance(value, bytes | Parsed)
        if isinstance(value, Parsed):
            validated: T = value.value
        else:
            validated = self._spec.parse(value) if isinstance(value, bytes) else self._spec.validate(value)
        blobs = await self._settle(validated) if self._spec.has_blobs else ()
        data = self._spec.dump(validated)
        if not from_json:
            self._spec.check(data)
        return Encoded(data, blobs)

    async def _settle(self, value: T) -> tuple[str, ...]:
        """Find the blobs that a value refers to, and store those that it brings."""
        found = list(binaries(value))
        errors = [FieldError(path, message) for path, binary in found for message in binary.errors()]
        if not errors:
            errors = [error async for error in self._unknown(found)]
        if errors:
            raise InvalidData(f"The {self._spec.name} is not valid.", errors)
        for _, binary in found:
            if binary.data is not None:
                blob = await self._blobs.put_bytes(binary.data)
                binary.file_id, binary.size, binary.data = blob.file_id, blob.size, None
        return tuple(dict.fromkeys(binary.file_id for _, binary in found if binary.file_id))

    async def _unknown(self, found: list[tuple[str, Binary]]) -> AsyncIterator[FieldError]:
        """Fill in the sizes of the blobs that are there; what is wrong with the others."""
        for path, binary in found:
            if binary.file_id is None:
                continue
            blob = await self._blobs.find(binary.file_id)
            if blob is None:
                yield FieldError(f"{path}.file_id", "is not known: upload the bytes first")
            elif binary.size not in (None, blob.size):
                yield FieldError(f"{path}.size", f"must be {blob.size}, which is what was uploaded")
            else:
                binary.size = blob.size
                for message in binary.errors():
                    yield FieldError(path, message)
