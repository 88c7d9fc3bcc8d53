"""Set null: the write that removes ids of deleted resources from the references of a resource."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from pydantic_core import from_json, to_json

from autocrud.references.graph import ModelNode, Reference
from autocrud.references.referrer_writes import next_revision
from autocrud.resource import ResourceMeta
from autocrud.schema.markers import OnDelete
from autocrud.storage.ports.types import Write
from autocrud.versioning.write_builder import Encoded


def set_null_references(references: Sequence[Reference]) -> list[Reference]:
    """Return the references whose on-delete action is `set_null`."""
    return [reference for reference in references if reference.ref.on_delete is OnDelete.set_null]


async def set_null_write(
    node: ModelNode,
    references: Sequence[Reference],
    meta: ResourceMeta,
    encoded: Encoded,
    removed: Mapping[str, AbstractSet[str]],
    by: str | None,
) -> Write | None:
    """Return a revision without the ids of removed resources; None if the resource refers to none of them.

    The stored form is changed without validation, so that data that no longer validates cannot keep its reference.

    Args:
        references: references of the model.
        encoded: stored form in the schema version of the model.
        removed: ids of removed resources, by the name of their model.
    """
    data = from_json(encoded.data)
    released = data
    for reference in set_null_references(references):
        ids = removed.get(reference.target.name)
        if ids:
            released = reference.remove_ids(released, ids)
    if released == data:
        return None
    return await next_revision(node, meta, Encoded(to_json(released), encoded.blobs), by)
