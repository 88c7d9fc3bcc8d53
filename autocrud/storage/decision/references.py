"""Judgement of the references of a transaction, as they are at its end."""

from collections.abc import Container, Iterator
from itertools import islice

from autocrud.errors import AutoCRUDError, FieldError, Referenced, ReferenceNotFound
from autocrud.schema.markers import OnDelete
from autocrud.storage.decision.overlay import Overlay
from autocrud.storage.decision.state import (
    BINDING_ACTIONS,
    MAX_REFERRERS,
    REMOVING_KINDS,
    Referrer,
    ResourceKey,
    ResourceState,
)
from autocrud.storage.ports.claims import StoredReference
from autocrud.storage.ports.time_slice import Steps
from autocrud.storage.ports.transactions import Dependent, Transaction
from autocrud.storage.ports.types import Write

_MAX_NAMES_IN_MESSAGE = 11


class MissingTargets(ReferenceNotFound):
    """New references have no live target.

    Attributes:
        references: these references.
    """

    def __init__(self, model: str, references: list[StoredReference]) -> None:
        errors = (FieldError(item.field, f"there is no {item.model} {item.resource_id!r}") for item in references)
        super().__init__(f"The {model} refers to resources that do not exist.", errors)
        self.references = tuple(references)


class UnplannedReferrers(AutoCRUDError):
    """Live resources refer to a resource that the transaction deletes, and the transaction does not change them.

    Attributes:
        target: folder of the model, and id.
        referrers: these resources, with the folders of their models.
    """

    code = "conflict"

    def __init__(self, target: ResourceKey, referrers: list[Referrer]) -> None:
        names = ", ".join(f"{item.model} {item.resource_id!r}" for item in referrers[:_MAX_NAMES_IN_MESSAGE])
        super().__init__(f"New referrers of {target[0]} {target[1]!r} appeared meanwhile: {names}.")
        self.target = target
        self.referrers = tuple(referrers)


class UncheckedReferrers(UnplannedReferrers):
    """A batch changes all loaded referrers of a resource that it deletes, and there may be more."""

    def __init__(self, target: ResourceKey) -> None:
        AutoCRUDError.__init__(
            self,
            f"{target[0]} {target[1]!r} cannot be deleted together with {MAX_REFERRERS} or more of its referrers:"
            " change or delete the referrers first.",
        )
        self.target = target
        self.referrers: tuple[Referrer, ...] = ()


def reference_refusal_steps(overlay: Overlay, transaction: Transaction) -> Steps[dict[int, AutoCRUDError]]:
    """Return the refusals of a transaction's items, by their number: missing targets, and referrers of removed targets.

    Raises:
        MissingState: targets or referrers are not loaded.
    """
    # A resource that the transaction writes several times is judged once, with its last write or its last removal.
    writes: dict[ResourceKey, int] = {}
    removals: dict[ResourceKey, int] = {}
    dependents: dict[ResourceKey, int] = {}
    with_task: set[ResourceKey] = set()
    for number, item in enumerate(transaction.items):
        if isinstance(item, Write):
            key = (item.model, item.meta.resource_id)
            writes[key] = number
            if item.kind in REMOVING_KINDS:
                removals[key] = number
            if item.has_task:
                with_task.add(key)
        elif isinstance(item, Dependent):
            dependents[item.model, item.resource_id] = number
    refusals: dict[int, AutoCRUDError | None] = {}
    for key, number in dependents.items():
        refusals[number] = _find_binding_referrers(overlay, key, dependents, has_task=True)
        yield
    for key, number in writes.items():
        yield
        state = overlay.resource(key)
        if state is not None and not state.is_deleted:
            refusals[number] = _find_missing_targets(overlay, key, state)
        elif key in removals:
            refusals[removals[key]] = _find_binding_referrers(overlay, key, dependents, has_task=key in with_task)
    return {number: refusal for number, refusal in refusals.items() if refusal is not None}


def _find_missing_targets(overlay: Overlay, key: ResourceKey, state: ResourceState) -> AutoCRUDError | None:
    before = overlay.before[key]
    if before is not None and before.created_time != state.created_time:
        before = None  # it was purged and created again, so all its references are new
    is_restored = before is not None and before.is_deleted
    existing = set() if before is None or is_restored else _existing(before, state)
    missing = [
        reference
        for reference in state.references
        if reference.must_exist
        and reference not in existing
        and not (is_restored and reference.on_delete == OnDelete.dangling)
        and not _is_alive(overlay, (reference.model, reference.resource_id))
    ]
    return MissingTargets(key[0], missing) if missing else None


def _existing(before: ResourceState, state: ResourceState) -> set[StoredReference]:
    """Return the references of a state that its resource had before, in the same field or in a field that lost it.

    A step of the model's schema may rename a field. That adds no reference.
    """
    places = {(item.field, item.resource_id) for item in before.references}
    now = {(item.field, item.resource_id) for item in state.references}
    released = {item[1:] for item in before.references if (item.field, item.resource_id) not in now}
    return {item for item in state.references if (item.field, item.resource_id) in places or item[1:] in released}


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


def _find_binding_referrers(
    overlay: Overlay, key: ResourceKey, dependents: Container[ResourceKey], *, has_task: bool
) -> AutoCRUDError | None:
    """Return the refusal of a delete or purge that live referrers prevent.

    Args:
        key: resource that is deleted, or a dependent.
        has_task: True if an on-delete task handles the referrers that the transaction does not handle.
    """
    referrers = [
        item
        for item in overlay.referrers(key)
        if item[:2] != key and item[:2] not in dependents and item.on_delete in BINDING_ACTIONS
    ]
    # A referrer that a task is going to delete restricts nothing.
    restricting = [
        item
        for item in referrers
        if item.on_delete == OnDelete.restrict and not (overlay.has_tasks and not _is_alive(overlay, item[:2]))
    ]
    if restricting:
        first = restricting[0]
        same = (item.resource_id for item in restricting if (item.model, item.field) == (first.model, first.field))
        return Referenced(key, first.model, first.field, list(islice(dict.fromkeys(same), _MAX_NAMES_IN_MESSAGE)))
    if overlay.may_lack_referrers(key, dependents):
        return UncheckedReferrers(key)
    unplanned = [
        item
        for item in referrers
        if item.on_delete != OnDelete.restrict and not (has_task and item.on_delete == OnDelete.set_null)
    ]
    if unplanned and not (has_task and _is_awaited(overlay, key)):
        return UnplannedReferrers(key, unplanned)
    return None


def _is_awaited(overlay: Overlay, key: ResourceKey) -> bool:
    """Return True if a task was going to delete a resource before the transaction deleted it.

    The delete that made the task named all dependents, and nothing can have attached itself to them since.
    """
    before = overlay.before.get(key)
    return before is not None and any(not _is_alive(overlay, target) for target in _cascade_targets(before))
