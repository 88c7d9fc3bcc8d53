"""What becomes of those that refer to a resource when it is deleted: they keep it, let go of it, or go with it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import AutoCRUDError, Conflict, FieldError, Referenced, ReferenceNotFound
from autocrud.query.conditions import And, Condition, Query, Term
from autocrud.query.metadata_fields import RESOURCE_ID
from autocrud.query.operators import Operator
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.resource import CommitKind, ResourceMeta
from autocrud.schema.markers import OnDelete
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head, OnDeleteTask, Write, on_delete_task_of
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.retention import next_prune_count
from autocrud.versioning.write_builder import Author, Encoded, next_meta, update_write

logger = logging.getLogger(__name__)

_PAGE = 200  # resources at a time
_MAX_NAMES_IN_MESSAGE = 11


@dataclass(slots=True)
class _Gone:
    """Resources of one model that were deleted, at most a page of them."""

    node: ModelNode
    items: Sequence[OnDeleteTask]

    def by(self, reference: Reference, head: Head) -> str | None:
        """Who deleted what a resource refers to."""
        referred = reference.ids(reference.source.spec.stored_values(head.data or b"")[0])
        return next((item.by for item in self.items if item.resource_id in referred), None)


class OnDeleteRunner:
    """Looks after what refers to deleted resources, over all models of one service.

    Whatever is under way stands in the storages, too, so that it may be begun again, by whomever, as often as one
    likes: a resource that has followed is no longer found among those that refer.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def follow_any(self, node: ModelNode) -> bool:
        """Whether others may follow where a resource of a model goes."""
        return self._graph.has_on_delete_actions(node.name)

    async def refuse(self, node: ModelNode, resource_ids: Sequence[str], leaving: Sequence[str]) -> None:
        """Make sure that nothing keeps resources from being deleted, nor what would go with them.

        Where resources are in each other's way round a ring, each is looked at once.

        Args:
            leaving: resources of the same model that are deleted together with them, and keep nothing.

        Raises:
            Referenced: something does.
        """
        if not self._graph.leads_to_restrict(node.name):
            return
        await self._refuse_for(node, resource_ids, leaving)
        first = [(node.name, resource_id) for resource_id in resource_ids]
        path = set(first)
        stack = [(first, self._cascading(node, resource_ids))]
        while stack:
            found = await anext(stack[-1][1], None)
            if found is None:
                path.difference_update(stack.pop()[0])
                continue
            source, ids = found
            places = [(source.name, name) for name in ids if (source.name, name) not in path]
            if places:
                new = [name for _, name in places]
                await self._refuse_for(source, new)
                path.update(places)
                stack.append((places, self._cascading(source, new)))

    async def find_late_referrers(self, node: ModelNode, items: Sequence[OnDeleteTask]) -> dict[str, Referenced]:
        """What has come to keep resources while they were being deleted, by their ids; these are restored."""
        kept: dict[str, Referenced] = {}
        for reference in self._references(node, OnDelete.restrict):
            going = [item for item in items if item.resource_id not in kept]
            if not going or not (await reference.find_referrers([item.resource_id for item in going], 1)).items:
                continue
            for item in going:
                name = item.resource_id
                page = await reference.find_referrers([name], _MAX_NAMES_IN_MESSAGE)
                holders = [head.resource_id for head in page.items if not _is_same(reference, head, name)]
                if holders:
                    await self.restore(node, item)
                    kept[name] = Referenced((node.name, name), reference.source.name, reference.field.name, holders)
        return kept

    async def restore(self, node: ModelNode, item: OnDeleteTask) -> None:
        """Undo a delete that was not to be; there is nothing to follow then."""
        while True:
            head = await node.storage.get(item.resource_id, current=True)
            if head is None or not head.is_deleted:
                break
            meta = meta_of(head)
            write = Write(CommitKind.restore, meta.version, next_meta(meta, author(item.by, meta), is_deleted=False))
            try:
                await node.storage.commit(write)
            except Conflict:
                continue
            break
        await node.storage.complete([item])

    async def run(self, node: ModelNode, items: Sequence[OnDeleteTask]) -> None:
        """Make all that refer to deleted resources follow, and settle that.

        What goes with them is a page at a time, and what goes with that comes before the next one: memory does not
        depend on how many there are. Those that were restored meanwhile are not followed.

        Raises:
            AutoCRUDError: some did not; the others did. It stays pending.
        """
        failures: list[AutoCRUDError] = []
        first = _Gone(node, items)
        stack = [(first, self._following(first, failures))]
        while stack:
            gone, following = stack[-1]
            more = await anext(following, None)
            if more is not None:
                stack.append((more, self._following(more, failures)))
                continue
            if failures:
                raise failures[0]
            await gone.node.storage.complete(gone.items)
            stack.pop()

    async def finish(self, node: ModelNode) -> None:
        """Finish what a crash, or a failure, has left pending in one model; what fails again stays."""
        after: OnDeleteTask | None = None
        while items := await node.storage.pending_deletions(after, _PAGE):
            after = items[-1]
            try:
                await self._restore_kept(node, items)
                await self.run(node, items)
            except AutoCRUDError as error:
                logger.warning("What refers to deleted resources of %s cannot follow yet: %s", node.name, error)

    async def set_null(self, reference: Reference, head: Head, gone: Sequence[str], by: str | None) -> None:
        """Make a resource let go of those that are gone, by whichever fields it refers to them, in one new revision."""
        spec, storage = reference.source.spec, reference.source.storage
        references = [
            other for other in self._references(reference.target, OnDelete.set_null) if other.source is reference.source
        ]
        current: Head | None = head
        while current is not None and not current.is_deleted:
            data = from_json(current.data or b"")
            released = data
            for each in references:
                released = each.remove_ids(released, frozenset(gone))
            if released == data:
                return
            encoded = await Encoder(spec, storage.blobs).encode(to_json(released, inf_nan_mode="constants"))
            try:
                await storage.commit(await revised(reference.source, meta_of(current), encoded, by))
            except Conflict:
                current = await storage.get(head.resource_id, current=True)
                continue
            return

    async def _restore_kept(self, node: ModelNode, items: Sequence[OnDeleteTask]) -> None:
        """Restore what was deleted by somebody who died before he could see that it is still referred to."""
        by_id = {item.resource_id: item for item in items}
        for reference in self._references(node, OnDelete.restrict):
            gone = [item.resource_id for item in await _still_gone(node, items)] if reference.ref.must_exist else []
            page = await reference.find_referrers(gone, _PAGE) if gone else None
            for head in page.items if page is not None else ():
                for resource_id in reference.ids(reference.source.spec.stored_values(head.data or b"")[0]):
                    kept = not _is_same(reference, head, resource_id) and await node.storage.get(
                        resource_id, current=True
                    )
                    if kept and kept.is_deleted and resource_id in by_id and await self._may_stand(node, kept):
                        logger.warning("%s %r is restored: %s refers to it", node.name, resource_id, head.resource_id)
                        await self.restore(node, by_id[resource_id])

    async def _may_stand(self, node: ModelNode, head: Head) -> bool:
        """Whether what a resource refers to is there: one that went with another does not come back without it."""
        index = node.spec.stored_values(head.data or b"")[0]
        wanted = [(reference, name) for reference in self._graph.outgoing(node.name) for name in reference.ids(index)]
        kinds = (OnDelete.restrict, OnDelete.cascade)
        return not await missing([(reference, name) for reference, name in wanted if reference.ref.on_delete in kinds])

    async def _following(self, gone: _Gone, failures: list[AutoCRUDError]) -> AsyncIterator[_Gone]:
        """Make those follow that refer to what is gone; what others are to follow in turn comes out."""
        for reference in self._graph.incoming(gone.node.name):
            if reference.ref.on_delete is OnDelete.set_null:
                failures += await self._release_all(reference, gone)
            while reference.ref.on_delete is OnDelete.cascade and (heads := await self._referrers(reference, gone)):
                deleted = await self._delete(reference, heads, gone)
                if deleted:
                    yield _Gone(reference.source, deleted)

    async def _referrers(self, reference: Reference, gone: _Gone) -> list[Head]:
        still = await _still_gone(gone.node, gone.items)
        return (await reference.find_referrers([item.resource_id for item in still], _PAGE)).items if still else []

    async def _delete(self, reference: Reference, heads: Sequence[Head], gone: _Gone) -> list[OnDeleteTask]:
        """Delete a page of those that refer, together. One that moved on meanwhile will be found again."""
        followed, writes = self._graph.has_on_delete_actions(reference.source.name), []
        for head in heads:
            meta = meta_of(head)
            after = next_meta(meta, author(gone.by(reference, head), meta), is_deleted=True)
            writes.append(Write(CommitKind.delete, meta.version, after, has_task=followed))
        outcomes = await reference.source.storage.commit_all(writes)
        for refused in outcomes:
            if refused is not None and not isinstance(refused, Conflict):
                raise refused
        pairs = zip(writes, outcomes, strict=True)
        return [on_delete_task_of(write) for write, refused in pairs if refused is None and followed]

    async def _release_all(self, reference: Reference, gone: _Gone) -> list[AutoCRUDError]:
        """Make all that refer let go, some at a time; what did not come off."""
        failures: list[AutoCRUDError] = []
        ids = [item.resource_id for item in await _still_gone(gone.node, gone.items)]
        query: Query | None = Query(reference.refers_to(ids), limit=_PAGE) if ids else None
        if query is not None:
            await reference.source.storage.get(ids[0], current=True)
        while query is not None:
            page = await reference.source.storage.search(query)
            releases = (self.set_null(reference, head, ids, gone.by(reference, head)) for head in page.items)
            for outcome in await asyncio.gather(*releases, return_exceptions=True):
                if isinstance(outcome, AutoCRUDError):
                    failures.append(outcome)
                elif outcome is not None:
                    raise outcome
            query = None if page.next is None else replace(query, after=page.next)
        return failures

    async def _refuse_for(self, node: ModelNode, ids: Sequence[str], leaving: Sequence[str] = ()) -> None:
        for reference in self._references(node, OnDelete.restrict):
            where: Condition = reference.refers_to(ids)
            if reference.source is node:
                where = And((where, Term(RESOURCE_ID, Operator.not_in, tuple({*ids, *leaving}))))
            await reference.source.storage.get(ids[0], current=True)
            found = (await reference.source.storage.search(Query(where, limit=_MAX_NAMES_IN_MESSAGE))).items
            if found:
                referred = reference.ids(reference.source.spec.stored_values(found[0].data or b"")[0])
                held = next(name for name in referred if name in ids)
                names = [head.resource_id for head in found]
                raise Referenced((node.name, held), reference.source.name, reference.field.name, names)

    async def _cascading(self, node: ModelNode, ids: Sequence[str]) -> AsyncIterator[tuple[ModelNode, list[str]]]:
        """Those that would go with some, page by page, as far as they may be kept."""
        for reference in self._references(node, OnDelete.cascade):
            query: Query | None = Query(reference.refers_to(ids), limit=_PAGE)
            while query is not None and self._graph.leads_to_restrict(reference.source.name):
                page = await reference.source.storage.search(query)
                yield reference.source, [head.resource_id for head in page.items]
                query = None if page.next is None else replace(query, after=page.next)

    def _references(self, node: ModelNode, on_delete: OnDelete) -> list[Reference]:
        return [reference for reference in self._graph.incoming(node.name) if reference.ref.on_delete is on_delete]


async def missing(wanted: Sequence[tuple[Reference, str]]) -> list[tuple[Reference, str]]:
    """Those references that lead to nothing, or to what is deleted: one query for each model that is referred to."""
    by_target: dict[ModelNode, set[str]] = {}
    for reference, resource_id in wanted:
        by_target.setdefault(reference.target, set()).add(resource_id)
    answers = await asyncio.gather(*(node.storage.get_many(list(ids), current=True) for node, ids in by_target.items()))
    found = dict(zip(by_target, answers, strict=True))
    heads = [(reference, resource_id, found[reference.target].get(resource_id)) for reference, resource_id in wanted]
    return [(reference, resource_id) for reference, resource_id, head in heads if head is None or head.is_deleted]


async def revised(node: ModelNode, meta: ResourceMeta, encoded: Encoded, by: str | None) -> Write:
    """A new revision with this data, of the status that the current one has."""
    writer, spec = author(by, meta), node.spec
    number = meta.total_revision_count + 1
    prunes = await next_prune_count(node.storage, spec.retention, meta, number, writer.now)
    return update_write(spec, meta, encoded, writer, meta.status, prunes)


def meta_of(head: Head) -> ResourceMeta:
    """A head's metadata."""
    return ResourceMeta.model_validate_json(head.meta)


def author(by: str | None, meta: ResourceMeta) -> Author:
    """Who writes now, behind what was written before."""
    return Author(by, max(datetime.now(UTC), meta.updated_time))


def not_found(spec: ModelSpec[Any], lost: Sequence[tuple[Reference, str]]) -> ReferenceNotFound:
    """The error for references that lead nowhere."""
    errors = [
        FieldError(reference.field.name, f"there is no {reference.target.name} {name!r}") for reference, name in lost
    ]
    return ReferenceNotFound(f"The {spec.name} refers to what is not there.", errors)


async def _still_gone(node: ModelNode, items: Sequence[OnDeleteTask]) -> list[OnDeleteTask]:
    """Those that were not restored since, nor made anew."""
    heads = await node.storage.get_many([item.resource_id for item in items], current=True)
    return [item for item in items if item.resource_id not in heads or heads[item.resource_id].is_deleted]


def _is_same(reference: Reference, head: Head, resource_id: str) -> bool:
    return reference.source is reference.target and head.resource_id == resource_id
