"""Write order: independent writes of one model, in units that commit one after the other.

A write comes after the writes that make its targets live. A delete comes after the writes that end references to the
resource. Writes that need each other are one unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from autocrud.references.graph import Graph, Reference
from autocrud.references.planned_writes import PlannedWrite
from autocrud.resource import CommitKind

_CREATING_KINDS = (CommitKind.create, CommitKind.restore)


@dataclass(slots=True)
class Unit:
    """Writes that commit together.

    Attributes:
        numbers: numbers of the writes, ascending.
        follows: numbers of writes of other units that must come before.
    """

    numbers: list[int]
    follows: set[int] = field(default_factory=set)


def units_of(items: Sequence[PlannedWrite], graph: Graph) -> list[Unit]:
    """Return the units of a group of writes of one model, in order of their commits."""
    references = [
        reference
        for reference in (graph.outgoing(items[0].node.name) if items else ())
        if reference.target is reference.source and not reference.is_dangling
    ]
    follows = _dependencies(items, references)
    if not any(follows):
        return [Unit([number]) for number in range(len(items))]
    units = [Unit(sorted(numbers)) for numbers in _components(follows)]
    for unit in units:
        unit.follows = {earlier for number in unit.numbers for earlier in follows[number]} - set(unit.numbers)
    return units


def _dependencies(items: Sequence[PlannedWrite], references: Sequence[Reference]) -> list[set[int]]:
    """Return the numbers of the writes that must come before each write."""
    follows: list[set[int]] = [set() for _ in items]
    created: dict[str, int] = {}
    removed: dict[str, int] = {}
    last: dict[str, int] = {}
    for number, item in enumerate(items):
        resource_id = item.name[1]
        if resource_id in last:
            follows[number].add(last[resource_id])
        last[resource_id] = number
        if item.write.kind in _CREATING_KINDS:
            created.setdefault(resource_id, number)
        elif item.is_removing:
            removed[resource_id] = number
    for number, item in enumerate(items) if references else ():
        stored = () if item.before is None else item.node.spec.stored_values(item.before.data)[0]
        index = stored if item.is_restore else item.write.index
        for reference in references:
            if item.write.revision is not None or item.is_restore:
                follows[number] |= {created[name] for name in reference.ids(index) if name in created}
            for name in reference.ids(stored):
                if name in removed and removed[name] != number:
                    follows[removed[name]].add(number)
        follows[number].discard(number)
    return follows


def _components(follows: Sequence[set[int]]) -> list[list[int]]:
    """Return the strongly connected components of a graph, each after those that it follows (Tarjan's algorithm)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    components: list[list[int]] = []
    for root in range(len(follows)):
        if root in index:
            continue
        work = [(root, iter(sorted(follows[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            number, earlier = work[-1]
            child = next((item for item in earlier if item not in index or item in on_stack), None)
            if child is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[number])
                if low[number] == index[number]:
                    component = stack[stack.index(number) :]
                    del stack[-len(component) :]
                    on_stack.difference_update(component)
                    components.append(component)
            elif child in index:
                low[number] = min(low[number], index[child])
            else:
                index[child] = low[child] = len(index)
                stack.append(child)
                on_stack.add(child)
                work.append((child, iter(sorted(follows[child]))))
    return components
