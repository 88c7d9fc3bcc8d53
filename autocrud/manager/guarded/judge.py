"""Judge: decides if a principal may make a write, by the states of the resource before and after it.

The state before is the one that the write was planned on. The commit refuses the write if the resource has another
version, so no other state is overwritten.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from autocrud.errors import AutoCRUDError, Forbidden, Referenced, Unauthenticated, UnhandledReferrers, UniqueViolation
from autocrud.guard.field_guard import FieldGuard
from autocrud.guard.model_guard import ModelGuard
from autocrud.policy.access import Right
from autocrud.references.graph import Graph
from autocrud.references.planned_writes import PlannedWrite, new_references
from autocrud.references.refusals import not_found_error
from autocrud.resource import CommitKind
from autocrud.storage.ports.types import Outcome
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import apply_to

_RIGHTS = {
    CommitKind.create: Right.create,
    CommitKind.update: Right.update,
    CommitKind.modify: Right.update,
    CommitKind.switch: Right.switch,
    CommitKind.delete: Right.delete,
    CommitKind.restore: Right.restore,
    CommitKind.purge: Right.purge,
}


class Judge:
    """Judges writes to the models of one service, and removes from refusals what the principal may not know.

    Args:
        graph: the models with storages that hide nothing.
        guards: rules by the name of the model.
    """

    def __init__(self, graph: Graph, guards: Mapping[str, ModelGuard]) -> None:
        self._graph = graph
        self._guards = guards

    async def refusal(self, item: PlannedWrite) -> Outcome:
        """Return the refusal of a write; None if the principal may make it."""
        guard, write, before = self._guards[item.node.name], item.write, item.before
        right = _RIGHTS.get(write.kind)
        if right is None:
            return None
        try:
            verdict = guard.require(right)
            if write.revision is not None and before is not None and right is Right.update:
                self._check_fields(guard, item)
        except (Forbidden, Unauthenticated) as error:
            return error
        if not isinstance(verdict, bool):
            if before is not None and not guard.holds(verdict, before):
                return guard.refusal(right)
            old: Resource[Any] | None = None if before is None else Resource(guard.spec, before)
            if right is not Right.purge and not guard.holds(verdict, apply_to(guard.spec, write, old).head):
                return guard.refusal(right)
        return await self._find_hidden_target(item)

    async def cleaned(self, error: AutoCRUDError, model: str) -> AutoCRUDError:
        """Return a refusal of a commit to a model without names of resources that the principal may not see."""
        found: AutoCRUDError = error
        match error:
            case UniqueViolation() if error.holder is not None and not await self._sees(model, [error.holder]):
                found = UniqueViolation(error.fields, None)
            case Referenced() if not await self._sees(error.model, error.resource_ids):
                found = Referenced(error.holder, "", "", ())
            case UnhandledReferrers() if not await self._sees(error.model, error.resource_ids):
                found = Referenced(error.holder, "", "", ())
        if found is not error:
            found.operation, found.operation_model = error.operation, error.operation_model
            found.operation_id = error.operation_id
        return found

    def _check_fields(self, guard: ModelGuard, item: PlannedWrite) -> None:
        data, before = item.write.data, None if item.before is None else item.before.data
        if data is not None and before is not None and guard.has_field_rules:
            FieldGuard(guard).check_unchanged(data, before)

    async def _find_hidden_target(self, item: PlannedWrite) -> Outcome:
        """Return the refusal of a new reference to a resource that the principal may not see: there is none for him."""
        references = [
            reference
            for reference in self._graph.outgoing(item.node.name)
            if self._guards[reference.target.name].verdict(Right.read) is not True
        ]
        missing = []
        for reference, name in new_references(references, item):
            guard = self._guards[reference.target.name]
            head = await reference.target.storage.get(name, current=True)
            if head is not None and not guard.is_visible(head):
                missing.append((reference, name))
        return not_found_error(item.node.spec, missing) if missing else None

    async def _sees(self, model: str, resource_ids: Sequence[str]) -> bool:
        """Return True if the principal may see all of these resources that exist."""
        guard = self._guards.get(model)
        if guard is None:
            return False
        if guard.verdict(Right.read) is True:
            return True
        heads = await self._graph.nodes[model].storage.get_many(list(resource_ids), current=True)
        return all(guard.is_visible(head) for head in heads.values())
