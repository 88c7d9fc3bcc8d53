"""Reads of heads: the current state of one resource."""

from typing import Any

from autocrud.errors import Deleted, NotFound
from autocrud.resource import check_resource_id
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head


async def read_head(
    spec: ModelSpec[Any], storage: IStorage, resource_id: str, *, include_deleted: bool, current: bool = False
) -> Head:
    """Return the head of a resource.

    Args:
        current: read as of now, also if the storage is set to answer from a stale index.

    Raises:
        InvalidParameter: no resource can have this id.
        NotFound: the resource does not exist.
        Deleted: the resource is soft-deleted, and `include_deleted` is not set.
    """
    head = await storage.get(check_resource_id(resource_id), current=current)
    if head is None:
        raise NotFound(spec.name, resource_id)
    if head.is_deleted and not include_deleted:
        raise Deleted(spec.name, resource_id)
    return head
