"""Planned writes: the writes of a transaction, and the states of their resources after the transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

from autocrud.references.graph import REMOVING_KINDS, ModelNode, Reference
from autocrud.resource import CommitKind, ResourceMeta
from autocrud.schema.column_types import IndexValue
from autocrud.storage.ports.transactions import VersionCheck
from autocrud.storage.ports.types import Head, Write

ResourceName = tuple[str, str]  # name of the model, id


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """A write of a transaction.

    Attributes:
        node: model of the resource.
        before: the resource before the write, with the effects of earlier writes of the transaction. None if it does
            not exist.
    """

    node: ModelNode
    write: Write
    before: Head | None

    @property
    def name(self) -> ResourceName:
        """Name of the model, and id."""
        return self.node.name, self.write.meta.resource_id

    @property
    def is_removing(self) -> bool:
        """True for a delete or a purge."""
        return self.write.kind in REMOVING_KINDS

    @property
    def is_restore(self) -> bool:
        """True if the write restores a deleted resource."""
        return self.write.kind is CommitKind.restore


PlannedItem = PlannedWrite | VersionCheck


@dataclass(slots=True)
class FinalState:
    """State of a resource after the writes of a transaction.

    Attributes:
        number: number of its last write among the items.
        is_removed: the resource is deleted or purged.
        is_restored: it was deleted before, and is live after.
        data: stored JSON in the schema version of the model; None if the transaction does not tell it.
        blobs: those of the data; None if the stored resource tells them.
    """

    number: int
    node: ModelNode
    meta: ResourceMeta
    is_removed: bool
    is_restored: bool
    index: tuple[IndexValue, ...]
    data: bytes | None
    blobs: tuple[str, ...] | None


def final_states(items: Sequence[PlannedItem]) -> dict[ResourceName, FinalState]:
    """Return the states of the resources after the writes."""
    found: dict[ResourceName, FinalState] = {}
    for number, item in enumerate(items):
        if not isinstance(item, PlannedWrite):
            continue
        write, former = item.write, found.get(item.name)
        state = FinalState(
            number=number,
            node=item.node,
            meta=write.meta,
            is_removed=write.kind is CommitKind.purge or write.meta.is_deleted,
            is_restored=item.is_restore or (former is not None and former.is_restored),
            index=() if former is None else former.index,
            data=None if former is None else former.data,
            blobs=None if former is None else former.blobs,
        )
        if write.revision is not None:
            is_own_version = write.revision.schema_version == item.node.spec.schema.version
            state.index, state.blobs = write.index, write.blobs
            state.data = write.data if is_own_version else None
        elif former is None and item.before is not None:
            state.data = item.before.data
            state.index = item.node.spec.stored_values(state.data)[0]
        found[item.name] = state
    return found


def new_references(references: Sequence[Reference], item: PlannedWrite) -> list[tuple[Reference, str]]:
    """Return the references that a write adds, and that need a live target. A restore adds all of its references.

    Args:
        references: references of the model to look at.
    """
    references = [reference for reference in references if reference.ref.must_exist]
    if not references or (item.write.revision is None and not item.is_restore):
        return []
    if item.is_restore:
        references = [reference for reference in references if not reference.is_dangling]
    old = () if item.before is None else item.node.spec.stored_values(item.before.data)[0]
    new = old if item.is_restore else item.write.index
    return [
        (reference, name)
        for reference in references
        for name in reference.ids(new)
        if (item.is_restore or name not in reference.ids(old)) and (reference.target.name, name) != item.name
    ]
