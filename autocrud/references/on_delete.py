"""On-delete tasks: actions on referrers that do not fit into the transaction of a delete."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from autocrud.errors import AutoCRUDError, Conflict, StorageUnavailable
from autocrud.query.conditions import Query
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.references.planned_writes import PlannedWrite
from autocrud.references.referrer_writes import author_after, blobs_of, meta_of
from autocrud.references.set_null import set_null_write
from autocrud.resource import CommitKind
from autocrud.schema.markers import OnDelete
from autocrud.storage.ports.types import Head, OnDeleteTask, Outcome, Write, on_delete_task_of
from autocrud.versioning.write_builder import Encoded, next_meta

logger = logging.getLogger(__name__)

CommitAll = Callable[[Sequence[PlannedWrite]], Awaitable[list[Outcome]]]

_PAGE = 200  # resources at a time


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
    """Runs on-delete tasks over all models of one service.

    Pending tasks are stored, so any node may run them again. A handled referrer no longer refers, so a repeated run
    skips it.

    Args:
        commit_all: commits deletes of referrers in another store, with the on-delete actions there.
    """

    def __init__(self, graph: Graph, commit_all: CommitAll) -> None:
        self._graph = graph
        self._commit_all = commit_all

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
                await self.run(node, items)
            except AutoCRUDError as error:
                logger.warning("On-delete actions of %s failed and are tried again: %s", node.name, error)

    async def _set_null(self, reference: Reference, head: Head, deleted: Sequence[str], by: str | None) -> None:
        """Remove the ids of deleted resources from all references of a resource, in one new revision."""
        node, current = reference.source, head
        while not current.is_deleted:
            if current.data is None:
                logger.warning("%s %r keeps its reference: %s", node.name, head.resource_id, current.fault)
                return
            meta, references = meta_of(current), self._graph.outgoing(node.name)
            encoded = Encoded(current.data, await blobs_of(node, meta))
            removed = {reference.target.name: frozenset(deleted)}
            write = await set_null_write(node, references, meta, encoded, removed, by)
            if write is None:
                return
            try:
                await node.storage.commit(write)
            except Conflict:
                found = await node.storage.get(head.resource_id, current=True)
                if found is None:
                    return
                current = found
                continue
            except StorageUnavailable:
                raise
            except AutoCRUDError as error:
                logger.warning("%s %r keeps its reference: %s", node.name, head.resource_id, error)
            return

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
        """Delete a page of referrers together. A referrer that changed meanwhile is found again.

        Returns the tasks of these deletes that are to be run.
        """
        followed, items = self._graph.has_on_delete_actions(reference.source.name), []
        for head in heads:
            meta = meta_of(head)
            after = next_meta(meta, author_after(deleted.deleted_by(reference, head), meta), is_deleted=True)
            write = Write(CommitKind.delete, meta.version, after, has_task=followed)
            items.append(PlannedWrite(reference.source, write, head))
        # The first delete named its dependents in its store. Those in another store may have dependents of their own.
        is_named = reference.is_stored or reference.source.storage.store is None
        if is_named:
            outcomes = await reference.source.storage.commit_all([item.write for item in items])
        else:
            outcomes = await self._commit_all(items)
        for refused in outcomes:
            if refused is not None and not isinstance(refused, Conflict):
                raise refused
        pairs = zip(items, outcomes, strict=True)
        return [on_delete_task_of(item.write) for item, refused in pairs if refused is None and followed and is_named]

    async def _set_null_all(self, reference: Reference, deleted: _DeletedPage) -> list[AutoCRUDError]:
        """Set the references of all referrers to null, some at a time. Return the errors."""
        failures: list[AutoCRUDError] = []
        ids = [item.resource_id for item in await _still_deleted(deleted.node, deleted.items)]
        query: Query | None = Query(reference.refers_to(ids), limit=_PAGE) if ids else None
        if query is not None:
            await reference.source.storage.get(ids[0], current=True)
        while query is not None:
            page = await reference.source.storage.search(query)
            releases = (
                self._set_null(reference, head, ids, deleted.deleted_by(reference, head)) for head in page.items
            )
            for outcome in await asyncio.gather(*releases, return_exceptions=True):
                if isinstance(outcome, AutoCRUDError):
                    failures.append(outcome)
                elif outcome is not None:
                    raise outcome
            query = None if page.next is None else replace(query, after=page.next)
        return failures


async def _still_deleted(node: ModelNode, items: Sequence[OnDeleteTask]) -> list[OnDeleteTask]:
    """Return the tasks whose resources were neither restored nor created anew."""
    heads = await node.storage.get_many([item.resource_id for item in items], current=True)
    return [item for item in items if item.resource_id not in heads or heads[item.resource_id].is_deleted]
