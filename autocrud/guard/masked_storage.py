"""Masked storage: a row storage whose answers lack the fields that a principal may not see."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from autocrud.errors import InvalidParameter, NewerSchema, RevisionNotFound, Unreadable
from autocrud.guard.documents import Path, without_fields
from autocrud.guard.masking import masked_commit, masked_head, masked_revision
from autocrud.guard.model_guard import ModelGuard
from autocrud.guard.row_storage import RowStorage
from autocrud.policy.access import Right
from autocrud.query.aggregation import Aggregation, GroupRow
from autocrud.query.conditions import Condition, Matches, Query, ReferenceFilter, Term, leaves
from autocrud.query.text_search import RankField
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.search_document import DocumentField
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Commit, Head, Page, Revision, RevisionSpan, ScanItem, Write
from autocrud.storage.ports.versions import VersionReader


class MaskedStorage(RowStorage):
    """Reads without hidden fields. A query that names such a field is refused.

    `data` returns what is stored. Its readers pass it through `versions`, which masks it.
    """

    _list_rights = (Right.list, Right.read)

    def __init__(self, inner: IStorage, guard: ModelGuard) -> None:
        super().__init__(inner, guard)
        self.versions = _MaskedVersions(guard.spec, inner.versions, guard)

    async def get(self, resource_id: str, *, current: bool = False) -> Head | None:
        head = await super().get(resource_id, current=current)
        return None if head is None else masked_head(head, self._guard.hidden_paths())

    async def get_many(self, resource_ids: Sequence[str], *, current: bool = False) -> dict[str, Head]:
        hidden = self._guard.hidden_paths()
        heads = await super().get_many(resource_ids, current=current)
        return {name: masked_head(head, hidden) for name, head in heads.items()}

    async def search(self, query: Query) -> Page:
        hidden = self._guard.hidden_paths()
        if not hidden:
            return await super().search(query)
        self._refuse_hidden([*_fields_of(query.where), *(key.field for key in query.sort)], hidden)
        page = await super().search(query)
        return Page([masked_head(head, hidden) for head in page.items], page.next)

    async def count(self, query: Query) -> int:
        self._refuse_hidden(_fields_of(query.where), self._guard.hidden_paths())
        return await super().count(query)

    async def aggregate(self, aggregation: Aggregation) -> list[GroupRow]:
        metrics = [metric.field for metric in aggregation.metrics if metric.field is not None]
        fields = [*_fields_of(aggregation.where), *aggregation.group_by, *metrics]
        self._refuse_hidden(fields, self._guard.hidden_paths())
        return await super().aggregate(aggregation)

    async def snapshot_scan(self, query: Query, *, history: bool = False) -> AsyncIterator[ScanItem]:
        hidden = self._guard.hidden_paths()
        self._refuse_hidden(_fields_of(query.where), hidden)
        if history and hidden:
            # Data of old schema versions may have the fields under other names.
            raise self._guard.refusal(Right.history)
        items: Any = super().snapshot_scan(query, history=history)
        async with aclosing(items):
            async for item in items:
                yield masked_head(item, hidden) if isinstance(item, Head) else item

    async def commits(self, resource_id: str, *, before: int | None = None, limit: int = 100) -> list[Commit]:
        found = await super().commits(resource_id, before=before, limit=limit)
        return [masked_commit(commit) for commit in found] if self._guard.hidden_paths() else found

    async def commit_at(self, resource_id: str, time: datetime) -> Commit | None:
        found = await super().commit_at(resource_id, time)
        return masked_commit(found) if found is not None and self._guard.hidden_paths() else found

    async def revisions(self, resource_id: str, span: RevisionSpan) -> list[Revision]:
        found = await super().revisions(resource_id, span)
        return [masked_revision(item) for item in found] if self._guard.hidden_paths() else found

    async def revision(self, resource_id: str, number: int, *, version: int | None = None) -> Revision | None:
        found = await super().revision(resource_id, number, version=version)
        return masked_revision(found) if found is not None and self._guard.hidden_paths() else found

    async def commit_of_blob(self, resource_id: str, file_id: str) -> Commit | None:
        commit = await super().commit_of_blob(resource_id, file_id)
        if commit is None or not self._guard.hidden_paths():
            return commit
        try:
            data = await self._inner.data(commit)
            visible = await self.versions.data(data, commit.schema_version, commit.revision_id)
        except (RevisionNotFound, Unreadable, NewerSchema):
            return None
        return commit if file_id.encode() in visible else None

    def _refuse_hidden(self, fields: Sequence[IndexField | RankField], hidden: Sequence[Path]) -> None:
        """Refuse a query that would tell hidden values.

        Raises:
            InvalidParameter: a field of the query is hidden, or holds a hidden one.
        """
        for field in fields if hidden else ():
            for path in hidden:
                if any(_overlaps(used, path) for used in _paths_of(field)):
                    name = "q" if isinstance(field, DocumentField | RankField) else field.name
                    raise InvalidParameter(name, f"needs a field of {self._guard.spec.name} that you may not see")


class _MaskedVersions(VersionReader):
    """Reader of data of other schema versions, which masks the data after the upgrade."""

    def __init__(self, spec: ModelSpec[Any], inner: VersionReader, guard: ModelGuard) -> None:
        self._inner = inner
        self._spec = spec
        self._guard = guard

    def is_current(self, head: Head) -> bool:
        return self._inner.is_current(head) and not self._guard.hidden_paths()

    async def head(self, head: Head) -> Head:
        return masked_head(await self._inner.head(head), self._guard.hidden_paths())

    async def heads(self, heads: Sequence[Head]) -> list[Head]:
        hidden = self._guard.hidden_paths()
        return [masked_head(head, hidden) for head in await self._inner.heads(heads)]

    def refuse(self, write: Write) -> Any:
        return self._inner.refuse(write)

    async def data(self, data: bytes, version: int, revision_id: str) -> bytes:
        upgraded = await self._inner.data(data, version, revision_id)
        hidden = self._guard.hidden_paths()
        return without_fields(upgraded, hidden) if hidden else upgraded


def _fields_of(condition: Condition | None) -> list[IndexField]:
    return [leaf.field for leaf in leaves(condition) if isinstance(leaf, Term | Matches | ReferenceFilter)]


def _paths_of(field: IndexField | RankField) -> Iterator[Path]:
    if isinstance(field, RankField):
        field = field.document
    if isinstance(field, DocumentField):
        yield from field.paths
    elif not field.is_meta:
        yield field.path


def _overlaps(used: Path, hidden: Path) -> bool:
    shorter = min(len(used), len(hidden))
    return used[:shorter] == hidden[:shorter]
