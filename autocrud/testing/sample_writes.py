"""Sample writes, as a manager would build them, for tests that use a storage directly."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic_core import to_json

from autocrud.resource import CommitKind, RevisionStatus
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import RequestKey, Write
from autocrud.versioning import write_builder
from autocrud.versioning.write_builder import Author, Encoded


class Sample(BaseModel):
    """Model of the conformance suite: one field of each sort that a backend treats in its own way."""

    text: Annotated[str, Index(text=True)] = ""
    number: Annotated[int | None, Index()] = None
    flag: Annotated[bool | None, Index()] = None
    tags: Annotated[list[str] | None, Index()] = None
    code: Annotated[str | None, Unique()] = None
    serial: Annotated[int | None, Unique()] = None
    shelf: Annotated[str | None, Unique(group="spot")] = None
    place: Annotated[int | None, Unique(group="spot")] = None
    payload: str = ""


SAMPLE: ModelSpec[Sample] = ModelSpec(Sample)
_STABLE = RevisionStatus.stable


def sample(**fields: Any) -> bytes:
    """Return the stored JSON of a sample."""
    return SAMPLE.dump(SAMPLE.parse(to_json(fields)))


def create_write(
    resource_id: str,
    data: bytes,
    *,
    time: datetime | None = None,
    status: RevisionStatus = _STABLE,
    key: RequestKey | None = None,
    blobs: tuple[str, ...] = (),
    spec: ModelSpec[Any] = SAMPLE,
) -> Write:
    """Return the first write of a resource."""
    return write_builder.create_write(
        spec, resource_id, Encoded(data, blobs), _ada(time or datetime.now(UTC)), status, key
    )


def update_write(
    before: Write,
    data: bytes,
    *,
    time: datetime | None = None,
    status: RevisionStatus = _STABLE,
    prunes: int = 0,
    blobs: tuple[str, ...] = (),
    spec: ModelSpec[Any] = SAMPLE,
) -> Write:
    """Return a write that appends a revision, at the same time unless another is given."""
    return write_builder.update_write(spec, before.meta, Encoded(data, blobs), _after(before, time), status, prunes)


def modify_write(
    before: Write,
    of: Write,
    data: bytes,
    *,
    time: datetime | None = None,
    status: RevisionStatus = RevisionStatus.draft,
    spec: ModelSpec[Any] = SAMPLE,
) -> Write:
    """Return a write that edits the current revision, which another write made."""
    assert of.revision is not None
    return write_builder.modify_write(spec, before.meta, of.revision, Encoded(data), _after(before, time), status)


def switch_write(before: Write, to: Write, *, time: datetime | None = None, spec: ModelSpec[Any] = SAMPLE) -> Write:
    """Return a write that makes the revision of another write the current one."""
    assert to.revision is not None
    assert to.data is not None
    encoded = Encoded(to.data, to.blobs)
    return write_builder.switch_write(spec, before.meta, to.revision, encoded, _after(before, time))


def prune_write(before: Write, prunes: int) -> Write:
    """Return a write that prunes all revisions up to a number, except the current one."""
    return write_builder.prune_write(before.meta, prunes)


def delete_write(before: Write, *, time: datetime | None = None) -> Write:
    """Return a soft delete after a write."""
    return _state_change(CommitKind.delete, before, time, True)


def restore_write(before: Write, *, time: datetime | None = None) -> Write:
    """Return a restore after a write."""
    return _state_change(CommitKind.restore, before, time, False)


def purge_write(before: Write) -> Write:
    """Return a purge after a write."""
    return _state_change(CommitKind.purge, before, None, True)


def at_version(write: Write, version: int) -> Write:
    """Return the same write as if it had read another version."""
    return replace(write, follows=version, meta=write.meta.model_copy(update={"version": version + 1}))


def _state_change(kind: CommitKind, before: Write, time: datetime | None, is_deleted: bool) -> Write:
    return Write(
        kind, before.meta.version, write_builder.next_meta(before.meta, _after(before, time), is_deleted=is_deleted)
    )


def _after(before: Write, time: datetime | None) -> Author:
    return _ada(time or before.meta.updated_time)


def _ada(time: datetime) -> Author:
    return Author("ada", time)
