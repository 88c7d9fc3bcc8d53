"""Point-in-time reads in memory: rebuilds a resource from its commits."""

from collections.abc import Sequence
from datetime import datetime

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.storage.point_in_time import resource_at
from autocrud.storage.ports.types import Commit, Head

CREATING_KINDS = (CommitKind.create, CommitKind.update)
_REWRITING_KINDS = (CommitKind.modify, CommitKind.switch)


def revision_at(history: Sequence[Commit], origin: Commit, version: int | None) -> tuple[RevisionInfo, Commit]:
    """Return the revision that a commit created, as of a version, and the commit that last wrote its data."""
    data_commit = origin
    for commit in history:
        if commit.kind in _REWRITING_KINDS and commit.revision_id == origin.revision_id:
            data_commit = commit if version is None or commit.version <= version else data_commit
    info = RevisionInfo(
        revision_id=origin.revision_id,
        parent_revision_id=origin.parent_revision_id,
        created_time=origin.time,
        created_by=origin.by,
        schema_version=data_commit.schema_version,
        status=data_commit.status,
        data_hash=data_commit.data_hash or "",
        size=data_commit.size or 0,
    )
    return info, data_commit


def head_at(history: Sequence[Commit], head: Head, time: datetime) -> Head | None:
    """Return a resource as of a time, without its data; None if it did not exist."""
    commit = next((commit for commit in reversed(history) if commit.time <= time), None)
    if commit is None:
        return None
    origin = next(
        origin for origin in history if origin.kind in CREATING_KINDS and origin.revision_id == commit.revision_id
    )
    info, data_commit = revision_at(history, origin, commit.version)
    return resource_at(commit, ResourceMeta.model_validate_json(head.meta), info, None, data_commit.locator)
