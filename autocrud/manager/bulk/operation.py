"""One operation of many, and what it came to."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from autocrud.errors import AutoCRUDError
from autocrud.resource import version_tag
from autocrud.versioning.json_patch import Patch
from autocrud.versioning.mutations import Tags


class BulkOp(StrEnum):
    """What an operation does."""

    create = "create"
    update = "update"
    patch = "patch"
    delete = "delete"
    restore = "restore"


@dataclass(slots=True)
class BulkOperation:
    """One operation, as the manager's method of its name has it.

    Attributes:
        resource_id: of the resource; a new one if None, which only a creation may have.
        value: to create or to update with.
        patch: to apply.
        if_match: the tags of which the resource's must be one.
        if_absent: create the resource, and only if there is none of this id; also in an update.
        refused: what was found wrong with it before it came here; it becomes its result.
    """

    op: BulkOp
    resource_id: str | None = None
    value: Any = None
    patch: Patch | None = None
    if_match: Tags | None = None
    if_absent: bool = False
    refused: AutoCRUDError | None = None


@dataclass(slots=True)
class BulkResult:
    """What an operation came to.

    Attributes:
        index: its place among all operations, from 0.
        resource_id: of the resource; None where nothing has one.
        created: whether there was none before.
        version, created_time: of the resource after it; where it was refused, 0 and nothing.
        error: what refused it.
        unknown: whether it may have been done all the same: the storage went away before it answered.
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
        """The opaque tag of the resource's state, for a later precondition."""
        return version_tag(self.version, self.created_time)
