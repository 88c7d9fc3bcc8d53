"""Write builder: makes the write of each operation, and the resource after it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, TypeVar

from autocrud.errors import InvalidParameter, NewerSchema
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus, timestamp
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head, RequestKey, Write
from autocrud.versioning.stored_resource import Resource

T = TypeVar("T")

_MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value in stored form, in the schema version of the model.

    Attributes:
        blobs: `file_id` of each blob that the value refers to.
        stored: bytes to store instead, if they are those of another schema version. The revision has that version.
    """

    data: bytes
    blobs: tuple[str, ...] = ()
    stored: bytes | None = None

    @property
    def content(self) -> bytes:
        """Bytes to store."""
        return self.data if self.stored is None else self.stored


@dataclass(frozen=True, slots=True)
class Author:
    """User and time of a write."""

    by: str | None
    now: datetime


def create_write(
    spec: ModelSpec[Any],
    resource_id: str,
    encoded: Encoded,
    author: Author,
    status: RevisionStatus,
    key: RequestKey | None,
) -> Write:
    """Return the write of a new resource with its first revision."""
    version = spec.schema.version
    revision = _revision(resource_id, 1, None, author, status, encoded.data, version)
    meta = ResourceMeta.trusted(
        resource_id=resource_id,
        version=1,
        current_revision_id=revision.revision_id,
        total_revision_count=1,
        is_deleted=False,
        created_time=author.now,
        updated_time=author.now,
        created_by=author.by,
        updated_by=author.by,
        schema_version=version,
        status=status,
    )
    index = spec.index_values(encoded.data)
    return Write(CommitKind.create, 0, meta, index, revision, encoded.data, key=key, blobs=encoded.blobs)


def update_write(
    spec: ModelSpec[Any],
    meta: ResourceMeta,
    encoded: Encoded,
    author: Author,
    status: RevisionStatus,
    prunes: int,
    index: tuple[IndexValue, ...] | None = None,
) -> Write:
    """Return the write that appends a revision to the current one.

    Args:
        index: index values of the data; computed and checked if None.

    Raises:
        NewerSchema: the resource has a newer schema version than the model.
    """
    version = _own_version(spec, meta)
    number = meta.total_revision_count + 1
    revision = _revision(meta.resource_id, number, meta.current_revision_id, author, status, encoded.data, version)
    changed = next_meta(
        meta,
        author,
        current_revision_id=revision.revision_id,
        total_revision_count=number,
        status=status,
        schema_version=version,
    )
    index = spec.index_values(encoded.data) if index is None else index
    return Write(CommitKind.update, meta.version, changed, index, revision, encoded.data, prunes, blobs=encoded.blobs)


def modify_write(
    spec: ModelSpec[Any],
    meta: ResourceMeta,
    revision: RevisionInfo,
    encoded: Encoded,
    author: Author,
    status: RevisionStatus,
) -> Write:
    """Return the write that edits the data or the status of the current revision.

    Raises:
        NewerSchema: the resource has a newer schema version than the model.
    """
    data, version = encoded.content, _own_version(spec, meta)
    if encoded.stored is not None:
        version = revision.schema_version
    edited = revision.model_copy(
        update={"status": status, "data_hash": _hash(data), "size": len(data), "schema_version": version}
    )
    changed = next_meta(meta, author, status=status, schema_version=version)
    index = spec.index_values(encoded.data)
    return Write(CommitKind.modify, meta.version, changed, index, edited, data, blobs=encoded.blobs)


def switch_write(
    spec: ModelSpec[Any], meta: ResourceMeta, revision: RevisionInfo, encoded: Encoded, author: Author
) -> Write:
    """Return the write that makes another revision the current one.

    Args:
        encoded: data of the revision, with its stored bytes if their schema version is older.
    """
    changed = next_meta(
        meta,
        author,
        current_revision_id=revision.revision_id,
        status=revision.status,
        schema_version=revision.schema_version,
    )
    index = spec.index_values(encoded.data)
    return Write(CommitKind.switch, meta.version, changed, index, revision, encoded.content, blobs=encoded.blobs)


def import_writes(spec: ModelSpec[Any], meta: ResourceMeta, revision: RevisionInfo, encoded: Encoded) -> list[Write]:
    """Return the writes that restore the current state of an exported resource, without its past.

    Two writes are needed if its last commit did not make its revision, because each has its own time and author.
    """
    if (revision.created_time, revision.created_by) == (meta.updated_time, meta.updated_by):
        return [replay_write(spec, CommitKind.create, 0, meta, revision, encoded)]
    version = meta.version - 1
    made = {"version": version, "updated_time": revision.created_time, "updated_by": revision.created_by}
    first = replay_write(spec, CommitKind.create, 0, meta.model_copy(update=made), revision, encoded)
    if meta.is_deleted:
        return [first, replay_write(spec, CommitKind.delete, version, meta, None, None)]
    return [first, replay_write(spec, CommitKind.modify, version, meta, revision, encoded)]


def replay_write(
    spec: ModelSpec[Any],
    kind: CommitKind,
    follows: int,
    meta: ResourceMeta,
    revision: RevisionInfo | None,
    encoded: Encoded | None,
) -> Write:
    """Return an exported commit as a write. The hash is that of the data as stored here.

    Args:
        encoded: stored form of the data; None if the data was pruned.
    """
    if revision is None:
        return Write(kind, follows, meta)
    if encoded is None:
        return Write(kind, follows, meta, (None,) * len(spec.index_fields), revision)
    data = encoded.content
    stored = revision.model_copy(update={"data_hash": _hash(data), "size": len(data)})
    return Write(kind, follows, meta, spec.index_values(encoded.data), stored, data, blobs=encoded.blobs)


def purge_write(meta: ResourceMeta, author: Author, spared_blobs: Sequence[str]) -> Write:
    """Return a purge that spares these blobs, because later writes of the same group refer to them."""
    return Write(
        CommitKind.purge,
        meta.version,
        next_meta(meta, author, is_deleted=True, created_by=None),
        blobs=tuple(spared_blobs),
    )


def prune_write(meta: ResourceMeta, prunes: int) -> Write:
    """Return the write that gives up the data of old revisions, and changes nothing else."""
    return Write(CommitKind.prune, meta.version, meta.model_copy(update={"version": meta.version + 1}), prunes=prunes)


def request_key(key: str, content: bytes, author: Author, lifetime: timedelta) -> RequestKey:
    """Return the request key for an idempotency key and the content of the request.

    Raises:
        InvalidParameter: the key is invalid.
    """
    if not (0 < len(key) <= _MAX_KEY and key.isascii() and key.isprintable()):
        raise InvalidParameter("Idempotency-Key", f"must be 1 to {_MAX_KEY} printable ASCII characters")
    # Hashed, so that every key fits an index; with its user, so that no user gets another user's answer.
    hashed = sha256(f"{author.by or ''}\0{key}".encode()).hexdigest()
    return RequestKey(hashed, sha256(content).hexdigest(), timestamp(author.now + lifetime))


def apply_to(spec: ModelSpec[T], write: Write, before: Resource[T] | None) -> Resource[T]:
    """Return the resource as the write left it."""
    meta, old = write.meta, None if before is None else before.head
    revision_json = write.revision_json or (old.revision_info if old else b"")
    data, stored, fault = (None, None, None) if old is None else (old.data, old.stored, old.fault)
    if write.data is not None:
        data, stored, fault = write.data, None, None
        if write.revision is not None and write.revision.schema_version != spec.schema.version:
            data, stored = spec.upgrader.upgrade(data, write.revision.schema_version), data
    created_time = timestamp(meta.created_time)
    head = Head(
        meta.resource_id,
        meta.version,
        meta.is_deleted,
        created_time,
        write.meta_json,
        revision_json,
        data,
        "",
        stored,
        fault,
    )
    return Resource(spec, head, is_new=before is None)


def next_meta(meta: ResourceMeta, author: Author, **changes: Any) -> ResourceMeta:
    """Return the metadata of the next version."""
    common = {"version": meta.version + 1, "updated_time": author.now, "updated_by": author.by}
    return ResourceMeta.trusted(**(meta.__dict__ | common | changes))


def _revision(
    resource_id: str,
    number: int,
    parent: str | None,
    author: Author,
    status: RevisionStatus,
    data: bytes,
    schema_version: int,
) -> RevisionInfo:
    return RevisionInfo.trusted(
        revision_id=f"{resource_id}:{number}",
        parent_revision_id=parent,
        created_time=author.now,
        created_by=author.by,
        schema_version=schema_version,
        status=status,
        data_hash=_hash(data),
        size=len(data),
    )


def _own_version(spec: ModelSpec[Any], meta: ResourceMeta) -> int:
    """Return the schema version of the model.

    Raises:
        NewerSchema: the resource has a newer version, whose data this process would damage.
    """
    version = spec.schema.version
    if meta.schema_version > version:
        raise NewerSchema(spec.name, meta.resource_id, meta.schema_version, version)
    return version


def _hash(data: bytes) -> str:
    return f"sha256:{sha256(data).hexdigest()}"
