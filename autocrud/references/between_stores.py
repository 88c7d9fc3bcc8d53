"""References between stores: checked before the commit, without a lock. A race can leave a dangling reference."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace

from autocrud.errors import AutoCRUDError, NewerSchema, Referenced
from autocrud.query.conditions import Query
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.references.newer_referrers import refuse_newer_referrers
from autocrud.references.planned_writes import PlannedItem, PlannedWrite, ResourceName, new_references
from autocrud.references.refusals import not_found_error
from autocrud.schema.markers import OnDelete
from autocrud.storage.ports.types import Outcome

_PAGE = 200  # resources at a time
_MAX_NAMES_IN_MESSAGE = 11


class OuterReferences:
    """Checks of the references that no commit judges, because source and target are in different stores."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    async def refuse_missing(self, items: Sequence[PlannedItem]) -> dict[int, AutoCRUDError]:
        """Return the refusals of writes whose new references have no live target, by number.

        A write may refer to a resource that another write of the group creates.
        """
        news = {
            number: new_references(self._outer(self._graph.outgoing(item.node.name)), item)
            for number, item in enumerate(items)
            if isinstance(item, PlannedWrite)
        }
        missing = set(await find_missing(list(dict.fromkeys(pair for pairs in news.values() for pair in pairs))))
        if not missing:
            return {}
        made = {item.name for item in items if isinstance(item, PlannedWrite) and not item.write.meta.is_deleted}
        absent = {pair for pair in missing if (pair[0].target.name, pair[1]) not in made}
        refusals: dict[int, AutoCRUDError] = {}
        for number, pairs in news.items():
            item = items[number]
            fatal = [pair for pair in pairs if pair in absent and not _becomes_null(pair[0], item)]
            if fatal and isinstance(item, PlannedWrite):
                refusals[number] = not_found_error(item.node.spec, fatal)
        return refusals

    async def refuse_deletes(self, removed: Mapping[ResourceName, int]) -> dict[int, AutoCRUDError]:
        """Return the refusals of deletes that referrers in another store prevent, by number.

        A referrer may restrict the resource, or a resource that a cascade over several stores would delete.

        Args:
            removed: number of the causing item of each resource that is deleted.
        """
        refusals: dict[int, AutoCRUDError] = {}
        for model in dict.fromkeys(model for model, _ in removed):
            node = self._graph.nodes[model]
            if not self._outer(self._graph.incoming(model)):
                continue
            ids = [name for owner, name in removed if owner == model]
            for start in range(0, len(ids), _PAGE):
                page = ids[start : start + _PAGE]
                if await self._refusal(node, page, removed) is None:
                    continue
                for name in page:
                    refused = await self._refusal(node, [name], removed)
                    if refused is not None:
                        refusals.setdefault(removed[model, name], refused)
        return refusals

    async def _refusal(self, node: ModelNode, ids: Sequence[str], leaving: Collection[ResourceName]) -> Outcome:
        try:
            await self._refuse(node, ids, leaving)
        except (NewerSchema, Referenced) as error:
            return error
        return None

    async def _refuse(self, node: ModelNode, ids: Sequence[str], leaving: Collection[ResourceName]) -> None:
        """Refuse to delete resources that a referrer restricts. Each resource is checked once, on whatever path."""
        first = self._outer(self._graph.incoming(node.name))
        await refuse_newer_referrers(first, ids)
        if not self._graph.leads_to_restrict(node.name):
            return
        await self._refuse_restricted(first, ids, leaving)
        visited = {*leaving, *((node.name, name) for name in ids)}
        stack = [self._cascading(first, ids)]
        while stack:
            found = await anext(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            source, heads = found
            places = [(source.name, name) for name in heads if (source.name, name) not in visited]
            if places:
                names = [name for _, name in places]
                incoming = self._graph.incoming(source.name)
                await refuse_newer_referrers(incoming, names)
                visited.update(places)
                await self._refuse_restricted(incoming, names, visited)
                stack.append(self._cascading(incoming, names))

    async def _refuse_restricted(
        self, references: Sequence[Reference], ids: Sequence[str], leaving: Collection[ResourceName]
    ) -> None:
        """Refuse if a live resource restricts one of these. The indexes of the referrers are up to date."""
        for reference in references:
            if reference.ref.on_delete is not OnDelete.restrict:
                continue
            query: Query | None = Query(reference.refers_to(ids), limit=_PAGE)
            while query is not None:
                page = await reference.source.storage.search(query)
                holders = [head for head in page.items if (reference.source.name, head.resource_id) not in leaving]
                if holders:
                    referred = reference.ids(reference.source.spec.stored_values(holders[0].data)[0])
                    restricted = next(name for name in referred if name in ids)
                    names = [head.resource_id for head in holders[:_MAX_NAMES_IN_MESSAGE]]
                    holder = (reference.target.name, restricted)
                    raise Referenced(holder, reference.source.name, reference.field.name, names)
                query = None if page.next is None else replace(query, after=page.next)

    async def _cascading(
        self, references: Sequence[Reference], ids: Sequence[str]
    ) -> AsyncIterator[tuple[ModelNode, list[str]]]:
        """Yield the resources that a cascade would delete and a referrer may restrict, page by page."""
        for reference in references:
            if reference.ref.on_delete is not OnDelete.cascade:
                continue
            query: Query | None = Query(reference.refers_to(ids), limit=_PAGE)
            while query is not None and self._graph.leads_to_restrict(reference.source.name):
                page = await reference.source.storage.search(query)
                yield reference.source, [head.resource_id for head in page.items]
                query = None if page.next is None else replace(query, after=page.next)

    def _outer(self, references: Sequence[Reference]) -> list[Reference]:
        return [reference for reference in references if not reference.is_stored]


async def find_missing(pairs: Sequence[tuple[Reference, str]]) -> list[tuple[Reference, str]]:
    """Return the references without a live target, with one query per target model."""
    by_target: dict[ModelNode, set[str]] = {}
    for reference, resource_id in pairs:
        by_target.setdefault(reference.target, set()).add(resource_id)
    answers = await asyncio.gather(*(node.storage.get_many(list(ids), current=True) for node, ids in by_target.items()))
    found = dict(zip(by_target, answers, strict=True))
    heads = [(reference, resource_id, found[reference.target].get(resource_id)) for reference, resource_id in pairs]
    return [(reference, resource_id) for reference, resource_id, head in heads if head is None or head.is_deleted]


def _becomes_null(reference: Reference, item: PlannedItem) -> bool:
    """Return True if the write is a restore whose dangling reference becomes null."""
    return isinstance(item, PlannedWrite) and item.is_restore and reference.ref.on_delete is OnDelete.set_null
