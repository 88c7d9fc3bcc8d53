"""Writes to referrers: the next revision of a resource whose references change."""

from datetime import UTC, datetime

from autocrud.references.graph import ModelNode
from autocrud.resource import ResourceMeta, revision_number
from autocrud.storage.ports.types import Head, Write
from autocrud.versioning.retention import next_prune_count
from autocrud.versioning.write_builder import Author, Encoded, update_write


async def next_revision(node: ModelNode, meta: ResourceMeta, encoded: Encoded, by: str | None) -> Write:
    """Return a write that appends a revision with this data and the current status."""
    writer, spec = author_after(by, meta), node.spec
    number = meta.total_revision_count + 1
    prunes = await next_prune_count(node.storage, spec.retention, meta, number, writer.now)
    # Data of an older model may have values that do not fit their columns.
    index = spec.stored_values(encoded.data)[0]
    return update_write(spec, meta, encoded, writer, meta.status, prunes, index)


async def blobs_of(node: ModelNode, meta: ResourceMeta) -> tuple[str, ...]:
    """Return the blobs that the current revision of a stored resource refers to."""
    if not node.spec.has_blobs:
        return ()
    number = revision_number(meta.resource_id, meta.current_revision_id)
    revision = await node.storage.revision(meta.resource_id, number)
    return () if revision is None else tuple(await node.storage.blobs_of(meta.resource_id, revision.data_version))


def meta_of(head: Head) -> ResourceMeta:
    """Return the metadata of a head."""
    return ResourceMeta.model_validate_json(head.meta)


def author_after(by: str | None, meta: ResourceMeta) -> Author:
    """Return the author of a write now, at a time not before the previous write."""
    return Author(by, max(datetime.now(UTC), meta.updated_time))
