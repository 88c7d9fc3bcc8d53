"""Reference filters: turn conditions on targets into conditions on ids."""

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
    """Return the condition with terms on the model's own columns only.

    The target's model may be in another store. Deleted targets match only if the condition asks for them.

    Raises:
        InvalidParameter: a reference filter matches too many resources.
    """
    return None if condition is None else await _resolve(condition, nodes)


async def _resolve(condition: Condition, nodes: Mapping[str, ModelNode]) -> Condition:
    match condition:
        case And(parts):
            return And(tuple([await _resolve(part, nodes) for part in parts]))
        case Or(parts):
            return Or(tuple([await _resolve(part, nodes) for part in parts]))
        case Not(part):
            return Not(await _resolve(part, nodes))
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
