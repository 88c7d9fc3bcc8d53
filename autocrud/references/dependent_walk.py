"""Dependent walk: finds the resources that the deletes of a transaction change or delete in their store."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from autocrud.errors import NewerSchema, TooManyDependents
from autocrud.query.conditions import Query
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.references.newer_referrers import refuse_newer_referrers
from autocrud.references.plan import MAX_BYTES, MAX_CASCADE, Cascaded, Found, Hint, Released
from autocrud.references.planned_writes import FinalState, PlannedItem, PlannedWrite, ResourceName
from autocrud.references.referrer_writes import meta_of
from autocrud.schema.markers import OnDelete
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.types import Head

_PAGE = 200  # resources at a time


class CauseRefused(Exception):
    """A delete is refused because of its dependents.

    Attributes:
        cause: number of the item that deletes the resource.
    """

    def __init__(self, cause: int, error: NewerSchema | TooManyDependents) -> None:
        super().__init__()
        self.cause = cause
        self.error = error


class DependentWalk:
    """Walk over the referrers of removed resources, along the references inside a store.

    Args:
        states: resources after the transaction's own writes.
        excluded: resources that keep their references, with the refusals of their set-null writes.
        hints: referrers that a commit found.
    """

    def __init__(
        self,
        graph: Graph,
        items: Sequence[PlannedItem],
        states: dict[ResourceName, FinalState],
        excluded: Mapping[ResourceName, str],
        hints: Collection[Hint],
    ) -> None:
        self._graph = graph
        self._items = items
        self._states = states
        self._excluded = excluded
        self._hints = hints
        self._time_slice = TimeSlice()
        self.keeping: dict[ResourceName, str] = {}
        self.kept_targets: set[ResourceName] = set()
        self.found = Found(
            {name: state.number for name, state in states.items() if state.is_removed and _is_removing(items, state)}
        )

    async def run(self) -> Found:
        """Follow all references.

        Raises:
            CauseRefused: a delete has too many dependents, or dependents of a newer schema version.
        """
        level = list(self.found.removed)
        while level:
            names, level = level, []
            for node, ids in self._by_node(names):
                for reference in self._graph.incoming(node.name):
                    if reference.is_stored and not reference.is_dangling:
                        for start in range(0, len(ids), _PAGE):
                            level += await self._follow(reference, ids[start : start + _PAGE])
                level += await self._follow_hints(node.name, ids)
        return self.found

    async def _follow(self, reference: Reference, ids: Sequence[str]) -> list[ResourceName]:
        """Find the referrers of removed resources. Return those that a cascade deletes."""
        await self._refuse_newer(reference, ids)
        action = reference.ref.on_delete
        if action is OnDelete.restrict or (action is OnDelete.set_null and self.found.exceeds):
            return []  # the commit judges `restrict`, and a task handles what exceeds a transaction
        cascaded: list[ResourceName] = []
        for state in [state for state in self._states.values() if state.node is reference.source]:
            targets = _targets(reference, ids, reference.ids(state.index))
            if targets and not state.is_removed:
                name = (reference.source.name, state.meta.resource_id)
                cascaded += self._add(reference.source, action, name, targets, None, state)
        async for head in self._referrers(reference, ids):
            await self._time_slice.check()
            name = (reference.source.name, head.resource_id)
            if name not in self._states:
                referred = reference.ids(reference.source.spec.stored_values(head.data)[0])
                targets = _targets(reference, ids, referred) or _targets(reference, ids, ids)
                cascaded += self._add(reference.source, action, name, targets, head, None)
            if action is OnDelete.set_null and self.found.exceeds:
                break
        return cascaded

    async def _follow_hints(self, model: str, ids: Sequence[str]) -> list[ResourceName]:
        """Note the referrers of removed resources that a commit found. Return those that a cascade deletes."""
        cascaded: list[ResourceName] = []
        for hint in self._hints:
            name = hint.name
            if hint.target[0] != model or hint.target[1] not in ids or name in self._states:
                continue
            head = await hint.node.storage.get(hint.resource_id, current=True)
            if head is not None and not head.is_deleted:
                cascaded += self._add(hint.node, hint.on_delete, name, [hint.target], head, None)
        return cascaded

    def _add(
        self,
        node: ModelNode,
        action: OnDelete,
        name: ResourceName,
        targets: Sequence[ResourceName],
        head: Head | None,
        state: FinalState | None,
    ) -> list[ResourceName]:
        """Note a dependent. Return its name if a cascade deletes it, and did not before."""
        found = self.found
        causes = sorted({found.removed[target] for target in targets} | ({state.number} if state else set()))
        if name in found.removed:
            if name in found.cascaded:
                found.link([found.removed[name], *causes])
            return []
        if action is OnDelete.set_null:
            if name in self._excluded or (head is not None and head.data is None):
                fault = "" if head is None else str(head.fault)
                self.keeping[name] = self._excluded.get(name, fault)
                self.kept_targets.update(targets)
            else:
                found.link(causes)
                found.release(name, Released(node, causes[0], head, state))
            return []
        found.link(causes)
        found.removed[name] = causes[0]
        if state is not None:
            found.cascaded[name] = Cascaded(node, causes[0], state.meta, None)
        elif head is not None:
            found.cascaded[name] = Cascaded(node, causes[0], meta_of(head), replace(head, data=None, stored=None))
        if len(found.cascaded) > MAX_CASCADE:
            raise CauseRefused(causes[0], TooManyDependents(self._holder(causes[0]), MAX_CASCADE))
        return [name]

    async def _refuse_newer(self, reference: Reference, ids: Sequence[str]) -> None:
        try:
            await refuse_newer_referrers([reference], ids)
        except NewerSchema as error:
            for name in ids if len(ids) > 1 else ():
                await self._refuse_newer(reference, [name])
            raise CauseRefused(self.found.removed[reference.target.name, ids[0]], error) from error

    async def _referrers(self, reference: Reference, ids: Sequence[str]) -> AsyncIterator[Head]:
        """Yield the live resources that refer to one of these ids. The index of the source is up to date."""
        query: Query | None = Query(reference.refers_to(ids), limit=_PAGE, max_bytes=MAX_BYTES)
        while query is not None:
            page = await reference.source.storage.search(query)
            for head in page.items:
                yield head
            query = None if page.next is None else replace(query, after=page.next)

    def _by_node(self, names: Sequence[ResourceName]) -> Iterator[tuple[ModelNode, list[str]]]:
        for model in dict.fromkeys(model for model, _ in names):
            yield self._graph.nodes[model], [name for owner, name in names if owner == model]

    def _holder(self, cause: int) -> ResourceName:
        item = self._items[cause]
        return item.name if isinstance(item, PlannedWrite) else (item.model, item.resource_id)


def _is_removing(items: Sequence[PlannedItem], state: FinalState) -> bool:
    item = items[state.number]
    return isinstance(item, PlannedWrite) and item.is_removing


def _targets(reference: Reference, ids: Sequence[str], referred: Sequence[str]) -> list[ResourceName]:
    """Return the targets of a reference among the resources of these ids."""
    return [(reference.target.name, name) for name in referred if name in ids]
