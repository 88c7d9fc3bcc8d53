"""Search for dangling references: live resources that refer to a missing or soft-deleted target."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from autocrud.query.conditions import Query
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.storage.ports.types import Head

_PAGE_SIZE = 200


@dataclass(frozen=True, slots=True)
class DanglingReference:
    """A reference whose target is missing or soft-deleted.

    Attributes:
        model, resource_id: the resource that refers.
        field: its reference field.
        target_model, target_id: the target.
    """

    model: str
    resource_id: str
    field: str
    target_model: str
    target_id: str


async def find_dangling(graph: Graph) -> AsyncGenerator[DanglingReference, None]:
    """Yield the dangling references of all models, by model and id. Fields with `dangling` are left out.

    Resources whose data cannot be read are left out, too. What changes during the search may be left out.
    """
    for node in graph.nodes.values():
        references = [item for item in graph.outgoing(node.name) if not item.is_dangling and item.ref.must_exist]
        if not references:
            continue
        async for heads in _pages(node):
            for found in await _find_in_page(node, references, heads):
                yield found


async def _pages(node: ModelNode) -> AsyncGenerator[list[Head], None]:
    page: list[Head] = []
    items: Any = node.storage.snapshot_scan(Query())
    async with aclosing(items):
        async for head in items:
            page.append(head)
            if len(page) == _PAGE_SIZE:
                yield page
                page = []
    yield page


async def _find_in_page(
    node: ModelNode, references: Sequence[Reference], heads: Sequence[Head]
) -> list[DanglingReference]:
    suspects = await _without_target(node, references, heads)
    if not suspects:
        return []
    # The page is as of the beginning of the scan, and its targets may have been deleted with it since.
    names = dict.fromkeys(item.resource_id for item in suspects)
    current = await node.storage.get_many(list(names), current=True)
    return await _without_target(node, references, [current[name] for name in names if name in current])


async def _without_target(
    node: ModelNode, references: Sequence[Reference], heads: Sequence[Head]
) -> list[DanglingReference]:
    found = [item for head in heads for item in _references_of(node, references, head)]
    targets = {reference.target.name: reference.target for reference in references}
    live: set[tuple[str, str]] = set()
    for name, target in targets.items():
        ids = list({item.target_id for item in found if item.target_model == name})
        for start in range(0, len(ids), _PAGE_SIZE):
            part = await target.storage.get_many(ids[start : start + _PAGE_SIZE], current=True)
            live |= {(name, resource_id) for resource_id, head in part.items() if not head.is_deleted}
    return [item for item in found if (item.target_model, item.target_id) not in live]


def _references_of(node: ModelNode, references: Sequence[Reference], head: Head) -> Iterator[DanglingReference]:
    if head.is_deleted or head.data is None:
        return
    index, _ = node.spec.stored_values(head.data)
    for reference in references:
        for target_id in dict.fromkeys(reference.ids(index)):
            yield DanglingReference(node.name, head.resource_id, reference.field.name, reference.target.name, target_id)
