"""Row storage: the storage of one model with the resources that a principal may see, and no others."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any

from autocrud.errors import InvalidParameter
from autocrud.guard.model_guard import ModelGuard, condition_of
from autocrud.guard.past_states import PastStates
from autocrud.policy.access import Right
from autocrud.policy.rules import Verdict, all_hold
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Query
from autocrud.query.resolver import combine
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import (
    Commit,
    Head,
    IndexProgress,
    OnDeleteTask,
    Outcome,
    Page,
    Revision,
    RevisionSpan,
    ScanItem,
    Write,
)


class RowStorage(IStorage):
    """Reads of one model's resources under its rules. A resource that the principal may not see does not exist.

    Writes are refused, because they need the resources before them: `GuardedCommits` judges and commits them.

    Args:
        inner: storage that hides nothing.
    """

    # A write finds the holder of a unique value without a right to lists.
    _list_rights: tuple[Right, ...] = (Right.read,)

    def __init__(self, inner: IStorage, guard: ModelGuard) -> None:
        self._inner = inner
        self._guard = guard
        self._past = PastStates(guard, inner)
        self.blobs = inner.blobs
        self.versions = inner.versions
        self.schemas = inner.schemas
        self.store = inner.store

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    def prepare(self, write: Write) -> Outcome:
        return self._inner.prepare(write)

    async def commit(self, write: Write) -> None:
        raise TypeError("a guarded storage does not write")

    async def commit_all(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        raise TypeError("a guarded storage does not write")

    async def get(self, resource_id: str, *, current: bool = False) -> Head | None:
        verdict = self._guard.verdict(Right.read)
        if verdict is False:
            return None
        head = await self._inner.get(resource_id, current=current)
        return head if head is not None and self._guard.holds(verdict, head) else None

    async def get_many(self, resource_ids: Sequence[str], *, current: bool = False) -> dict[str, Head]:
        verdict = self._guard.verdict(Right.read)
        if verdict is False:
            return {}
        heads = await self._inner.get_many(resource_ids, current=current)
        return {name: head for name, head in heads.items() if self._guard.holds(verdict, head)}

    async def search(self, query: Query) -> Page:
        past = () if query.at is None else (Right.history,)
        verdict = self._guard.require(*self._list_rights, *past)
        page = await self._inner.search(self._joined(query, verdict))
        if query.at is None or isinstance(verdict, bool):
            return page
        # Who does not see a resource now does not see its past.
        present = await self.get_many([head.resource_id for head in page.items])
        return Page([head for head in page.items if head.resource_id in present], page.next)

    async def count(self, query: Query) -> int:
        verdict = self._guard.require(Right.list, Right.read)
        if query.at is not None and not isinstance(verdict, bool):
            raise InvalidParameter("at", "cannot be counted with rules that depend on the resource: list the resources")
        return await self._inner.count(self._joined(query, verdict))

    async def snapshot_scan(self, query: Query, *, history: bool = False) -> AsyncIterator[ScanItem]:
        verdict = self._guard.require(Right.export, Right.read)
        # A line of a past state would need a verdict of its own, and an import needs all lines.
        if history and all_hold(verdict, self._guard.require(Right.history)) is not True:
            raise self._guard.refusal(Right.history)
        items: Any = self._inner.snapshot_scan(self._joined(query, verdict), history=history)
        async with aclosing(items):
            async for item in items:
                yield item

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        verdict = self._guard.require(Right.list, Right.read)
        where = combine(aggregation.where, condition_of(verdict))
        return await self._inner.aggregate(replace(aggregation, where=where))

    async def commits(self, resource_id: str, *, before: int | None = None, limit: int = 100) -> list[Commit]:
        head, verdict = await self._past_of(resource_id)
        if head is None:
            return []
        found: list[Commit] = []
        while len(found) < limit:
            page = await self._inner.commits(resource_id, before=before, limit=limit)
            found += [commit for commit in page if await self._past.allows_commit(verdict, commit, head)]
            if len(page) < limit:
                break
            before = page[-1].version
        return found[:limit]

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        head, verdict = await self._past_of(resource_id)
        commit = None if head is None else await self._inner.commit_at(resource_id, time)
        if head is None or commit is None or not await self._past.allows_commit(verdict, commit, head):
            return None
        return commit

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        head, verdict = await self._past_of(resource_id)
        if head is None:
            return []
        found: list[Revision] = []
        while len(found) < span.limit:
            page = await self._inner.revisions(resource_id, span)
            found += [item for item in page if await self._past.allows_revision(verdict, item, head)]
            if len(page) < span.limit:
                break
            span = replace(span, before=page[-1].version)
        return found[: span.limit]

    async def revision(self, resource_id: str, number: int, *, version: int | None = None) -> Revision | None:
        head, verdict = await self._past_of(resource_id)
        revision = None if head is None else await self._inner.revision(resource_id, number, version=version)
        if head is None or revision is None or not await self._past.allows_revision(verdict, revision, head):
            return None
        return revision

    async def data(self, item: Commit | Revision) -> bytes:
        return await self._inner.data(item)

    async def blobs_of(self, resource_id: str, version: int) -> list[str]:
        return await self._inner.blobs_of(resource_id, version)

    async def commit_of_blob(self, resource_id: str, file_id: str) -> Commit | None:
        head, verdict = await self._past_of(resource_id)
        commit = None if head is None else await self._inner.commit_of_blob(resource_id, file_id)
        if head is None or commit is None or not await self._past.allows_commit(verdict, commit, head):
            return None
        return commit

    async def expired_revisions(self, before: datetime, after: str, limit: int) -> list[str]:
        return await self._inner.expired_revisions(before, after, limit)

    async def pending_deletions(self, after: OnDeleteTask | None, limit: int) -> list[OnDeleteTask]:
        return await self._inner.pending_deletions(after, limit)

    async def complete(self, tasks: Sequence[OnDeleteTask]) -> None:
        await self._inner.complete(tasks)

    def fill_indexes(self) -> AsyncGenerator[IndexProgress, None]:
        return self._inner.fill_indexes()

    async def index_other_versions(self) -> None:
        await self._inner.index_other_versions()

    async def vacuum(self) -> None:
        await self._inner.vacuum()

    async def _past_of(self, resource_id: str) -> tuple[Head | None, Verdict]:
        """Return the current state of a resource that the principal may see, and what he may see of its past."""
        verdict = self._guard.verdict(Right.read)
        head = None if verdict is False else await self._inner.get(resource_id)
        return (head if head is not None and self._guard.holds(verdict, head) else None), verdict

    def _joined(self, query: Query, verdict: Verdict) -> Query:
        """Return a query with the condition of a verdict."""
        condition = condition_of(verdict)
        if condition is None:
            return query
        if query.at is not None and not self._guard.spec.temporal:
            name = self._guard.spec.name
            raise InvalidParameter("at", f"needs add_model(temporal=True), because of a rule of {name}")
        return replace(query, where=combine(query.where, condition))
