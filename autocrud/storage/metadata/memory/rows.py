"""A resource as the memory store holds it."""

from typing import Any

from autocrud.resource import timestamp
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.types import Head, Write
from autocrud.storage.row_view import row_of


def row_after(spec: ModelSpec[Any], write: Write, row: Row | None, locator: str) -> Row:
    """A resource as a write leaves it."""
    meta = write.meta
    if write.revision_json is not None:
        # Without data, which was pruned, it is the head for no longer than the group that it is in.
        revision_json, data, index = write.revision_json, write.data or b"", write.index
    elif row is not None and row.head.data is not None:
        revision_json, data, index, locator = (
            row.head.revision_info, row.head.data, row.index, row.head.locator,
        )  # fmt: skip
    else:
        raise ValueError("a resource begins with data")
    created_time = timestamp(meta.created_time)
    head = Head(
        meta.resource_id, meta.version, meta.is_deleted, created_time, write.meta_json, revision_json, data, locator
    )
    place = row.place if row is not None else (created_time, meta.resource_id)
    return Row(head, index, row_of(spec, write.meta_json, index), place)
