"""Arrivals of blobs: a small object for each upload, by which maintenance finds blobs that nothing refers to."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus, timestamp
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.types import Write

_BATCH = 100  # blobs of one commit


class BlobArrivals:
    """The uploads of blobs of a model that maintenance has not judged yet.

    Args:
        folder: folder of the model.
    """

    def __init__(self, objects: ObjectStore, folder: str) -> None:
        self._objects = objects
        self._prefix = f"arrivals/{folder}/"

    async def add(self, file_id: str) -> None:
        """Note that a blob was uploaded now, before it is registered."""
        await self._objects.put(f"{self._prefix}{file_id}-{_text_of(datetime.now(UTC))}", b"")

    async def expired(self, before: datetime) -> AsyncIterator[Mapping[str, Sequence[str]]]:
        """Yield blobs whose last upload was before a time, with the names of their uploads, some at a time."""
        limit, batch = _text_of(before), dict[str, list[str]]()
        async for file_id, names in self._uploads():
            if _moment(names[-1]) < limit:
                batch[file_id] = names
            if len(batch) == _BATCH:
                yield batch
                batch = {}
        if batch:
            yield batch

    async def _uploads(self) -> AsyncIterator[tuple[str, list[str]]]:
        """Yield each blob with the names of its uploads, oldest first."""
        names: list[str] = []
        async for key in self._objects.keys(self._prefix):
            name = key.removeprefix(self._prefix)
            if names and _file_id(names[0]) != _file_id(name):
                yield _file_id(names[0]), names
                names = []
            names.append(name)
        if names:
            yield _file_id(names[0]), names

    async def remove(self, names: Sequence[str]) -> None:
        """Remove uploads."""
        for name in names:
            await self._objects.delete(self._prefix + name)


def passing_reference(file_ids: Sequence[str], spec: ModelSpec[Any]) -> tuple[Write, Write]:
    """Return the creation and the purge of a resource that refers to blobs."""
    resource_id, now = str(uuid7()), datetime.now(UTC)
    revision = RevisionInfo(
        revision_id=f"{resource_id}:1",
        parent_revision_id=None,
        created_time=now,
        created_by=None,
        schema_version=spec.schema.version,
        status=RevisionStatus.stable,
        data_hash="",
        size=0,
    )
    meta = ResourceMeta(
        resource_id=resource_id,
        version=1,
        current_revision_id=revision.revision_id,
        total_revision_count=1,
        is_deleted=True,
        created_time=now,
        updated_time=now,
        created_by=None,
        updated_by=None,
        schema_version=spec.schema.version,
        status=RevisionStatus.stable,
    )
    index = (None,) * len(spec.index_fields)
    create = Write(CommitKind.create, 0, meta, index, revision, b"null", blobs=tuple(file_ids))
    return create, Write(CommitKind.purge, 1, meta.model_copy(update={"version": 2}))


def _text_of(moment: datetime) -> str:
    return timestamp(moment).replace(":", "")  # no colon in the name of a file


def _file_id(name: str) -> str:
    return name.partition("-")[0]


def _moment(name: str) -> str:
    return name.partition("-")[2]
