"""On-delete actions: restrict, set null, cascade."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import AutoCRUDError, Conflict, FieldError, Referenced, ReferenceNotFound
from autocrud.query.conditions import And, Condition, Query, Term
from autocrud.query.metadata_fields import RESOURCE_ID
from autocrud.query.operators import Operator
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.references.newer_referrers import refuse_newer_referrers
from autocrud.references.referrer_writes import author_after, blobs_of, meta_of, next_revision
from autocrud.resource import CommitKind
from autocrud.schema.markers import OnDelete
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Head, OnDeleteTask, Write, on_delete_task_of
from autocrud.versioning.write_builder import Encoded, next_meta

logger = logging.getLogger(__name__)

_PAGE = 200  # resources at a time
_MAX_NAMES_IN_MESSAGE = 11


@dataclass(slots=True)
class _DeletedPage:
    """A page of deleted resources of one model."""

    node: ModelNode
    items: Sequence[OnDeleteTask]

    def deleted_by(self, reference: Reference, head: Head) -> str | None:
        """Return the user who deleted the target of a resource."""
        referred = reference.ids(reference.source.spec.stored_values(head.data)[0])
        return next((item.by for item in self.items if item.resource_id in referred), None)


class OnDeleteRunner:
    """Runs on-delete actions over all models of one service.

    Pending tasks are stored, so any node may run them again. A handled referrer no longer refers, so a repeated run
    skips it.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def has_actions(self, node: ModelNode) -> bool:
        """Return True if a delete in this model may have on-delete actions."""
        return self._graph.has_on_delete_actions(node.name)

    async def refuse(self, node: ModelNode, resource_ids: Sequence[str], leaving: Sequence[str]) -> None:
        """Refuse to delete resources if a referrer, or a referrer of a cascaded resource, restricts it.

        Each resource of a cycle is checked once.

        Args:
            leaving: resources of the same model that are deleted together and restrict nothing.

        Raises:
            Referenced: a referrer restricts the delete.
            NewerSchema: a referrer may have a newer schema version, so that this process cannot change it.
        """
        await refuse_newer_referrers(self._graph.incoming(node.name), resource_ids)
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
                await refuse_newer_referrers(self._graph.incoming(source.name), new)
                await self._refuse_for(source, new)
                path.update(places)
                stack.append((places, self._cascading(source, new)))

    async def find_late_referrers(self, node: ModelNode, items: Sequence[OnDeleteTask]) -> dict[str, Referenced]:
        """Return errors for resources that gained a restricting referrer during their delete, and restore them."""
        restricted: dict[str, Referenced] = {}
        for reference in self._references(node, OnDelete.restrict):
            going = [item for item in items if item.resource_id not in restricted]
            if not going or not (await reference.find_referrers([item.resource_id for item in going], 1)).items:
                continue
            for item in going:
                name = item.resource_id
                page = await reference.find_referrers([name], _MAX_NAMES_IN_MESSAGE)
                holders = [head.resource_id for head in page.items if not _is_same(reference, head, name)]
                if holders:
                    await self.restore(node, item)
                    restricted[name] = Referenced(
                        (node.name, name), reference.source.name, reference.field.name, holders
                    )
        return restricted

    async def restore(self, node: ModelNode, item: OnDeleteTask) -> None:
        """Undo a delete and complete its task."""
        while True:
            head = await node.storage.get(item.resource_id, current=True)
            if head is None or not head.is_deleted:
                break
            meta = meta_of(head)
            write = Write(
                CommitKind.restore, meta.version, next_meta(meta, author_after(item.by, meta), is_deleted=False)
            )
            try:
                await node.storage.commit(write)
            except Conflict:
                continue
            break
        await node.storage.complete([item])

    async def run(self, node: ModelNode, items: Sequence[OnDeleteTask]) -> None:
        """Run the on-delete actions of deleted resources and complete their tasks.

        A cascade works page by page and depth first, so memory does not depend on its size. Restored resources are
        skipped.

        Raises:
            AutoCRUDError: some actions failed and stay pending; the others are done.
        """
        failures: list[AutoCRUDError] = []
        first = _DeletedPage(node, items)
        stack = [(first, self._run_page(first, failures))]
        while stack:
            deleted, following = stack[-1]
            next_page = await anext(following, None)
            if next_page is not None:
                stack.append((next_page, self._run_page(next_page, failures)))
                continue
            if failures:
                raise failures[0]
            await deleted.node.storage.complete(deleted.items)
            stack.pop()

    async def finish(self, node: ModelNode) -> None:
        """Finish the pending on-delete tasks of one model. A task that fails again stays pending."""
        after: OnDeleteTask | None = None
        while items := await node.storage.pending_deletions(after, _PAGE):
            after = items[-1]
            try:
                await self._restore_kept(node, items)
                await self.run(node, items)
            except AutoCRUDError as error:
                logger.warning("On-delete actions of %s failed and are tried again: %s", node.name, error)

    async def set_null(self, reference: Reference, head: Head, deleted: Sequence[str], by: str | None) -> None:
        """Remove the ids of deleted resources from all references of a resource, in one new revision.

        The stored form is changed without validation, so that data that no longer validates cannot keep its reference.
        """
        storage = reference.source.storage
        references = [
            other for other in self._references(reference.target, OnDelete.set_null) if other.source is reference.source
        ]
        current: Head | None = head
        while current is not None and not current.is_deleted:
            if current.data is None:
                logger.warning("%s keeps its reference: %s", reference.source.name, current.fault)
                return
            data = from_json(current.data)
            released = data
            for each in references:
                released = each.remove_ids(released, frozenset(deleted))
            if released == data:
                return
            encoded = Encoded(to_json(released), await blobs_of(reference.source, current))
            try:
                await storage.commit(await next_revision(reference.source, meta_of(current), encoded, by))
            except Conflict:
                current = await storage.get(head.resource_id, current=True)
                continue
            return

    async def _restore_kept(self, node: ModelNode, items: Sequence[OnDeleteTask]) -> None:
        """Restore resources whose deleter died before it could see a restricting referrer."""
        by_id = {item.resource_id: item for item in items}
        for reference in self._references(node, OnDelete.restrict):
            tasks = await _still_deleted(node, items) if reference.ref.must_exist else []
            deleted = [task.resource_id for task in tasks]
            page = await reference.find_referrers(deleted, _PAGE) if deleted else None
            for head in page.items if page is not None else ():
                for resource_id in reference.ids(reference.source.spec.stored_values(head.data)[0]):
                    if resource_id not in by_id or _is_same(reference, head, resource_id):
                        continue
                    restricted = await node.storage.get(resource_id, current=True)
                    if restricted and restricted.is_deleted and await self._has_targets(node, restricted):
                        logger.warning("%s %r is restored: %s refers to it", node.name, resource_id, head.resource_id)
                        await self.restore(node, by_id[resource_id])

    async def _has_targets(self, node: ModelNode, head: Head) -> bool:
        """Return True if the targets of a resource exist. A cascaded resource is not restored without its target."""
        index = node.spec.stored_values(head.data)[0]
        pairs = [(reference, name) for reference in self._graph.outgoing(node.name) for name in reference.ids(index)]
        kinds = (OnDelete.restrict, OnDelete.cascade)
        return not await find_missing(
            [(reference, name) for reference, name in pairs if reference.ref.on_delete in kinds]
        )

    async def _run_page(self, deleted: _DeletedPage, failures: list[AutoCRUDError]) -> AsyncIterator[_DeletedPage]:
        """Run the actions for a page of deleted resources. Yield pages of cascaded resources."""
        for reference in self._graph.incoming(deleted.node.name):
            if reference.ref.on_delete is OnDelete.set_null:
                failures += await self._set_null_all(reference, deleted)
            while reference.ref.on_delete is OnDelete.cascade and (heads := await self._referrers(reference, deleted)):
                tasks = await self._delete(reference, heads, deleted)
                if tasks:
                    yield _DeletedPage(reference.source, tasks)

    async def _referrers(self, reference: Reference, deleted: _DeletedPage) -> list[Head]:
        tasks = await _still_deleted(deleted.node, deleted.items)
        return (await reference.find_referrers([item.resource_id for item in tasks], _PAGE)).items if tasks else []

    async def _delete(self, reference: Reference, heads: Sequence[Head], deleted: _DeletedPage) -> list[OnDeleteTask]:
        """Delete a page of referrers together. A referrer that changed meanwhile is found again."""
        followed, writes = self._graph.has_on_delete_actions(reference.source.name), []
        for head in heads:
            meta = meta_of(head)
            after = next_meta(meta, author_after(deleted.deleted_by(reference, head), meta), is_deleted=True)
            writes.append(Write(CommitKind.delete, meta.version, after, has_task=followed))
        outcomes = await reference.source.storage.commit_all(writes)
        for refused in outcomes:
            if refused is not None and not isinstance(refused, Conflict):
                raise refused
        pairs = zip(writes, outcomes, strict=True)
        return [on_delete_task_of(write) for write, refused in pairs if refused is None and followed]

    async def _set_null_all(self, reference: Reference, deleted: _DeletedPage) -> list[AutoCRUDError]:
        """Set the references of all referrers to null, some at a time. Return the errors."""
        failures: list[AutoCRUDError] = []
        ids = [item.resource_id for item in await _still_deleted(deleted.node, deleted.items)]
        query: Query | None = Query(reference.refers_to(ids), limit=_PAGE) if ids else None
        if query is not None:
            await reference.source.storage.get(ids[0], current=True)
        while query is not None:
            page = await reference.source.storage.search(query)
            releases = (self.set_null(reference, head, ids, deleted.deleted_by(reference, head)) for head in page.items)
            for outcome in await asyncio.gather(*releases, return_exceptions=True):
                if isinstance(outcome, AutoCRUDError):
                    failures.append(outcome)
                elif outcome is not None:
                    raise outcome
            query = None if page.next is None else replace(query, after=page.next)
        return failures

    async def _refuse_for(self, node: ModelNode, ids: Sequence[str], leaving: Sequence[str] = ()) -> None:
        """Refuse to delete resources that a referrer restricts. The indexes of the referrers are up to date."""
        for reference in self._references(node, OnDelete.restrict):
            where: Condition = reference.refers_to(ids)
            if reference.source is node:
                where = And((where, Term(RESOURCE_ID, Operator.not_in, tuple({*ids, *leaving}))))
            found = (await reference.source.storage.search(Query(where, limit=_MAX_NAMES_IN_MESSAGE))).items
            if found:
                referred = reference.ids(reference.source.spec.stored_values(found[0].data)[0])
                restricting = next(name for name in referred if name in ids)
                names = [head.resource_id for head in found]
                raise Referenced((node.name, restricting), reference.source.name, reference.field.name, names)

    async def _cascading(self, node: ModelNode, ids: Sequence[str]) -> AsyncIterator[tuple[ModelNode, list[str]]]:
        """Yield the resources that a cascade would delete and a referrer may restrict, page by page."""
        for reference in self._references(node, OnDelete.cascade):
            query: Query | None = Query(reference.refers_to(ids), limit=_PAGE)
            while query is not None and self._graph.leads_to_restrict(reference.source.name):
                page = await reference.source.storage.search(query)
                yield reference.source, [head.resource_id for head in page.items]
                query = None if page.next is None else replace(query, after=page.next)

    def _references(self, node: ModelNode, on_delete: OnDelete) -> list[Reference]:
        return [reference for reference in self._graph.incoming(node.name) if reference.ref.on_delete is on_delete]


async def find_missing(pairs: Sequence[tuple[Reference, str]]) -> list[tuple[Reference, str]]:
    """Return the references without a live target, with one query per target model."""
    by_target: dict[ModelNode, set[str]] = {}
    for reference, resource_id in pairs:
        by_target.setdefault(reference.target, set()).add(resource_id)
    answers = await asyncio.gather(*(node.storage.get_many(list(ids), current=True) for node, ids in by_target.items()))
    found = dict(zip(by_target, answers, strict=True))
    heads = [(reference, resource_id, found[reference.target].get(resource_id)) for reference, resource_id in pairs]
    return [(reference, resource_id) for reference, resource_id, head in heads if head is None or head.is_deleted]


def not_found_error(spec: ModelSpec[Any], lost_references: Sequence[tuple[Reference, str]]) -> ReferenceNotFound:
    """Return the error for references without a target."""
    errors = [
        FieldError(reference.field.name, f"there is no {reference.target.name} {name!r}")
        for reference, name in lost_references
    ]
    return ReferenceNotFound(f"The {spec.name} refers to resources that do not exist.", errors)


async def _still_deleted(node: ModelNode, items: Sequence[OnDeleteTask]) -> list[OnDeleteTask]:
    """Return the tasks whose resources were neither restored nor created anew."""
    heads = await node.storage.get_many([item.resource_id for item in items], current=True)
    return [item for item in items if item.resource_id not in heads or heads[item.resource_id].is_deleted]


def _is_same(reference: Reference, head: Head, resource_id: str) -> bool:
    return reference.source is reference.target and head.resource_id == resource_id
