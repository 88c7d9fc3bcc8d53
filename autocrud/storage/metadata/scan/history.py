"""History: revisions and past states of a resource, from all of its commits, oldest first."""

from collections.abc import Sequence
from datetime import datetime

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.storage.point_in_time import resource_at
from autocrud.storage.ports.types import Commit, Head, Revision, RevisionSpan

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


def revision_of(history: Sequence[Commit], origin: Commit, version: int | None) -> Revision | None:
    """Return the revision that a commit made, as of a version; None if its data was pruned."""
    info, data_commit = revision_at(history, origin, version)
    if data_commit.locator is None:
        return None
    return Revision(info, origin.version, data_commit.version, data_commit.locator)


def find_revision(history: Sequence[Commit], resource_id: str, number: int, version: int | None) -> Revision | None:
    """Return the revision with a number, as of a version; None if there is none with data."""
    for origin in history:
        if origin.kind in CREATING_KINDS and origin.revision_id == f"{resource_id}:{number}":
            return revision_of(history, origin, version)
    return None


def find_revisions(history: Sequence[Commit], span: RevisionSpan) -> list[Revision]:
    """Return the revisions of a span that have data, newest first."""
    found: list[Revision] = []
    for origin in reversed(history):
        if origin.kind not in CREATING_KINDS or (span.before is not None and origin.version >= span.before):
            continue
        if (span.since and origin.time < span.since) or (span.until and origin.time > span.until):
            continue
        revision = revision_of(history, origin, None)
        if revision is not None and len(found) < span.limit:
            found.append(revision)
    return found


def has_expired_revision(history: Sequence[Commit], before: datetime) -> bool:
    """Return True if a revision, other than the current one, has data that is older than a time."""
    current_id = history[-1].revision_id
    return any(commit.locator and commit.time < before and commit.revision_id != current_id for commit in history)


def commit_at(history: Sequence[Commit], time: datetime) -> Commit | None:
    """Return the last commit at or before a time, or None."""
    return next((commit for commit in reversed(history) if commit.time <= time), None)


def head_after(history: Sequence[Commit], commit: Commit, head: Head) -> Head:
    """Return a resource as one of its commits left it, without its data.

    Args:
        head: the resource at any time.
    """
    origin = next(
        origin for origin in history if origin.kind in CREATING_KINDS and origin.revision_id == commit.revision_id
    )
    info, data_commit = revision_at(history, origin, commit.version)
    return resource_at(commit, ResourceMeta.model_validate_json(head.meta), info, None, data_commit.locator)
