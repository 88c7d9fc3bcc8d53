"""Judgement of the references of a transaction, as they are at its end."""

from collections.abc import Iterator
from itertools import islice

from autocrud.errors import AutoCRUDError, FieldError, Referenced, ReferenceNotFound
from autocrud.schema.markers import OnDelete
from autocrud.storage.decision.overlay import Overlay
from autocrud.storage.decision.state import BINDING_ACTIONS, REMOVING_KINDS, Referrer, ResourceKey, ResourceState
from autocrud.storage.ports.claims import StoredReference
from autocrud.storage.ports.transactions import Transaction
from autocrud.storage.ports.types import Write

_MAX_NAMES_IN_MESSAGE = 11


class MissingTargets(ReferenceNotFound):
    """New references have no live target.

    Attributes:
        references: these references.
    """

    def __init__(self, write: Write, references: list[StoredReference]) -> None:
        errors = [FieldError(item.field, f"there is no {item.model} {item.resource_id!r}") for item in references]
        super().__init__(f"The {write.model} refers to resources that do not exist.", errors)
        self.references = tuple(references)


class UnplannedReferrers(AutoCRUDError):
    """Live resources refer to a resource that the transaction deletes, and the transaction does not change them.

    Attributes:
        target: folder of the model, and id.
    """

    code = "conflict"

    def __init__(self, target: ResourceKey, referrers: list[Referrer]) -> None:
        names = ", ".join(f"{item.model} {item.resource_id!r}" for item in referrers[:_MAX_NAMES_IN_MESSAGE])
        super().__init__(f"New referrers of {target[0]} {target[1]!r} appeared meanwhile: {names}.")
        self.target = target


def find_reference_refusals(overlay: Overlay, transaction: Transaction) -> dict[int, AutoCRUDError]:
    """Return the refusals of a transaction's items, by their number: missing targets, and referrers of removed targets.

    Raises:
        MissingState: targets or referrers are not loaded.
    """
    # A resource that the transaction writes several times is judged once, with its last write.
    numbers: dict[ResourceKey, int] = {}
    for number, item in enumerate(transaction.items):
        if isinstance(item, Write):
            numbers[item.model, item.meta.resource_id] = number
    refusals: dict[int, AutoCRUDError] = {}
    for key, number in numbers.items():
        write = transaction.items[number]
        if not isinstance(write, Write):
            continue
        state = overlay.resource(key)
        if state is None or state.is_deleted:
            refusal = _find_binding_referrers(overlay, key, write) if write.kind in REMOVING_KINDS else None
        else:
            refusal = _find_missing_targets(overlay, key, state, write)
        if refusal is not None:
            refusals[number] = refusal
    return refusals


def _find_missing_targets(
    overlay: Overlay, key: ResourceKey, state: ResourceState, write: Write
) -> AutoCRUDError | None:
    before = overlay.before[key]
    is_restored = before is not None and before.is_deleted
    existing = (
        {(item.field, item.resource_id) for item in before.references} if before and not before.is_deleted else ()
    )
    missing = [
        reference
        for reference in state.references
        if reference.must_exist
        and (reference.field, reference.resource_id) not in existing
        and not (is_restored and reference.on_delete == OnDelete.dangling)
        and not _is_alive(overlay, (reference.model, reference.resource_id))
    ]
    return MissingTargets(write, missing) if missing else None


def _is_alive(overlay: Overlay, key: ResourceKey) -> bool:
    """Return True if a resource is live, and no task is going to delete it by a cascade."""
    pending, visited = [key], {key}
    while pending:
        state = overlay.resource(pending.pop())
        if state is None or state.is_deleted:
            return False
        for target in _cascade_targets(state) if overlay.has_tasks else ():
            if target not in visited:
                visited.add(target)
                pending.append(target)
    return True


def _cascade_targets(state: ResourceState) -> Iterator[ResourceKey]:
    return (
        (reference.model, reference.resource_id)
        for reference in state.references
        if reference.on_delete == OnDelete.cascade
    )


def _find_binding_referrers(overlay: Overlay, key: ResourceKey, write: Write) -> AutoCRUDError | None:
    """Return the refusal of a delete or purge that live referrers prevent."""
    referrers = [item for item in overlay.referrers(key) if item[:2] != key and item.on_delete in BINDING_ACTIONS]
    restricting = [item for item in referrers if item.on_delete == OnDelete.restrict]
    if restricting:
        first = restricting[0]
        same = (item.resource_id for item in restricting if (item.model, item.field) == (first.model, first.field))
        return Referenced(key, first.model, first.field, list(islice(dict.fromkeys(same), _MAX_NAMES_IN_MESSAGE)))
    if referrers and not write.has_task:
        return UnplannedReferrers(key, referrers)
    return None
