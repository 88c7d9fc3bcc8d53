"""Judge: decides if a principal may make a write, by the states of the resource before and after it.

The state before is the one that the write was planned on. The commit refuses the write if the resource has another
version, so no other state is overwritten.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from autocrud.errors import (
    AutoCRUDError,
    Conflict,
    Forbidden,
    Referenced,
    Unauthenticated,
    UnhandledReferrers,
    UniqueViolation,
)
from autocrud.guard.field_guard import FieldGuard
from autocrud.guard.model_guard import ModelGuard
from autocrud.manager.repeated_requests import probe_of
from autocrud.policy.access import Right
from autocrud.references.graph import Graph, Reference
from autocrud.references.planned_writes import PlannedWrite, ResourceName
from autocrud.references.refusals import not_found_error
from autocrud.resource import CommitKind
from autocrud.storage.ports.types import Outcome, Repeated
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author, apply_to

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

    def refusal(self, item: PlannedWrite) -> Outcome:
        """Return the refusal of a write; None if the principal may make it, apart from its references."""
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
        return None

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

    async def hidden_targets(self, items: Sequence[PlannedWrite]) -> dict[int, Outcome]:
        """Return refusals of new references to resources that the principal may not see: there are none for him.

        References are judged at the end of the transaction, as in the commit. So the refusals are by the number of the
        last write of each resource.
        """
        chains: dict[ResourceName, list[tuple[int, PlannedWrite]]] = {}
        for number, item in enumerate(items):
            chains.setdefault(item.name, []).append((number, item))
        found = [(chain[-1][0], await self._find_hidden([item for _, item in chain])) for chain in chains.values()]
        return {number: refusal for number, refusal in found if refusal is not None}

    async def _find_hidden(self, chain: Sequence[PlannedWrite]) -> Outcome:
        """Return the refusal of the writes of one resource."""
        node, missing = chain[-1].node, list[tuple[Reference, str]]()
        for reference, name in self._added_references(chain):
            guard = self._guards[reference.target.name]
            if guard.verdict(Right.read) is not True:
                head = await reference.target.storage.get(name, current=True)
                if head is not None and not guard.is_visible(head):
                    missing.append((reference, name))
        if not missing:
            return None
        used_keys = [await self._find_used_key(item) for item in chain]
        return next(filter(None, used_keys), None) or not_found_error(node.spec, missing)

    def _added_references(self, chain: Sequence[PlannedWrite]) -> list[tuple[Reference, str]]:
        """Return the references that need a live target after the writes of one resource."""
        first, last = chain[0], chain[-1]
        if last.write.meta.is_deleted or last.write.kind is CommitKind.purge:
            return []
        before, spec = first.before, last.node.spec
        was_live = before is not None and not before.is_deleted
        changes = [item.write for item in chain if item.write.revision is not None]
        if was_live and not changes:
            return []
        old = spec.stored_values(before.data)[0] if before is not None else ()
        new = changes[-1].index if changes else old
        return [
            (reference, name)
            for reference in self._graph.outgoing(spec.name)
            if reference.ref.must_exist and (was_live or before is None or not reference.is_dangling)
            for name in reference.ids(new)
            if not (was_live and name in reference.ids(old)) and (reference.target.name, name) != last.name
        ]

    async def _find_used_key(self, item: PlannedWrite) -> Outcome:
        """Return the refusal of a used request key, which a commit finds before it looks for targets."""
        write = item.write
        if write.key is None:
            return None
        try:
            author = Author(write.meta.updated_by, write.meta.updated_time)
            await item.node.storage.commit(probe_of(item.node.spec, write.key, author))
        except Repeated as repeated:
            return repeated
        except Conflict:
            return None
        raise LookupError("a storage refuses a write that follows a missing version")

    async def _sees(self, model: str, resource_ids: Sequence[str]) -> bool:
        """Return True if the principal may see all of these resources that exist."""
        guard = self._guards.get(model)
        if guard is None:
            return False
        if guard.verdict(Right.read) is True:
            return True
        heads = await self._graph.nodes[model].storage.get_many(list(resource_ids), current=True)
        return all(guard.is_visible(head) for head in heads.values())
