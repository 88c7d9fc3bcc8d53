"""Checks of imported metadata: refuse metadata that no sequence of commits could have produced."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import ConfigDict

from autocrud.errors import FieldError, InvalidParameter
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, check_resource_id
from autocrud.schema.column_types import MAX_TEXT_BYTES
from autocrud.schema.versions.schema import Schema

_MAX_VERSION = 2**53  # the largest integer that every JSON parser reads exactly (RFC 8259, 6)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile("[1-9][0-9]{0,17}")
_HASH = re.compile("sha256:[0-9a-f]{64}")
# Times may be ahead by this much. A commit's time is never before the previous one's, so a time far in the future
# would stay on all later commits.
_MAX_CLOCK_SKEW = timedelta(days=1)

KINDS_WITH_DATA = frozenset({CommitKind.create, CommitKind.update, CommitKind.modify, CommitKind.switch})


class GivenMeta(ResourceMeta):
    """Metadata part of a line."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


class GivenRevision(RevisionInfo):
    """Revision part of a line."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", defer_build=True)


def faults_of_meta(meta: ResourceMeta, revision: RevisionInfo | None, schema: Schema) -> Iterator[FieldError]:
    """Yield the faults of a line's metadata and revision.

    Args:
        schema: versions that the model can read.
    """
    try:
        check_resource_id(meta.resource_id)
    except InvalidParameter as error:
        yield FieldError("meta.resource_id", error.errors[0].message)
        return
    current = _number(meta, meta.current_revision_id)
    if not 1 <= meta.version <= _MAX_VERSION:
        yield FieldError("meta.version", f"must be from 1 to {_MAX_VERSION}")
    if not 1 <= meta.total_revision_count <= meta.version:
        yield FieldError("meta.total_revision_count", "must be from 1 to the version")
    if not 1 <= current <= meta.total_revision_count:
        yield FieldError("meta.current_revision_id", "must be the resource's id, ':' and the number of a revision")
    if not schema.oldest <= meta.schema_version <= schema.version:
        versions = f"from {schema.oldest} to {schema.version}" if schema.oldest < schema.version else schema.version
        yield FieldError("meta.schema_version", f"must be {versions}, the versions that this service knows")
    yield from _faults_of_times("meta", {"created_time": meta.created_time, "updated_time": meta.updated_time})
    yield from _faults_of_names("meta", {"created_by": meta.created_by, "updated_by": meta.updated_by})
    if revision is not None:
        yield from _faults_of_revision(meta, revision, current)


def faults_of_state(meta: ResourceMeta, revision: RevisionInfo) -> Iterator[FieldError]:
    """Yield the further faults of a current state. A commit after the revision's own needs a version of its own."""
    if not _is_revision_commit(meta, revision) and meta.version <= _number(meta, meta.current_revision_id):
        yield FieldError("meta.updated_time", "must equal revision_info.created_time, because no later version exists")


def faults_of_commit(kind: CommitKind, meta: ResourceMeta, revision: RevisionInfo | None) -> Iterator[FieldError]:
    """Yield the faults of a commit, without regard to the commit before it."""
    has_data = kind in KINDS_WITH_DATA
    if kind is CommitKind.purge:
        yield FieldError("kind", "must not be purge, because a purged resource has no lines")
    elif has_data != (revision is not None):
        yield FieldError("revision_info", "is required" if has_data else f"is not allowed for a {kind}")
    elif (
        kind in (CommitKind.create, CommitKind.update)
        and revision is not None
        and not _is_revision_commit(meta, revision)
    ):
        yield FieldError("revision_info.created_time", "and created_by must equal meta.updated_time and updated_by")


def faults_of_step(kind: CommitKind, before: ResourceMeta, meta: ResourceMeta) -> Iterator[FieldError]:
    """Yield the faults of a commit that follows the commit with the metadata `before`."""
    if kind is CommitKind.create or meta.version != before.version + 1:
        yield FieldError("meta.version", f"must be {before.version + 1}, and kind must not be create")
        return
    if (meta.created_time, meta.created_by) != (before.created_time, before.created_by):
        yield FieldError("meta.created_time", "and created_by must equal those of the resource")
    if meta.updated_time < before.updated_time:
        yield FieldError("meta.updated_time", "must not be before the previous commit's")
    count = before.total_revision_count + (kind is CommitKind.update)
    if meta.total_revision_count != count:
        yield FieldError("meta.total_revision_count", f"must be {count}")
    expected = f"{meta.resource_id}:{count}" if kind is CommitKind.update else before.current_revision_id
    if kind is not CommitKind.switch and meta.current_revision_id != expected:
        yield FieldError("meta.current_revision_id", f"must be {expected}")
    deleted = kind is CommitKind.delete or (before.is_deleted and kind is not CommitKind.restore)
    if meta.is_deleted != deleted:
        yield FieldError("meta.is_deleted", f"must be {str(deleted).lower()}")
    if kind not in KINDS_WITH_DATA and meta.status is not before.status:
        yield FieldError("meta.status", f"must be {before.status}")
    if kind not in KINDS_WITH_DATA and meta.schema_version != before.schema_version:
        yield FieldError("meta.schema_version", f"must be {before.schema_version}")


def _is_revision_commit(meta: ResourceMeta, revision: RevisionInfo) -> bool:
    """Return True if the commit with this metadata made the revision."""
    return (revision.created_time, revision.created_by) == (meta.updated_time, meta.updated_by)


def _faults_of_revision(meta: ResourceMeta, revision: RevisionInfo, current: int) -> Iterator[FieldError]:
    if revision.revision_id != meta.current_revision_id:
        yield FieldError("revision_info.revision_id", "must equal meta.current_revision_id")
    parent = revision.parent_revision_id
    if parent is not None and not 1 <= _number(meta, parent) < current:
        yield FieldError("revision_info.parent_revision_id", "must be an earlier revision of the resource")
    if revision.status is not meta.status:
        yield FieldError("revision_info.status", f"must be {meta.status}")
    if revision.schema_version != meta.schema_version:
        yield FieldError("revision_info.schema_version", f"must be {meta.schema_version}")
    # The hash of pruned data is erased with the data.
    if (revision.data_hash and not _HASH.fullmatch(revision.data_hash)) or not 1 <= revision.size <= _MAX_VERSION:
        yield FieldError("revision_info.data_hash", "must be sha256: and 64 hex digits, and size must be positive")
    yield from _faults_of_names("revision_info", {"created_by": revision.created_by})
    times = {"created_time": revision.created_time}
    faults = list(_faults_of_times("revision_info", times))
    yield from faults
    comparable = not faults and meta.created_time.tzinfo and meta.updated_time.tzinfo
    if comparable and not meta.created_time <= revision.created_time <= meta.updated_time:
        yield FieldError("revision_info.created_time", "must be between meta.created_time and meta.updated_time")


def _faults_of_times(part: str, times: dict[str, datetime]) -> Iterator[FieldError]:
    latest = datetime.now(UTC) + _MAX_CLOCK_SKEW
    last = _EPOCH
    for name, time in times.items():
        if time.tzinfo is None:
            yield FieldError(f"{part}.{name}", "must have an offset from UTC")
        elif not _EPOCH <= time <= latest:
            yield FieldError(f"{part}.{name}", "must not be before 1970 or in the future")
        elif time < last:
            yield FieldError(f"{part}.{name}", "must not be before created_time")
        else:
            last = time


def _faults_of_names(part: str, names: dict[str, str | None]) -> Iterator[FieldError]:
    for name, value in names.items():
        if value is not None and ("\0" in value or len(value.encode("utf-8", "replace")) > MAX_TEXT_BYTES):
            yield FieldError(f"{part}.{name}", f"must be at most {MAX_TEXT_BYTES} bytes, without a null character")


def _number(meta: ResourceMeta, revision_id: str) -> int:
    """Return the number in a revision id of the resource, or 0 if the id is not valid."""
    resource_id, _, number = revision_id.rpartition(":")
    return int(number) if resource_id == meta.resource_id and _NUMBER.fullmatch(number) else 0
