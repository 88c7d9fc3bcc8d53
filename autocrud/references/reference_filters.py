"""Filters through references: what is asked of the resources that a reference leads to becomes a list of their ids."""

from collections.abc import Mapping
from dataclasses import replace

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import And, Condition, Not, Or, Query, ReferenceFilter, Term, leaves
from autocrud.query.operators import Operator
from autocrud.query.resolver import filters_by_deleted
from autocrud.references.graph import ModelNode

MAX_REACHED = 10_000
_PAGE = 1000


async def resolve_reference_filters(condition: Condition | None, nodes: Mapping[str, ModelNode]) -> Condition | None:
    """The same condition, of terms on the model's own columns.

    The other model may be in another store. What is deleted there is not reached, unless the condition asks for it.

    Raises:
        InvalidParameter: a part of it holds for too many resources.
    """
    return None if condition is None else await _reached(condition, nodes)


async def _reached(condition: Condition, nodes: Mapping[str, ModelNode]) -> Condition:
    match condition:
        case And(parts):
            return And(tuple([await _reached(part, nodes) for part in parts]))
        case Or(parts):
            return Or(tuple([await _reached(part, nodes) for part in parts]))
        case Not(part):
            return Not(await _reached(part, nodes))
        case ReferenceFilter(field, model):
            ids = await _ids(condition, nodes[model])
            return Term(field, Operator.contains_any if field.is_list else Operator.in_, ids)
    return condition


async def _ids(through: ReferenceFilter, node: ModelNode) -> tuple[str, ...]:
    found: list[str] = []
    query: Query | None = Query(through.part, include_deleted=filters_by_deleted(through.part), limit=_PAGE)
    while query is not None:
        page = await node.storage.search(query)
        found += [head.resource_id for head in page.items]
        if len(found) > MAX_REACHED:
            names = ".".join(
                [through.field.name, *(leaf.field.name for leaf in leaves(through.part) if isinstance(leaf, Term))]
            )
            raise InvalidParameter(
                names,
                f"holds for more than {MAX_REACHED} {node.name} resources: ask for fewer of them, or list these first,"
                f" and then ask for {through.field.name} by their ids",
            )
        query = None if page.next is None else replace(query, after=page.next)
    return tuple(found)
