"""Reference integrity: the rules of references that a write to one model keeps."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from autocrud.errors import AutoCRUDError, NewerSchema, Referenced, StorageUnavailable
from autocrud.references.committer import ReferenceCommitter
from autocrud.references.compensation import Compensator
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.references.on_delete import OnDeleteRunner, find_missing, not_found_error
from autocrud.references.referrer_writes import author_after, meta_of
from autocrud.resource import CommitKind
from autocrud.schema.markers import OnDelete
from autocrud.storage.ports.types import Head, Outcome, Write, abort_unless_all_accepted, on_delete_task_of
from autocrud.versioning.write_builder import next_meta

logger = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 10.0  # limit for running commits when the service stops; unfinished actions stay pending
_BATCH_SIZE = 200  # deletes whose on-delete actions run together
_CREATING_KINDS = (CommitKind.create, CommitKind.restore)
_REMOVING_KINDS = (CommitKind.delete, CommitKind.purge)
_WriteOnHead = tuple[Write, Head | None]
_Relying = tuple[int, Reference, str]  # position of a write in its group, a new reference, and the target's id
# Actions that forbid a live resource with a dangling reference.
_BINDING = (OnDelete.restrict, OnDelete.cascade)


class ReferenceIntegrity:
    """Commits writes of one model and keeps its references intact, in both directions.

    Writer and deleter may use different stores without a common transaction. So each checks, commits and checks again.
    The one that commits later sees the other.
    """

    def __init__(self, node: ModelNode, graph: Graph) -> None:
        self._node = node
        self._graph = graph
        self._storage = node.storage
        self._on_delete = OnDeleteRunner(graph)
        self._compensator = Compensator(node, self._on_delete)
        self.committer = ReferenceCommitter(graph)
        self._tasks: set[asyncio.Task[None]] = set()

    async def commit(self, write: Write, before: Head | None) -> None:
        """Commit a write and enforce its references.

        Args:
            before: the resource before the write.

        Raises:
            ReferenceNotFound: a new reference has no target. The write is not made, or is taken back.
            Referenced, NewerSchema: a referrer prevents the delete.
            StorageUnavailable: an outage. A delete may be committed with unfinished on-delete actions.
        """
        if not (self._new_references(write, before) or (self._has_on_delete_actions and write.kind in _REMOVING_KINDS)):
            await self._storage.commit(write)
            return
        if write.kind is CommitKind.purge and before is not None and not before.is_deleted:
            write = await self._soft_delete_first(write, before)
        (refused,) = await self.commit_all([(write, before)])
        if refused is not None:
            raise refused

    async def commit_all(self, writes: Sequence[_WriteOnHead], *, atomic: bool = False) -> list[Outcome]:
        """Commit writes together, like the storage's `commit_all`, and enforce their references.

        The writes may refer to each other. Resources that are deleted together do not prevent each other's delete. Each
        target model is read once before and once after the commit.

        Args:
            writes: each write with the resource before it; a resource to purge should be deleted already.
            atomic: refuse all writes if one is refused, also after the recheck.
        """
        if not (self._graph.outgoing(self._node.name) or self._has_on_delete_actions):
            return await self._storage.commit_all([write for write, _ in writes], atomic=atomic)
        outcomes: list[Outcome] = [None] * len(writes)
        await self._run_to_end(self._commit_all(writes, outcomes, atomic))
        return outcomes

    async def finish(self) -> None:
        """Finish pending on-delete tasks of this model."""
        await self._on_delete.finish(self._node)

    async def drain(self) -> None:
        """Wait a limited time for running commits. Unfinished on-delete actions stay pending."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CALL_TIMEOUT_S)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    @property
    def _has_on_delete_actions(self) -> bool:
        return self._graph.has_on_delete_actions(self._node.name)

    def _new_references(self, write: Write, before: Head | None) -> list[tuple[Reference, str]]:
        """Return the references that a write adds. A restore adds all of its references."""
        references = [reference for reference in self._graph.outgoing(self._node.name) if reference.ref.must_exist]
        restores = write.kind is CommitKind.restore
        if not references or (write.data is None and not restores):
            return []
        if restores:
            references = [reference for reference in references if reference.ref.on_delete is not OnDelete.dangling]
        old = self._index(before)
        new = old if restores else write.index
        own_id = write.meta.resource_id
        return [
            (reference, name)
            for reference in references
            for name in reference.ids(new)
            if (restores or name not in reference.ids(old)) and not (reference.target is self._node and name == own_id)
        ]

    def _index(self, head: Head | None) -> tuple[Any, ...]:
        return () if head is None else self._node.spec.stored_values(head.data)[0]

    async def _run_to_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work to its end even if the caller is cancelled, because a commit needs its recheck."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        await asyncio.shield(task)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("%s: %s", self._node.name, error)

    async def _commit_all(self, writes: Sequence[_WriteOnHead], outcomes: list[Outcome], atomic: bool) -> None:
        news = [self._new_references(write, before) for write, before in writes]
        # A target that the group itself creates exists after the commit.
        made = {write.meta.resource_id for write, _ in writes if not write.meta.is_deleted}
        absent = set(await self._find_lost(news))
        lost_references = {pair for pair in absent if not (pair[0].target is self._node and pair[1] in made)}
        for number, ((write, _), new) in enumerate(zip(writes, news, strict=True)):
            fatal = [pair for pair in new if pair in lost_references and not _can_set_null(pair[0], write)]
            outcomes[number] = not_found_error(self._node.spec, fatal) if fatal else None
        pairs = [(number, *pair) for number, new in enumerate(news) for pair in new if pair in absent]
        relying = [item for item in pairs if not _can_set_null(item[1], writes[item[0]][0])]
        self._refuse_dependents(writes, outcomes, range(len(writes)), relying)
        await self._refuse_restricted([write for write, _ in writes], outcomes)
        if atomic and any(outcomes):
            outcomes[:] = abort_unless_all_accepted(outcomes)
            return
        numbers = [number for number, refused in enumerate(outcomes) if refused is None]
        committed = await self._storage.commit_all([writes[number][0] for number in numbers], atomic=atomic)
        for number, refused in zip(numbers, committed, strict=True):
            outcomes[number] = refused
        if not all(outcomes):
            await self._recheck(writes, news, outcomes, atomic)

    def _refuse_dependents(
        self,
        writes: Sequence[_WriteOnHead],
        outcomes: list[Outcome],
        numbers: Sequence[int],
        relying: Sequence[_Relying],
    ) -> None:
        """Refuse writes that rely on refused writes of their group, and writes that rely on those."""
        dependents: dict[str, list[tuple[int, Reference]]] = {}
        for number, reference, name in relying:
            if reference.target is self._node:
                dependents.setdefault(name, []).append((number, reference))
        refused = [number for number in numbers if outcomes[number] is not None]
        while refused:
            write = writes[refused.pop()][0]
            name = write.meta.resource_id
            for number, reference in dependents.pop(name, ()) if write.kind in _CREATING_KINDS else ():
                if outcomes[number] is None:
                    outcomes[number] = not_found_error(self._node.spec, [(reference, name)])
                    refused.append(number)

    async def _refuse_restricted(self, writes: Sequence[Write], outcomes: list[Outcome]) -> None:
        """Refuse deletes that a referrer prevents, and mark deletes that need on-delete actions."""
        removing = [
            number
            for number, write in enumerate(writes)
            if write.kind in _REMOVING_KINDS and self._has_on_delete_actions
        ]
        leaving = [writes[number].meta.resource_id for number in removing]
        for start in range(0, len(removing), _BATCH_SIZE):
            page = removing[start : start + _BATCH_SIZE]
            if await self._refusal(leaving[start : start + _BATCH_SIZE], leaving) is not None:
                for number in page:
                    outcomes[number] = await self._refusal([writes[number].meta.resource_id], leaving)
            for number in page:
                writes[number].has_task = True

    async def _refusal(self, resource_ids: Sequence[str], leaving: Sequence[str]) -> Outcome:
        try:
            await self._on_delete.refuse(self._node, resource_ids, leaving)
        except (NewerSchema, Referenced) as error:
            return error
        return None

    async def _recheck(
        self,
        writes: Sequence[_WriteOnHead],
        news: Sequence[Sequence[tuple[Reference, str]]],
        outcomes: list[Outcome],
        atomic: bool,
    ) -> None:
        """Check again after the commit: compensate, set null, and run on-delete actions."""
        numbers = [number for number, refused in enumerate(outcomes) if refused is None]
        lost_references = set(await self._find_lost([news[number] for number in numbers]))
        deleted = [writes[number][0] for number in numbers if writes[number][0].kind is CommitKind.delete]
        late_errors = await self._find_late_referrers([write for write in deleted if write.has_task])
        for number in numbers:
            fatal = [pair for pair in news[number] if pair in lost_references and pair[0].ref.on_delete in _BINDING]
            name = writes[number][0].meta.resource_id
            outcomes[number] = not_found_error(self._node.spec, fatal) if fatal else late_errors.get(name)
        pairs = [(number, *pair) for number in numbers for pair in news[number]]
        self._refuse_dependents(
            writes, outcomes, numbers, [item for item in pairs if item[1].ref.on_delete in _BINDING]
        )
        group_failed = atomic and any(outcomes)
        to_compensate = [number for number in numbers if group_failed or outcomes[number] is not None]
        await self._compensator.compensate(
            [(*writes[number], [reference for reference, _ in news[number]]) for number in to_compensate]
        )
        if group_failed:
            outcomes[:] = abort_unless_all_accepted(outcomes)
            return
        deleted_numbers: list[int] = []
        for number in numbers:
            if outcomes[number] is None:
                write = writes[number][0]
                await self._set_null_now(write, [pair for pair in news[number] if pair in lost_references])
                deleted_numbers += [number] if write.has_task else []
        for start in range(0, len(deleted_numbers), _BATCH_SIZE):
            page = deleted_numbers[start : start + _BATCH_SIZE]
            outcome = await self._run_on_delete([writes[number][0] for number in page])
            for number in page:
                outcomes[number] = outcome

    async def _find_late_referrers(self, deleted: Sequence[Write]) -> dict[str, Referenced]:
        late_errors: dict[str, Referenced] = {}
        for start in range(0, len(deleted), _BATCH_SIZE):
            page = [on_delete_task_of(write) for write in deleted[start : start + _BATCH_SIZE]]
            late_errors |= await self._on_delete.find_late_referrers(self._node, page)
        return late_errors

    async def _set_null_now(self, write: Write, lost_references: Sequence[tuple[Reference, str]]) -> None:
        """Set references to null whose target was deleted during the write."""
        for reference, name in lost_references:
            head = await self._storage.get(write.meta.resource_id, current=True)
            if head is not None and reference.ref.on_delete is OnDelete.set_null:
                await self._on_delete.set_null(reference, head, [name], write.meta.updated_by)

    async def _find_lost(self, news: Sequence[Sequence[tuple[Reference, str]]]) -> list[tuple[Reference, str]]:
        return await find_missing(list(dict.fromkeys(pair for new in news for pair in new)))

    async def _soft_delete_first(self, purge: Write, before: Head) -> Write:
        """Delete the resource before its purge, because only a delete can be undone if a referrer appears."""
        meta = meta_of(before)
        after = next_meta(meta, author_after(purge.meta.updated_by, meta), is_deleted=True)
        await self.commit(Write(CommitKind.delete, meta.version, after), before)
        changes = {"version": after.version + 1, "updated_time": max(after.updated_time, purge.meta.updated_time)}
        return replace(purge, follows=after.version, meta=purge.meta.model_copy(update=changes))

    async def _run_on_delete(self, deleted: Sequence[Write]) -> Outcome:
        """Run the on-delete actions of deleted resources. Return the error if some failed."""
        try:
            await self._on_delete.run(self._node, [on_delete_task_of(write) for write in deleted])
        except AutoCRUDError as error:
            logger.warning("%s: %s", self._node.name, error)
            return StorageUnavailable(
                f"Deleted, but some on-delete actions failed; the maintenance finishes them. {error}"
            )
        return None


def _can_set_null(reference: Reference, write: Write) -> bool:
    """Return True if the write is a restore whose dangling reference may become null."""
    return write.kind is CommitKind.restore and reference.ref.on_delete is OnDelete.set_null
