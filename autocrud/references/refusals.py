"""Refusals: errors about references, with the names that users know."""

from collections.abc import Sequence
from typing import Any

from autocrud.errors import (
    Aborted,
    AlreadyExists,
    AutoCRUDError,
    Conflict,
    FieldError,
    Referenced,
    ReferenceNotFound,
    TooManyDependents,
    UnhandledReferrers,
)
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.references.planned_writes import PlannedWrite, ResourceName
from autocrud.resource import CommitKind
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.decision.references import MissingTargets, UncheckedReferrers, UnplannedReferrers
from autocrud.storage.decision.state import MAX_REFERRERS
from autocrud.storage.ports.types import Outcome

_CREATING_KINDS = (CommitKind.create, CommitKind.restore)


def not_found_error(spec: ModelSpec[Any], missing: Sequence[tuple[Reference, str]]) -> ReferenceNotFound:
    """Return the error for references without a target."""
    errors = (
        FieldError(reference.field.name, f"there is no {reference.target.name} {name!r}") for reference, name in missing
    )
    return ReferenceNotFound(f"The {spec.name} refers to resources that do not exist.", errors)


def translate(graph: Graph, node: ModelNode, error: AutoCRUDError) -> AutoCRUDError:
    """Return the refusal of a commit with the names of models. The commit knows only their folders.

    Args:
        node: a model of the store.
    """

    def name_of(folder: str) -> str:
        found = graph.node_of_folder(node.storage.store, folder)
        return folder if found is None else found.name

    match error:
        case MissingTargets():
            errors = (
                FieldError(item.field, f"there is no {name_of(item.model)} {item.resource_id!r}")
                for item in error.references
            )
            return ReferenceNotFound(f"The {node.name} refers to resources that do not exist.", errors)
        case Referenced():
            holder = (name_of(error.holder[0]), error.holder[1])
            return Referenced(holder, name_of(error.model), error.field, error.resource_ids)
        case UncheckedReferrers():
            return TooManyDependents((name_of(error.target[0]), error.target[1]), MAX_REFERRERS - 1)
        case UnplannedReferrers():
            first = error.referrers[0]
            ids = [item.resource_id for item in error.referrers if item.model == first.model]
            return UnhandledReferrers((name_of(error.target[0]), error.target[1]), name_of(first.model), ids)
    return error


def knows_referrers(graph: Graph, node: ModelNode, error: UnplannedReferrers) -> bool:
    """Return True if the models of unplanned referrers are known, so that another plan finds the referrers."""
    return all(graph.node_of_folder(node.storage.store, item.model) for item in error.referrers)


def refuse_dependents(items: Sequence[PlannedWrite], outcomes: list[Outcome], graph: Graph) -> None:
    """Refuse writes that refer to resources which refused writes of the group were to create, at any distance."""
    dependents: dict[ResourceName, list[tuple[int, Reference]]] = {}
    made = {item.name for item in items if item.write.kind in _CREATING_KINDS}
    for number, item in enumerate(items):
        for reference in graph.outgoing(item.node.name) if item.write.revision is not None else ():
            for name in reference.ids(item.write.index) if reference.ref.must_exist else ():
                if (target := (reference.target.name, name)) in made and target != item.name:
                    dependents.setdefault(target, []).append((number, reference))
    # A resource that exists already, or was changed meanwhile, may be a target.
    refused = [
        number
        for number, outcome in enumerate(outcomes)
        if outcome is not None and not isinstance(outcome, AlreadyExists | Conflict | Aborted)
    ]
    while refused:
        item = items[refused.pop()]
        for number, reference in dependents.pop(item.name, ()) if item.write.kind in _CREATING_KINDS else ():
            if outcomes[number] is None or isinstance(outcomes[number], Aborted):
                outcomes[number] = not_found_error(items[number].node.spec, [(reference, item.name[1])])
                refused.append(number)
