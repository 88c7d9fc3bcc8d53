"""Retention: decides which revisions to prune."""

from datetime import datetime

from autocrud.resource import ResourceMeta, Retention, revision_number
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import RevisionSpan


async def next_prune_count(
    storage: IStorage, retention: Retention | None, meta: ResourceMeta, count: int, now: datetime
) -> int:
    """Return the number of the newest revision to prune, with all revisions below it; 0 for none.

    Args:
        count: number of revisions of the resource.
    """
    if retention is None:
        return 0
    number = count if retention.keep_last is None else count - retention.keep_last
    if retention.keep_for is not None and number > 0:
        old = RevisionSpan(until=now - retention.keep_for, limit=1)
        found = await storage.revisions(meta.resource_id, old)
        number = min(number, revision_number(meta.resource_id, found[0].info.revision_id) if found else 0)
    return max(number, 0)
