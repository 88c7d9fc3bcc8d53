"""Expansion of references: the targets of resources, and the referrers of a resource."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Query
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.references.graph import ModelNode, Reference
from autocrud.versioning.stored_resource import Resource

# Target of a reference: None if missing or deleted; for a list, one target per item.
Expanded = Resource[Any] | None | list[Resource[Any] | None]


@dataclass(frozen=True, slots=True)
class Referrer:
    """A resource that refers to another one by a field of its model."""

    reference: Reference
    resource: Resource[Any]


@dataclass(frozen=True, slots=True)
class ReferrerPage:
    """A page of referrers. `next_cursor` leads to the next page and is None on the last one."""

    items: list[Referrer]
    next_cursor: str | None


async def expand_references(
    references: Sequence[Reference], resources: Sequence[Resource[Any]]
) -> list[dict[str, Expanded]]:
    """Return the targets of each resource by field name, with one query per target model."""
    ids_by_field = [_target_ids(references, resource) for resource in resources]
    ids_by_model: dict[ModelNode, set[str]] = {}
    for reference in references:
        ids_by_model.setdefault(reference.target, set()).update(
            name for ids in ids_by_field for name in ids[reference.field.name]
        )
    found: dict[ModelNode, dict[str, Resource[Any]]] = {}
    for node, ids in ids_by_model.items():
        heads = await node.storage.get_many(sorted(ids)) if ids else {}
        found[node] = {name: Resource(node.spec, head) for name, head in heads.items() if not head.is_deleted}
    return [
        {
            reference.field.name: _select_targets(reference, ids[reference.field.name], found[reference.target])
            for reference in references
        }
        for ids in ids_by_field
    ]


async def find_referrers(
    references: Sequence[Reference], resource_id: str, *, limit: int, cursor: str | None, include_deleted: bool
) -> ReferrerPage:
    """Return a page of referrers, field by field, newest first.

    Raises:
        InvalidParameter: the cursor belongs to another list.
    """
    number, after = _place(references, cursor)
    found: list[Referrer] = []
    for reference in references[number:]:
        query = _query(reference, resource_id, include_deleted)
        if len(found) == limit:
            # Full, at the end of a field: the next page begins with the first one that has something.
            if (await reference.source.storage.search(query)).items:
                return ReferrerPage(found, _cursor(reference, None))
            continue
        query = replace(query, limit=limit - len(found))
        if after is not None:
            query, after = replace(query, after=decode_cursor(query, after)), None
        page = await reference.source.storage.search(query)
        found += [Referrer(reference, Resource(reference.source.spec, head)) for head in page.items]
        if page.next is not None:
            return ReferrerPage(found, _cursor(reference, encode_cursor(query, page.next)))
    return ReferrerPage(found, None)


def _target_ids(references: Sequence[Reference], resource: Resource[Any]) -> dict[str, tuple[str, ...]]:
    # A pruned revision has no data, so its references are unknown.
    index = resource.spec.stored_values(resource.head.data)[0]
    return {reference.field.name: reference.ids(index) for reference in references}


def _select_targets(reference: Reference, ids: Sequence[str], found: dict[str, Resource[Any]]) -> Expanded:
    targets = [found.get(name) for name in ids]
    return targets if reference.field.is_list else next(iter(targets), None)


def _query(reference: Reference, resource_id: str, include_deleted: bool) -> Query:
    return Query(reference.refers_to([resource_id]), include_deleted=include_deleted, limit=1)


def _cursor(reference: Reference, inner: str | None) -> str:
    return urlsafe_b64encode(to_json([reference.source.name, reference.field.name, inner])).decode().rstrip("=")


def _place(references: Sequence[Reference], cursor: str | None) -> tuple[int, str | None]:
    """Return the field and the position at which a page begins."""
    if cursor is None:
        return 0, None
    try:
        model, field, inner = from_json(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
        names = [(reference.source.name, reference.field.name) for reference in references]
        number = names.index((model, field))
    except (ValueError, TypeError) as error:
        raise InvalidParameter("cursor", "is not a cursor that this service gave out for this list") from error
    if inner is not None and not isinstance(inner, str):
        raise InvalidParameter("cursor", "is not a cursor that this service gave out for this list")
    return number, inner
