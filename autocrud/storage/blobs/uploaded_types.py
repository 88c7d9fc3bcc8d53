"""Uploaded types: media types and file names of the uploads of a blob, in an object beside the blob."""

from collections.abc import Sequence
from functools import lru_cache, partial

from pydantic import TypeAdapter

from autocrud.storage.blobs.hashing import blob_object_key
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore
from autocrud.storage.ports.uploaded_types import UploadedType, UploadedTypes

UNKNOWN = UploadedTypes((), is_complete=False)
_TYPES = TypeAdapter(UploadedTypes)
_MAX_TYPES = 100  # of one blob; the oldest ones are dropped


def types_key(blob_key: str) -> str:
    """Return the key of the object with the types of a blob."""
    return f"{blob_key}.json"


class UploadedTypeStore:
    """Stores the uploaded types of one model's blobs.

    Args:
        folder: the prefix of the keys.
    """

    def __init__(self, objects: ObjectStore, folder: str) -> None:
        self._objects = objects
        self._folder = folder

    async def get(self, blob_key: str) -> UploadedTypes:
        """Return the types of a blob. They are unknown if the blob is older than this record of types."""
        try:
            return _decode(await self._objects.get(self._key(blob_key)))
        except ObjectMissing:
            return UNKNOWN

    async def add(self, blob_key: str, types: Sequence[UploadedType], *, is_new: bool) -> None:
        """Add types to those of a blob.

        Args:
            is_new: True if the blob is not visible yet, so it has no other types.
        """
        stored = await self.get(blob_key)
        if not types or set(types) <= set(stored.types):
            return
        content = _TYPES.dump_json(UploadedTypes(tuple(types), is_complete=is_new))
        try:
            await self._objects.put(self._key(blob_key), content, if_absent=True)
        except ObjectExists:
            await self._objects.rewrite(self._key(blob_key), partial(_merge, tuple(types)))

    async def delete(self, blob_key: str) -> None:
        """Delete the types of a blob."""
        await self._objects.delete(self._key(blob_key))

    def _key(self, blob_key: str) -> str:
        return blob_object_key(self._folder, types_key(blob_key))


@lru_cache(maxsize=1024)
def _decode(content: bytes) -> UploadedTypes:
    return _TYPES.validate_json(content)


def _merge(types: tuple[UploadedType, ...], content: bytes) -> bytes:
    stored = _decode(content)
    all_types = (*(item for item in stored.types if item not in types), *types)
    is_complete = stored.is_complete and len(all_types) <= _MAX_TYPES
    return _TYPES.dump_json(UploadedTypes(all_types[-_MAX_TYPES:], is_complete))
