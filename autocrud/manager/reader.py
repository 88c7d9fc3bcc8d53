"""ResourceReader: reads the resources of one model."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from autocrud.errors import InvalidParameter
from autocrud.manager.aggregate import GroupPage, aggregate
from autocrud.manager.heads import read_head
from autocrud.manager.queries import ModelQueries, Where, check_aware, check_limit
from autocrud.manager.unreadable import find_unreadable
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.query.resolver import Resolver
from autocrud.references.expand import Expanded, ReferrerPage, expand_references, find_referrers
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.resource import revision_number
from autocrud.storage.ports.types import Commit, Head, RevisionSpan
from autocrud.storage.row_view import position_of
from autocrud.versioning.history import History
from autocrud.versioning.stored_resource import Resource, ResourcePage, RevisionPage

T = TypeVar("T")


class ResourceReader(Generic[T]):
    """Reads the resources of one model.

    Arguments that name a revision accept its id or its number. Methods raise `StorageUnavailable` during an outage.

    Args:
        node: the model, with its storage.
        graph: the references between the models; contains `node`.
    """

    def __init__(self, node: ModelNode, graph: Graph) -> None:
        self.node = node
        self.graph = graph
        self.spec = node.spec
        self._storage = node.storage
        self._history = History(node.spec, node.storage)
        self._queries = ModelQueries(node, graph)

    @property
    def fields(self) -> Resolver:
        """The fields that filters and sort keys may name."""
        return self._queries.fields

    async def get(
        self,
        resource_id: str,
        *,
        revision_id: str | None = None,
        at: datetime | None = None,
        include_deleted: bool = False,
    ) -> Resource[T]:
        """Return a resource.

        Args:
            revision_id: return the data of this revision instead of the current one.
            at: return the resource as of this time.

        Raises:
            InvalidParameter: no resource can have this id, or both `revision_id` and `at` are given.
            NotFound: the resource does not exist.
            RevisionNotFound: the revision does not exist, or it was pruned.
            Deleted: the resource is soft-deleted (or was, at that time), and `include_deleted` is not set.
        """
        if revision_id is None and at is None:
            return Resource(self.spec, await self._head(resource_id, include_deleted))
        if revision_id is not None and at is not None:
            raise InvalidParameter("at", "excludes revision_id")
        if at is not None:
            head = await self._head(resource_id, True)
            return await self._history.at_time(head, check_aware("at", at), include_deleted)
        head = await self._head(resource_id, include_deleted)
        return await self._history.at_revision(head, revision_number(resource_id, revision_id or ""))

    async def revisions(
        self,
        resource_id: str,
        *,
        first: str | None = None,
        chain_only: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 20,
        cursor: str | None = None,
        data: bool = False,
        include_deleted: bool = False,
        max_bytes: int | None = None,
    ) -> RevisionPage[T]:
        """Return one page of a resource's revisions, newest first.

        Args:
            first: begin with this revision instead of the newest.
            chain_only: return only the current revision, or `first`, and its ancestors.
            since: return only revisions that were created at or after this time.
            until: return only revisions that were created at or before this time.
            data: return the data of each revision, too.
            max_bytes: size of the data at which a page ends.

        Raises:
            InvalidParameter, NotFound, RevisionNotFound, Deleted: as `get`.
        """
        span = RevisionSpan(None, check_aware("since", since), check_aware("until", until), check_limit(limit))
        head = await self._head(resource_id, include_deleted)
        number = None if first is None else revision_number(resource_id, first)
        return await self._history.page(
            head, first=number, chain_only=chain_only, span=span, cursor=cursor, data=data, max_bytes=max_bytes
        )

    async def commits(
        self, resource_id: str, *, before: int | None = None, limit: int = 100, include_deleted: bool = False
    ) -> list[Commit]:
        """Return the last commits of a resource, newest first.

        Args:
            before: return only commits with a version below this one.

        Raises:
            InvalidParameter: no resource can have this id, or the limit is out of range.
            NotFound: the resource does not exist.
            Deleted: the resource is soft-deleted, and `include_deleted` is not set.
        """
        await self._head(resource_id, include_deleted)
        return await self._storage.commits(resource_id, before=before, limit=check_limit(limit))

    async def diff(
        self, resource_id: str, first: str, second: str, *, include_deleted: bool = False
    ) -> list[dict[str, Any]]:
        """Return the JSON Patch (RFC 6902) that turns the data of the first revision into the data of the second.

        Raises:
            InvalidParameter, NotFound, RevisionNotFound, Deleted: as `get`.
            DifferenceTooLarge: the comparison takes too long.
        """
        head = await self._head(resource_id, include_deleted)
        numbers = revision_number(resource_id, first), revision_number(resource_id, second)
        return await self._history.difference(head, *numbers)

    async def search(
        self,
        where: Where = None,
        *,
        text: str | None = None,
        sort: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
        include_deleted: bool = False,
        at: datetime | None = None,
        unreadable: bool = False,
        expand: Sequence[str] = (),
        max_bytes: int | None = None,
    ) -> ResourcePage[T]:
        """Return one page of the resources that match a condition.

        Args:
            where: a condition built with `QB`, or values by URL parameter, as in `{"age__gte": 18}`.
            text: terms for the text search: words, `"a phrase"`, `begin*`; a leading `-` excludes a term.
            sort: fields in order, as in `-created_time,name`; by default newest, or best matches of `text`, first.
            include_deleted: include soft-deleted resources. A condition on `is_deleted` overrides this argument.
            at: return the resources as of this time; data that was pruned since is missing. Conditions, and sort keys
                other than creation time and id, need a model that is `temporal`.
            unreadable: return only resources whose stored data cannot be read; `head.fault` has the reason. The page
                may be short, because the search reads a limited number of resources.
            expand: reference fields whose targets the page has in `expanded`.
            max_bytes: size of the data, with the expanded data, at which a page ends. It has a next page then.

        Raises:
            InvalidParameter: a field is not indexed, a value does not fit its field, `limit` is not within 1 and
                1000, or the cursor belongs to another query.
        """
        query = self._queries.build(where, include_deleted, at, sort, check_limit(limit), text)
        if cursor is not None:
            query = replace(query, after=decode_cursor(query, cursor, self.spec.name))
        resolved = replace(await self._queries.resolve_reference_filters(query), max_bytes=max_bytes)
        search = partial(find_unreadable, self.spec, self._storage.search) if unreadable else self._storage.search
        page = await search(resolved)
        items, following = [Resource(self.spec, head) for head in page.items], page.next
        expanded = await self.expanded(items, expand, max_bytes=max_bytes) if expand else []
        if expand and len(expanded) < len(items):
            items, last = items[: len(expanded)], page.items[len(expanded) - 1]
            following = position_of(self.spec, resolved, last)
        next_cursor = None if following is None else encode_cursor(query, following, self.spec.name)
        return ResourcePage(items, next_cursor, expanded)

    async def count(
        self,
        where: Where = None,
        *,
        text: str | None = None,
        include_deleted: bool = False,
        at: datetime | None = None,
        at_most: int | None = None,
    ) -> int:
        """Return the number of resources on all pages of `search`. Other arguments and errors are those of `search`.

        Args:
            at_most: number at which the count stops, so that its time is bounded.
        """
        query = replace(self._queries.build(where, include_deleted, at, text=text), count_limit=at_most)
        number = await self._storage.count(await self._queries.resolve_reference_filters(query))
        return number if at_most is None else min(number, at_most)

    async def expanded(
        self, resources: Sequence[Resource[T]], fields: Sequence[str], *, max_bytes: int | None = None
    ) -> list[dict[str, Expanded]]:
        """Return the targets of the named references, for each of these resources of the model.

        Args:
            max_bytes: size of the resources and their targets at which the answer ends; it may have fewer items.

        Raises:
            InvalidParameter: a field is not a reference, or the targets of the first resource are over the size.
        """
        return await expand_references([self._reference(name) for name in fields], resources, max_bytes)

    async def referrers(
        self,
        resource_id: str,
        *,
        references: Sequence[Reference] | None = None,
        limit: int = 20,
        cursor: str | None = None,
        include_deleted: bool = False,
        max_bytes: int | None = None,
    ) -> ReferrerPage:
        """Return one page of the referrers of a resource, grouped by field, newest first.

        Args:
            references: the fields to search; all fields that refer to the model if None.
            include_deleted: include soft-deleted referrers, and accept a soft-deleted resource.
            max_bytes: size of the data at which a page ends.

        Raises:
            InvalidParameter, NotFound, Deleted: as `get`.
        """
        await self._head(resource_id, include_deleted)
        selected = self.graph.incoming(self.spec.name) if references is None else references
        return await find_referrers(
            selected,
            resource_id,
            limit=check_limit(limit),
            cursor=cursor,
            include_deleted=include_deleted,
            max_bytes=max_bytes,
        )

    async def aggregate(
        self,
        where: Where = None,
        *,
        group_by: str | None = None,
        metrics: str = "count",
        sort: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
        include_deleted: bool = False,
    ) -> GroupPage:
        """Aggregate the resources that match a condition, in groups.

        Args:
            group_by: index fields, as in `genre,year`; a list field groups by its items. None makes one group.
            metrics: as in `count,avg:price`; the functions are count, distinct, sum, avg, min and max.
            sort: one of the metrics, with `-` for descending. The default is the order of the keys, which alone
                supports a cursor.

        Raises:
            InvalidParameter: a name, the limit or the cursor is invalid, or a sum exceeds the range of a float.
        """
        query = self._queries.build(where, include_deleted)
        resolved = await self._queries.resolve_reference_filters(query)
        return await aggregate(
            self._storage,
            self.fields,
            query.where,
            resolved=resolved.where,
            group_by=group_by,
            metrics=metrics,
            sort=sort,
            limit=limit,
            cursor=cursor,
            include_deleted=query.include_deleted,
        )

    async def _head(self, resource_id: str, include_deleted: bool) -> Head:
        return await read_head(self.spec, self._storage, resource_id, include_deleted=include_deleted)

    def _reference(self, name: str) -> Reference:
        references = self.graph.outgoing(self.spec.name)
        for reference in references:
            if reference.field.name == name:
                return reference
        names = ", ".join(reference.field.name for reference in references) or "none"
        raise InvalidParameter("expand", f"{name!r} is not a reference of {self.spec.name}; references: {names}")
