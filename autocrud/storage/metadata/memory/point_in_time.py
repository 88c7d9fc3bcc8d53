"""What a resource in memory was at some time, from its commits."""

from collections.abc import Sequence
from datetime import datetime

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.storage.point_in_time import resource_at
from autocrud.storage.ports.types import Commit, Head

MAKES = (CommitKind.create, CommitKind.update)
_REWRITES = (CommitKind.modify, CommitKind.switch)


def written(history: Sequence[Commit], made: Commit, version: int | None) -> tuple[RevisionInfo, Commit]:
    """The revision that a commit made, as of a version, and the commit that last wrote its data."""
    held = made
    for commit in history:
        if commit.kind in _REWRITES and commit.revision_id == made.revision_id:
            held = commit if version is None or commit.version <= version else held
    info = RevisionInfo(
        revision_id=made.revision_id,
        parent_revision_id=made.parent_revision_id,
        created_time=made.time,
        created_by=made.by,
        schema_version=held.schema_version,
        status=held.status,
        data_hash=held.data_hash or "",
        size=held.size or 0,
    )
    return info, held


def state_at(history: Sequence[Commit], head: Head, time: datetime) -> Head | None:
    """A resource as its last commit that is not after the time left it, without the data; None where there is none."""
    commit = next((commit for commit in reversed(history) if commit.time <= time), None)
    if commit is None:
        return None
    made = next(made for made in history if made.kind in MAKES and made.revision_id == commit.revision_id)
    info, held = written(history, made, commit.version)
    return resource_at(commit, ResourceMeta.model_validate_json(head.meta), info, None, held.locator)
