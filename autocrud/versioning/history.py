"""History: revisions of one model's resources, and their state at a time."""

import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import Any

from pydantic_core import from_json

from autocrud.errors import Deleted, InvalidParameter, NotFound, RevisionNotFound
from autocrud.resource import ResourceMeta, revision_number
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.point_in_time import resource_at
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Commit, Head, Revision, RevisionSpan
from autocrud.versioning.difference import bounded_difference
from autocrud.versioning.stored_resource import Resource, RevisionPage


class History:
    """Reads the history of one model's resources."""

    def __init__(self, spec: ModelSpec[Any], storage: IStorage) -> None:
        self._spec = spec
        self._storage = storage

    async def revision(self, resource_id: str, number: int) -> Revision:
        """Return a revision.

        Raises:
            RevisionNotFound: the number does not exist, or the revision was pruned.
        """
        revision = await self._storage.revision(resource_id, number)
        if revision is None:
            raise RevisionNotFound(f"{resource_id}:{number}")
        return revision

    async def at_revision(self, head: Head, number: int) -> Resource[Any]:
        """Return a resource with another of its revisions instead of the current one."""
        return await self._resource(head, await self.revision(head.resource_id, number))

    async def at_time(self, head: Head, time: datetime, include_deleted: bool) -> Resource[Any]:
        """Return a resource as a reader would have seen it at a time.

        Raises:
            NotFound: the resource did not exist yet.
            Deleted: the resource was deleted then, and `include_deleted` is not set.
            RevisionNotFound: the data of that time was pruned.
        """
        commit = await self._storage.commit_at(head.resource_id, time)
        if commit is None:
            raise NotFound(self._spec.name, head.resource_id)
        if commit.is_deleted and not include_deleted:
            raise Deleted(self._spec.name, head.resource_id)
        return await self.at_commit(head, commit)

    async def at_commit(self, head: Head, commit: Commit) -> Resource[Any]:
        """Return a resource as one of its commits left it."""
        number = revision_number(commit.resource_id, commit.revision_id)
        revision = await self._storage.revision(commit.resource_id, number, version=commit.version)
        if revision is None:
            raise RevisionNotFound(commit.revision_id)
        data = await self._storage.data(revision)
        born = ResourceMeta.model_validate_json(head.meta)
        return Resource(self._spec, await self._storage.versions.head(resource_at(commit, born, revision.info, data)))

    async def page(
        self,
        head: Head,
        *,
        first: int | None,
        chain_only: bool,
        span: RevisionSpan,
        cursor: str | None,
        data: bool,
        max_bytes: int | None = None,
    ) -> RevisionPage[Any]:
        """Return a page of revisions, newest first.

        Args:
            first: number of the first revision; None for the newest, or for the current one of a chain.
            chain_only: only the ancestors of the first revision.
            span: time span and limit.
            cursor: cursor of the previous page of the same query.
            data: read the data, too.
            max_bytes: size of the data at which the page ends.

        Raises:
            RevisionNotFound: the `first` revision does not exist.
            InvalidParameter: the cursor belongs to another query.
        """
        query = repr((head.resource_id, first, chain_only, span.since, span.until))
        place = None if cursor is None else _read_cursor(query, cursor)
        found = await self._find(head, place, first, chain_only, span)
        following, limit = None, _items_in_size(found[: span.limit], max_bytes if data else None)
        if len(found) > limit:
            last, after = found[limit - 1], found[limit]
            number = revision_number(head.resource_id, after.info.revision_id)
            following = _write_cursor(query, number if chain_only else last.version)
        items = found[:limit]
        try:
            resources = [await self._resource(head, item) for item in items] if data else []
        except RevisionNotFound:  # one of them was given up after they were listed
            return await self.page(
                head, first=first, chain_only=chain_only, span=span, cursor=cursor, data=data, max_bytes=max_bytes
            )
        return RevisionPage([item.info for item in items], resources, following)

    async def _find(
        self, head: Head, place: int | None, first: int | None, chain_only: bool, span: RevisionSpan
    ) -> list[Revision]:
        """Return the revisions from a place on, one more than a page."""
        if chain_only:
            current = ResourceMeta.model_validate_json(head.meta).current_revision_id
            start = place or first or revision_number(head.resource_id, current)
            return [item async for item in self._chain(head.resource_id, start, span)]
        if place is None and first is not None:
            place = (await self.revision(head.resource_id, first)).version + 1
        return await self._storage.revisions(head.resource_id, replace(span, before=place, limit=span.limit + 1))

    async def difference(self, head: Head, first: int, second: int) -> list[dict[str, Any]]:
        """Return a JSON Patch (RFC 6902) that turns the data of one revision into the data of another.

        Raises:
            DifferenceTooLarge: the comparison takes too long.
        """
        revisions = [await self.revision(head.resource_id, number) for number in (first, second)]
        texts = [(await self._resource(head, revision)).shown_json for revision in revisions]
        before, after = map(from_json, texts)
        return await bounded_difference(before, after, sum(map(len, texts)))

    async def _resource(self, head: Head, revision: Revision) -> Resource[Any]:
        """Return a resource with the data of one of its revisions."""
        data = await self._storage.data(revision)
        stored = replace(head, revision_info=_json(revision.info), data=data, stored=None, fault=None)
        number = revision_number(head.resource_id, revision.revision_id)
        return Resource(self._spec, await self._storage.versions.head(stored), number)

    async def _chain(self, resource_id: str, start: int, span: RevisionSpan) -> AsyncIterator[Revision]:
        """Return a revision and its ancestors, one more than a page."""
        revision: Revision | None = await self.revision(resource_id, start)
        near: dict[str, Revision] = {}
        count = 0
        while revision is not None and count <= span.limit:
            if span.since is not None and revision.info.created_time < span.since:
                return
            if span.until is None or revision.info.created_time <= span.until:
                count += 1
                yield revision
            parent = revision.info.parent_revision_id
            if parent is None:
                return
            if parent not in near:
                # The parent is usually among the revisions made just before, so they are read together.
                below = RevisionSpan(before=revision.version, limit=span.limit)
                near = {item.info.revision_id: item for item in await self._storage.revisions(resource_id, below)}
            revision = near.get(parent)
            if revision is None:
                revision = await self._storage.revision(resource_id, revision_number(resource_id, parent))


def _json(model: Any) -> bytes:
    content: bytes = model.__pydantic_serializer__.to_json(model)
    return content


def _write_cursor(query: str, place: int) -> str:
    return urlsafe_b64encode(f"{place}/{zlib.crc32(query.encode()):08x}".encode()).decode().rstrip("=")


def _read_cursor(query: str, cursor: str) -> int:
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    match = re.fullmatch(r"(?P<place>[1-9]\d{0,17})/(?P<query>[0-9a-f]{8})", text)
    if match is None:
        raise InvalidParameter("cursor", "is not a cursor that this service gave out")
    if match["query"] != f"{zlib.crc32(query.encode()):08x}":
        raise InvalidParameter("cursor", "belongs to a query with other filters")
    return int(match["place"])


def _items_in_size(found: Sequence[Revision], max_bytes: int | None) -> int:
    """Return the number of revisions up to the one whose data reaches the size."""
    sizes = accumulate(item.info.size for item in found)
    return next((n for n, size in enumerate(sizes, 1) if max_bytes is not None and size >= max_bytes), len(found))
