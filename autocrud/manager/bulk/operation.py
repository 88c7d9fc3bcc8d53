"""Bulk operations and their results."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autocrud.errors import AutoCRUDError
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.resource import version_tag
from autocrud.versioning.json_patch import Patch
from autocrud.versioning.mutations import Tags


class BulkOp(StrEnum):
    """Kind of a bulk operation."""

    create = "create"
    update = "update"
    patch = "patch"
    delete = "delete"
    restore = "restore"


@dataclass(slots=True)
class BulkOperation:
    """A bulk operation, equal to the manager's method of the same name.

    Args:
        resource_id: id of the resource; None generates an id, for a create only.
        value: value to create or update with.
        patch: patch to apply.
        if_match: tags, of which the resource's tag must be one.
        if_absent: create the resource unless the id exists; also for an update.
        refused: error found by the reader of the operation; it becomes the result.
        on_conflict: effect of a create if a live resource holds the unique values; see `ResourceManager.create`.
    """

    op: BulkOp
    resource_id: str | None = None
    value: Any = None
    patch: Patch | None = None
    if_match: Tags | None = None
    if_absent: bool = False
    refused: AutoCRUDError | None = None
    on_conflict: OnConflict | str = OnConflict.error


@dataclass(slots=True)
class BulkResult:
    """Result of a bulk operation.

    Attributes:
        index: position of the operation, from 0.
        resource_id: id of the resource; None without one.
        created: the operation created the resource.
        version, created_time: of the resource after the operation; 0 and empty if the operation was refused.
        error: error that refused the operation.
        unknown: the outcome is unknown, because of an outage.
    """

    index: int
    op: BulkOp
    resource_id: str | None
    created: bool = False
    version: int = 0
    created_time: str = ""
    error: AutoCRUDError | None = None
    unknown: bool = False

    @property
    def tag(self) -> str:
        """Opaque tag of the resource's version, for a later precondition."""
        return version_tag(self.version, self.created_time)
