"""ByQueryWriter: deletes, restores or patches all resources that match a condition."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autocrud.errors import AutoCRUDError, Deleted, InvalidParameter, NotFound, PreconditionFailed
from autocrud.manager.bulk.operation import BulkOp, BulkOperation, BulkResult
from autocrud.manager.bulk.writer import BulkWriter
from autocrud.manager.queries import ModelQueries, Where
from autocrud.query.builder import QB
from autocrud.query.conditions import Condition, Query
from autocrud.query.resolver import filters_by_deleted
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head, Page
from autocrud.versioning.json_patch import Patch
from autocrud.versioning.mutations import MAX_PATCHED

_PAGE_SIZE = 500
_MAX_NAMES_IN_MESSAGE = 20


@dataclass(slots=True)
class ByQueryResult:
    """Result of a write by query.

    Attributes:
        matched: number of resources that the condition selected.
        changed: number of resources that were deleted, restored or patched.
        unchanged: number of resources that the patch leaves as they are.
        refused: id and error of the first resources that were refused.
    """

    matched: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: list[tuple[str, AutoCRUDError]] = field(default_factory=list)


class ByQueryWriter:
    """Writes to all resources that match a condition, page by page.

    A resource changes only in a state that matches the condition. Pages follow the creation time, which never changes,
    so that each resource is visited once, whether it still matches after its change or not.
    """

    def __init__(self, queries: ModelQueries, storage: IStorage, bulk: BulkWriter[Any]) -> None:
        self._queries = queries
        self._storage = storage
        self._bulk = bulk

    async def run(
        self,
        op: BulkOp,
        where: Where,
        *,
        by: str | None,
        dry_run: bool,
        patch: Patch | None = None,
        max_bytes: int = MAX_PATCHED,
    ) -> ByQueryResult:
        """Delete, restore or patch the resources that match the condition.

        Args:
            patch: patch of the operation `patch`.
            max_bytes: size limit of patched JSON, in bytes.
            dry_run: only count the resources.

        Raises:
            InvalidParameter: there is no condition, or as `ResourceReader.search`.
        """
        condition = self._queries.parse(where)
        if condition is None:
            raise InvalidParameter("(query)", "must have a filter: a write by query needs at least one condition")
        if op is BulkOp.restore or filters_by_deleted(self._queries.fields.condition(condition)):
            condition &= QB[self._meta_field("is_deleted")].eq(op is BulkOp.restore)
        query = self._queries.build(condition, False, limit=_PAGE_SIZE)
        if dry_run:
            return ByQueryResult(await self._storage.count(await self._queries.resolve_reference_filters(query)))
        result = ByQueryResult()

        def change(heads: Sequence[Head]) -> AsyncIterator[BulkResult]:
            operations = [BulkOperation(op, head.resource_id, patch=patch, if_match=[head.tag]) for head in heads]
            return self._bulk.run(operations, by=by, max_bytes=max_bytes)

        while True:
            page = await self._search(query)
            await self._change(change, condition, page.items, result)
            if page.next is None:
                return result
            query = replace(query, after=page.next)

    async def _change(
        self,
        change: Callable[[Sequence[Head]], AsyncIterator[BulkResult]],
        condition: Condition,
        heads: Sequence[Head],
        result: ByQueryResult,
    ) -> None:
        while heads:
            result.matched += len(heads)
            stale_ids: list[str] = []
            tags = {head.resource_id: head.tag for head in heads}
            async for outcome in change(heads):
                if outcome.error is None and outcome.tag == tags[outcome.resource_id or ""]:
                    result.unchanged += 1
                elif outcome.error is None:
                    result.changed += 1
                elif isinstance(outcome.error, PreconditionFailed):
                    stale_ids.append(outcome.resource_id or "")
                elif isinstance(outcome.error, Deleted | NotFound):
                    result.matched -= 1
                elif len(result.refused) < _MAX_NAMES_IN_MESSAGE:
                    result.refused.append((outcome.resource_id or "", outcome.error))
            result.matched -= len(stale_ids)
            if not stale_ids:
                return
            # Other writers have changed these resources since the search; the new states may not match any more.
            changed = condition & QB[self._meta_field("resource_id")].in_(stale_ids)
            heads = (await self._search(self._queries.build(changed, False, limit=_PAGE_SIZE))).items

    async def _search(self, query: Query) -> Page:
        return await self._storage.search(await self._queries.resolve_reference_filters(query))

    def _meta_field(self, name: str) -> str:
        """Return the query name of a metadata field, which differs if the model has a field of this name."""
        fields = self._queries.fields.fields
        return next(key for key, found in fields.items() if found.is_meta and found.name == name)
