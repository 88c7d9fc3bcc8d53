"""The SELECT of revisions from the commits, for both engines, and its rows."""

from collections.abc import Iterable
from typing import Any

from autocrud.resource import RevisionInfo
from autocrud.storage.ports.types import Revision

# A revision is made by one commit, and its data is what the last modify or switch to it wrote, if there was any.
CREATING_KINDS = "('create', 'update')"
REWRITING_KINDS = "('modify', 'switch')"
FOREVER = 2**62  # no version is this high


def select_revisions(commits: str, resource_id: str, until: str, *, condition: str, page: str) -> str:
    """Return a SELECT of the revisions of one resource that have their data, as of a version.

    Args:
        commits: the table of the commits.
        resource_id: the placeholder of the resource's id.
        until: the placeholder of the version.
        condition: a further condition on `made`, the commits that made the revisions.
        page: ORDER BY and LIMIT.
    """
    rewritten = (
        f"SELECT max(version) FROM {commits} later WHERE later.resource_id = made.resource_id"
        f" AND later.revision_id = made.revision_id AND later.kind IN {REWRITING_KINDS} AND later.version <= {until}"
    )
    return (
        "SELECT made.version, held.version, made.revision_id, made.parent_revision_id, made.time, made.by,"
        " held.schema_version, held.status, held.data_hash, held.size, held.locator"
        f" FROM {commits} made JOIN {commits} held"
        f" ON held.resource_id = made.resource_id AND held.version = coalesce(({rewritten}), made.version)"
        f" WHERE made.resource_id = {resource_id} AND made.kind IN {CREATING_KINDS} AND held.locator IS NOT NULL"
        f" AND {condition} {page}"
    )


def revision_of(row: Iterable[Any]) -> Revision:
    """Return the revision in a row of `select_revisions`."""
    version, written, revision_id, parent, time, by, schema_version, status, data_hash, size, locator = row
    info = RevisionInfo(
        revision_id=revision_id,
        parent_revision_id=parent,
        created_time=time,
        created_by=by,
        schema_version=schema_version,
        status=status,
        data_hash=data_hash,
        size=size,
    )
    return Revision(info, version, written, locator)
