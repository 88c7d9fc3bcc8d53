"""Writes as a manager would make them, for tests that speak to a storage directly."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic_core import to_json

from autocrud.fields import Index, Unique
from autocrud.model import ModelSpec
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus
from autocrud.storage.values import Write


class Sample(BaseModel):
    """What the conformance suite stores: one field of each sort that a backend treats in its own way."""

    text: Annotated[str, Index()] = ""
    number: Annotated[int | None, Index()] = None
    flag: Annotated[bool | None, Index()] = None
    code: Annotated[str | None, Unique()] = None
    serial: Annotated[int | None, Unique()] = None
    payload: str = ""


SAMPLE: ModelSpec[Sample] = ModelSpec(Sample)


def sample(**fields: Any) -> bytes:
    """The stored JSON of a sample."""
    return SAMPLE.dump(SAMPLE.parse(to_json(fields)))


def creation(resource_id: str, data: bytes, *, time: datetime | None = None) -> Write:
    """The first write of a resource."""
    now = time or datetime.now(UTC)
    revision = _revision(resource_id, 1, None, now, data)
    meta = ResourceMeta(
        resource_id=resource_id,
        version=1,
        current_revision_id=revision.revision_id,
        total_revision_count=1,
        is_deleted=False,
        created_time=now,
        updated_time=now,
        created_by="ada",
        updated_by="ada",
        schema_version=1,
        status=RevisionStatus.stable,
    )
    return Write(CommitKind.create, 0, meta, SAMPLE.index_values(data), revision, data)


def update(before: Write, data: bytes) -> Write:
    """A new revision on top of a write."""
    number = before.meta.total_revision_count + 1
    revision = _revision(
        before.meta.resource_id, number, before.meta.current_revision_id, before.meta.updated_time, data
    )
    meta = _next(before.meta, current_revision_id=revision.revision_id, total_revision_count=number)
    return Write(CommitKind.update, before.meta.version, meta, SAMPLE.index_values(data), revision, data)


def deletion(before: Write) -> Write:
    """A soft delete on top of a write."""
    return Write(CommitKind.delete, before.meta.version, _next(before.meta, is_deleted=True))


def restoration(before: Write) -> Write:
    """A restore on top of a write."""
    return Write(CommitKind.restore, before.meta.version, _next(before.meta, is_deleted=False))


def purge(before: Write) -> Write:
    """An erasure on top of a write."""
    return Write(CommitKind.purge, before.meta.version, _next(before.meta, is_deleted=True))


def expecting(write: Write, version: int) -> Write:
    """The same write, built by somebody who read another version."""
    return Write(
        write.kind,
        version,
        write.meta.model_copy(update={"version": version + 1}),
        write.index,
        write.revision,
        write.data,
    )


def _next(meta: ResourceMeta, **changes: Any) -> ResourceMeta:
    return meta.model_copy(update={"version": meta.version + 1, **changes})


def _revision(resource_id: str, number: int, parent: str | None, now: datetime, data: bytes) -> RevisionInfo:
    return RevisionInfo(
        revision_id=f"{resource_id}:{number}",
        parent_revision_id=parent,
        created_time=now,
        created_by="ada",
        schema_version=1,
        status=RevisionStatus.stable,
        data_hash=f"sha256:{sha256(data).hexdigest()}",
        size=len(data),
    )
