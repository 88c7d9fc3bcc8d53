"""Masking: resources and revisions without hidden fields, and without hashes and sizes that would tell them."""

import re
from collections.abc import Collection
from dataclasses import replace

from autocrud.errors import AutoCRUDError, Unreadable
from autocrud.guard.documents import Path, without_fields
from autocrud.resource import RevisionInfo
from autocrud.storage.ports.types import Commit, Head, PartialHead, Revision

# Both have forms that stand in the JSON of a revision only as these members.
_HASH = re.compile(rb'"data_hash":"[^"]*","size":\d+')


def masked_head(head: Head, hidden: Collection[Path]) -> Head:
    """Return a resource without the hidden fields. Data of another schema version is shown upgraded only."""
    if not hidden:
        return head
    data = None if head.data is None else without_fields(head.data, hidden)
    return PartialHead(
        head.resource_id, head.version, head.is_deleted, head.created_time, head.meta,
        _HASH.sub(b'"data_hash":"","size":0', head.revision_info), data, head.locator, None, _masked_fault(head.fault),
    )  # fmt: skip


def _masked_fault(fault: AutoCRUDError | None) -> AutoCRUDError | None:
    """Return the reason why data cannot be read without what a step or a validator says of its values."""
    if not isinstance(fault, Unreadable):
        return fault
    reason = "it has fields that you may not see"
    return Unreadable(fault.model, fault.revision_id, "", None, reason, lacks_fields=fault.lacks_fields)


def masked_info(info: RevisionInfo) -> RevisionInfo:
    """Return the information about a revision without the hash and the size of its data."""
    return info.model_copy(update={"data_hash": "", "size": 0})


def masked_revision(revision: Revision) -> Revision:
    """Return a revision without the hash and the size of its data."""
    return replace(revision, info=masked_info(revision.info))


def masked_commit(commit: Commit) -> Commit:
    """Return a commit without the hash and the size of its data."""
    return commit if commit.data_hash is None else replace(commit, data_hash="", size=0)
