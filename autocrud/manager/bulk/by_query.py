"""Deleting and restoring whatever a condition selects, however many that are."""

from dataclasses import dataclass, field
from typing import Any

from autocrud.errors import AutoCRUDError, Deleted, InvalidParameter, NotFound, PreconditionFailed
from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.manager.bulk.writer import BulkWriter
from autocrud.manager.reader import ResourceReader, Where
from autocrud.query.builder import QB
from autocrud.query.conditions import Condition
from autocrud.query.resolver import filters_by_deleted
from autocrud.versioning.stored_resource import Resource

_PAGE = 500
_MAX_NAMES_IN_MESSAGE = 20


@dataclass(slots=True)
class ByQueryResult:
    """How many resources a condition selected, and how many of them changed; who refused, for the first ones."""

    matched: int = 0
    changed: int = 0
    refused: list[tuple[str, AutoCRUDError]] = field(default_factory=list)


class ByQueryWriter:
    """Changes what a condition selects: page by page, each resource only in a state in which the condition holds."""

    def __init__(self, reader: ResourceReader[Any], bulk: BulkWriter[Any]) -> None:
        self._reader = reader
        self._bulk = bulk

    async def run(self, op: BulkOp, where: Where, *, by: str | None, dry_run: bool) -> ByQueryResult:
        """Delete or restore what the condition selects.

        Raises:
            InvalidParameter: there is no condition, or as `ResourceReader.search`.
        """
        asked = where if isinstance(where, Condition) else self._reader.fields.parse_mapping(where)
        if asked is None:
            raise InvalidParameter("(query)", "must have a filter: not even all resources are changed without one")
        if op is BulkOp.restore or filters_by_deleted(self._reader.fields.condition(asked)):
            asked &= QB[self._named("is_deleted")].eq(op is BulkOp.restore)
        if dry_run:
            return ByQueryResult(await self._reader.count(asked))
        found, cursor = ByQueryResult(), None
        while True:
            page = await self._reader.search(asked, limit=_PAGE, cursor=cursor)
            await self._change(op, asked, page.items, by, found)
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def _change(
        self, op: BulkOp, asked: Condition, resources: list[Resource[Any]], by: str | None, found: ByQueryResult
    ) -> None:
        while resources:
            found.matched += len(resources)
            late: list[str] = []
            operations = [BulkOperation(op, resource.resource_id, if_match=[resource.tag]) for resource in resources]
            async for result in self._bulk.run(operations, by=by):
                if result.error is None:
                    found.changed += 1
                elif isinstance(result.error, PreconditionFailed):
                    late.append(result.resource_id or "")
                elif isinstance(result.error, Deleted | NotFound):
                    found.matched -= 1
                elif len(found.refused) < _MAX_NAMES_IN_MESSAGE:
                    found.refused.append((result.resource_id or "", result.error))
            found.matched -= len(late)
            # They moved on meanwhile: whether they are still selected is asked anew.
            again = asked & QB[self._named("resource_id")].in_(late)
            resources = (await self._reader.search(again, limit=_PAGE)).items if late else []

    def _named(self, name: str) -> str:
        """What queries call a field of the metadata, where the model may have one of that name."""
        return next(key for key, found in self._reader.fields.fields.items() if found.is_meta and found.name == name)
