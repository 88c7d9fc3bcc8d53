"""Expansion of references: the targets of resources, and the referrers of a resource."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Query
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.references.graph import ModelNode, Reference
from autocrud.storage.ports.versions import head_size
from autocrud.versioning.stored_resource import Resource

# Targets that one read fetches: at first, at most, and their size if they are long.
_FIRST_PORTION, _MAX_PORTION, _PORTION_BYTES = 32, 1000, 4 * 1024 * 1024
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


class _Targets:
    """The targets of one model, read in the order in which they are needed.

    Args:
        ids: ids of the targets that may be needed.
    """

    def __init__(self, node: ModelNode, ids: Iterable[str]) -> None:
        self._node = node
        self._remaining = deque(dict.fromkeys(ids))
        self._found: dict[str, Resource[Any] | None] = {}
        self._portion = _FIRST_PORTION

    async def get(self, resource_id: str) -> Resource[Any] | None:
        """Return a target, and read the next ones with it; None if it is missing or deleted."""
        while resource_id not in self._found:
            names = [self._remaining.popleft() for _ in range(min(self._portion, len(self._remaining)))]
            heads = await self._node.storage.get_many(names)
            for name in names:
                head = heads.get(name)
                self._found[name] = None if head is None or head.is_deleted else Resource(self._node.spec, head)
            # As many as have the size of a portion, if the next ones are as long as these.
            size = sum(map(head_size, heads.values())) // len(names) + 1
            self._portion = max(1, min(_MAX_PORTION, _PORTION_BYTES // size))
        return self._found[resource_id]


async def expand_references(
    references: Sequence[Reference], resources: Sequence[Resource[Any]], max_bytes: int | None = None
) -> list[dict[str, Expanded]]:
    """Return the targets of each resource by field name.

    Args:
        max_bytes: size of the resources and their targets at which the answer ends, so that it may have fewer items.

    Raises:
        InvalidParameter: the targets of the first resource are longer than `max_bytes`.
    """
    ids_by_field = [_target_ids(references, resource) for resource in resources]
    nodes = {reference.target: reference for reference in references}
    targets = {
        node: _Targets(
            node,
            (
                name
                for ids in ids_by_field
                for item in references
                if item.target is node
                for name in ids[item.field.name]
            ),
        )
        for node in nodes
    }
    size, expanded = 0, list[dict[str, Expanded]]()
    for resource, ids in zip(resources, ids_by_field, strict=True):
        item, size = dict[str, Expanded](), size + head_size(resource.head)
        for reference in references:
            found = list[Resource[Any] | None]()
            for name in ids[reference.field.name]:
                found.append(await targets[reference.target].get(name))
                # A target counts as often as it is in the answer.
                size += 0 if (target := found[-1]) is None else head_size(target.head)
                if max_bytes is not None and size > max_bytes:
                    if expanded:
                        return expanded
                    message = (
                        f"the referred resources of {resource.resource_id!r} are over the limit of {max_bytes} bytes"
                    )
                    raise InvalidParameter("expand", f"{message}; read them by their ids")
            item[reference.field.name] = found if reference.field.is_list else next(iter(found), None)
        expanded.append(item)
    return expanded


async def find_referrers(
    references: Sequence[Reference],
    resource_id: str,
    *,
    limit: int,
    cursor: str | None,
    include_deleted: bool,
    max_bytes: int | None = None,
) -> ReferrerPage:
    """Return a page of referrers, field by field, newest first.

    Args:
        max_bytes: size of the data at which the page ends.

    Raises:
        InvalidParameter: the cursor belongs to another list.
    """
    number, after = _place(references, cursor)
    found: list[Referrer] = []
    for reference in references[number:]:
        query = _query(reference, resource_id, include_deleted)
        size = sum(head_size(item.resource.head) for item in found)
        if len(found) == limit or (max_bytes is not None and size >= max_bytes):
            # Full, at the end of a field: the next page begins with the first one that has something.
            if (await reference.source.storage.search(query)).items:
                return ReferrerPage(found, _cursor(reference, None))
            continue
        query = replace(query, limit=limit - len(found), max_bytes=None if max_bytes is None else max_bytes - size)
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
