"""Planner: reads the dependents of the deletes of a transaction, and plans their writes."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from autocrud.references.between_stores import find_missing
from autocrud.references.dependent_walk import CauseRefused, DependentWalk
from autocrud.references.graph import Graph
from autocrud.references.plan import Cascaded, Found, Hint, Plan, Released
from autocrud.references.planned_writes import FinalState, PlannedItem, PlannedWrite, ResourceName, final_states
from autocrud.references.referrer_writes import author_after, blobs_of, meta_of
from autocrud.references.set_null import set_null_references, set_null_write
from autocrud.resource import CommitKind
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.transactions import Dependent
from autocrud.storage.ports.types import Write
from autocrud.versioning.write_builder import Encoded, next_meta


class DependentPlanner:
    """Plans on-delete actions. The plan may be outdated at the commit, which then refuses it.

    References inside a store are planned here. A task handles those between stores.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def plan(
        self,
        items: Sequence[PlannedItem],
        excluded: Mapping[ResourceName, str] = MappingProxyType({}),
        hints: Collection[Hint] = (),
    ) -> Plan:
        """Return the dependents of the transaction's deletes, and set references of restored resources to null.

        Args:
            excluded: resources that keep their references, with the refusals of their set-null writes.
            hints: referrers that a commit found, and the plan before it did not.
        """
        states = final_states(items)
        walk = DependentWalk(self._graph, items, states, excluded, hints)
        removed = dict(walk.found.removed)
        try:
            found = await walk.run()
        except CauseRefused as refused:
            return Plan(refusals={refused.cause: refused.error})
        plan = Plan(removed=found.removed, links=found.links, exceeds=found.exceeds, keeping=walk.keeping)
        if found.exceeds:
            found.released.clear()
        missing_ids = await self._missing_of_restored(states, found)
        for name in found.removed:
            missing_ids.setdefault(name[0], set()).add(name[1])
        time_slice = TimeSlice()
        for name, released in found.released.items():
            await time_slice.check()
            write = None if name in found.removed else await self._set_null(items, released, missing_ids)
            if write is not None:
                plan.additions.append((released.cause, write))
        tasks = {name for name in found.removed if name in walk.kept_targets or self._has_outer_actions(name[0])}
        if plan.exceeds:
            tasks |= {name for name in removed if self._graph.has_on_delete_actions(name[0])}
            plan.dependents = [
                (item.cause, Dependent(item.node.spec.folder, name[1])) for name, item in found.cascaded.items()
            ]
        else:
            for name, item in found.cascaded.items():
                await time_slice.check()
                plan.additions.append((item.cause, self._delete(items, item, has_task=name in tasks)))
        plan.tasks = {number for name, number in removed.items() if name in tasks}
        return plan

    def _delete(self, items: Sequence[PlannedItem], item: Cascaded, *, has_task: bool) -> PlannedWrite:
        after = next_meta(item.meta, author_after(_author(items, item.cause), item.meta), is_deleted=True)
        request = _request(items, item.cause)
        write = Write(CommitKind.delete, item.meta.version, after, has_task=has_task, request=request)
        return PlannedWrite(item.node, write, item.before)

    async def _set_null(
        self,
        items: Sequence[PlannedItem],
        released: Released,
        removed_ids: dict[str, set[str]],
    ) -> PlannedWrite | None:
        """Return the write of a resource that loses references; None if its document has none of them."""
        node, state, head = released.node, released.state, released.head
        if state is not None:
            meta, data, blobs = state.meta, state.data, state.blobs
        elif head is not None:
            meta, data, blobs = meta_of(head), head.data, None
        else:
            return None
        if data is None:
            return None
        if blobs is None:
            blobs = await blobs_of(node, meta)
        by = _author(items, released.cause)
        references = self._graph.outgoing(node.name)
        write = await set_null_write(node, references, meta, Encoded(data, blobs), removed_ids, by)
        if write is None:
            return None
        write.request = _request(items, released.cause)
        return PlannedWrite(node, write, head)

    async def _missing_of_restored(self, states: dict[ResourceName, FinalState], found: Found) -> dict[str, set[str]]:
        """Return the missing targets of restored resources with `set_null`, by model, and note these resources."""
        removed_ids: dict[str, set[str]] = {}
        for name, state in states.items():
            if not state.is_restored or state.is_removed:
                continue
            references = set_null_references(self._graph.outgoing(state.node.name))
            pairs = [
                (reference, target)
                for reference in references
                for target in reference.ids(state.index)
                if reference.ref.must_exist and (reference.target.name, target) not in states
            ]
            for reference, target in await find_missing(pairs):
                removed_ids.setdefault(reference.target.name, set()).add(target)
                found.release(name, Released(state.node, state.number, None, state))
        return removed_ids

    def _has_outer_actions(self, model: str) -> bool:
        """Return True if a delete in this model may have on-delete actions in another store."""
        incoming = self._graph.incoming(model)
        return any(not reference.is_stored and not reference.is_dangling for reference in incoming)


def _author(items: Sequence[PlannedItem], cause: int) -> str | None:
    item = items[cause]
    return item.write.meta.updated_by if isinstance(item, PlannedWrite) else None


def _request(items: Sequence[PlannedItem], cause: int) -> str | None:
    item = items[cause]
    return item.write.request if isinstance(item, PlannedWrite) else None
