"""Masking: resources and revisions without hidden fields, and without hashes and sizes that would tell them."""

from collections.abc import Collection
from dataclasses import replace

from autocrud.guard.documents import Path, without_fields
from autocrud.resource import RevisionInfo
from autocrud.storage.ports.types import Commit, Head, PartialHead, Revision


def masked_head(head: Head, hidden: Collection[Path]) -> Head:
    """Return a resource without the hidden fields. Data of another schema version is shown upgraded only."""
    if not hidden:
        return head
    info = RevisionInfo.model_validate_json(head.revision_info)
    data = None if head.data is None else without_fields(head.data, hidden)
    return PartialHead(
        head.resource_id, head.version, head.is_deleted, head.created_time, head.meta, masked_info(info).to_json(),
        data, head.locator, None, head.fault,
    )  # fmt: skip


def masked_info(info: RevisionInfo) -> RevisionInfo:
    """Return the information about a revision without the hash and the size of its data."""
    return info.model_copy(update={"data_hash": "", "size": 0})


def masked_revision(revision: Revision) -> Revision:
    """Return a revision without the hash and the size of its data."""
    return replace(revision, info=masked_info(revision.info))


def masked_commit(commit: Commit) -> Commit:
    """Return a commit without the hash and the size of its data."""
    return commit if commit.data_hash is None else replace(commit, data_hash="", size=0)
