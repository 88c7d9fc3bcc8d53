"""ResourceReader: what can be asked of one model's resources."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Generic, TypeVar

from autocrud.errors import Deleted, InvalidParameter, NotFound
from autocrud.manager.aggregate import GroupPage, aggregate
from autocrud.query.conditions import Condition, Query, ReferenceFilter, leaves
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.query.resolver import Resolver, combine, filters_by_deleted, rank_order
from autocrud.references.expand import Expanded, ReferrerPage, expanded, referrers
from autocrud.references.graph import Graph, ModelNode, Reference
from autocrud.references.integrity import ReferenceIntegrity
from autocrud.references.reference_filters import resolve_reference_filters
from autocrud.resource import check_resource_id, revision_number
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head, RevisionSpan
from autocrud.versioning.history import History
from autocrud.versioning.stored_resource import Resource, ResourcePage, RevisionPage

T = TypeVar("T")
# What to ask for: a condition, or values by parameters.
Where = Condition | Mapping[str, Any] | None

MAX_LIMIT = 1000


class ResourceReader(Generic[T]):
    """The resources of one model, for reading.

    A revision is named by its id, or by its number. Methods raise `StorageUnavailable` where the storage is away.
    """

    def __init__(self, spec: ModelSpec[T], storage: IStorage) -> None:
        self.spec = spec
        self._storage = storage
        self._history = History(spec, storage)
        self.node = ModelNode(spec, storage)
        self.link(Graph([self.node]))

    def link(self, graph: Graph) -> None:
        """Make the references between models known; without it, those of the model to itself are."""
        self.graph = graph
        self.references = ReferenceIntegrity(self.node, graph)
        self.fields = Resolver(self.spec)
        for reference in graph.outgoing(self.spec.name):
            if reference.shows_target:
                self.fields.targets[reference.field.name] = Resolver(reference.target.spec)

    async def get(
        self,
        resource_id: str,
        *,
        revision_id: str | None = None,
        at: datetime | None = None,
        include_deleted: bool = False,
    ) -> Resource[T]:
        """Read a resource.

        Args:
            revision_id: bring this revision in the place of the current one.
            at: as a reader would have seen it then.

        Raises:
            InvalidParameter: no resource can have this id, or both a revision and a time are given.
            NotFound: there is none.
            RevisionNotFound: there is no such revision, or it was pruned.
            Deleted: it is soft-deleted (or was then), and `include_deleted` is not set.
        """
        if revision_id is None and at is None:
            return Resource(self.spec, await self._head(resource_id, include_deleted))
        if revision_id is not None and at is not None:
            raise InvalidParameter("at", "excludes revision_id")
        if at is not None:
            return await self._history.at_time(await self._head(resource_id, True), _aware("at", at), include_deleted)
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
    ) -> RevisionPage:
        """One page of a resource's revisions, newest first.

        Args:
            first: the revision to begin with, in place of the newest.
            chain_only: only the current revision, or `first`, and those that led to it, parent by parent.
            since, until: only those that were made within this time.
            data: bring the stored JSON, too.

        Raises:
            InvalidParameter, NotFound, RevisionNotFound, Deleted.
        """
        span = RevisionSpan(None, _aware("since", since), _aware("until", until), _checked(limit))
        head = await self._head(resource_id, include_deleted)
        number = None if first is None else revision_number(resource_id, first)
        return await self._history.page(head, first=number, chain_only=chain_only, span=span, cursor=cursor, data=data)

    async def diff(
        self, resource_id: str, first: str, second: str, *, include_deleted: bool = False
    ) -> list[dict[str, Any]]:
        """A JSON Patch (RFC 6902) which, applied to the data of the first revision, gives that of the second.

        Raises:
            InvalidParameter, NotFound, RevisionNotFound, Deleted.
        """
        await self._head(resource_id, include_deleted)
        numbers = revision_number(resource_id, first), revision_number(resource_id, second)
        return await self._history.difference(resource_id, *numbers)

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
    ) -> ResourcePage[T]:
        """One page of the resources for which a condition holds.

        Args:
            where: built with `QB`, or values by parameters as a URL has them, as in `{"age__gte": 18}`.
            text: what the fields that are searched must have: words, `"a phrase"`, `begin*`, and `-not` before these.
            sort: fields in order, as in `-created_time,name`; newest first by default, or where there is a text, the
                best answers first.
            include_deleted: also what is soft-deleted. A condition on `is_deleted` says so itself.
            at: as a reader would have seen them then; what has been pruned since has no data. Conditions, and orders
                but by creation time and id, need a model that is `temporal`.

        Raises:
            InvalidParameter: a field is not indexed, a value is not one that it can have, `limit` is not within 1 and
                1000, or the cursor is not one of this query.
        """
        query = self.query(where, include_deleted, at, sort, _checked(limit), text)
        if cursor is not None:
            query = replace(query, after=decode_cursor(query, cursor, self.spec.name))
        page = await self._storage.search(await self.resolve_reference_filters(query))
        following = None if page.next is None else encode_cursor(query, page.next, self.spec.name)
        return ResourcePage([Resource(self.spec, head) for head in page.items], following)

    async def count(
        self,
        where: Where = None,
        *,
        text: str | None = None,
        include_deleted: bool = False,
        at: datetime | None = None,
    ) -> int:
        """How many resources `search` would find on all its pages. Raises as it does."""
        return await self._storage.count(
            await self.resolve_reference_filters(self.query(where, include_deleted, at, text=text))
        )

    async def expanded(self, resources: Sequence[Resource[T]], fields: Sequence[str]) -> list[dict[str, Expanded]]:
        """What resources of the model refer to, for each of them by the names of the fields.

        One query for each model that is referred to, however many resources these are.

        Raises:
            InvalidParameter: a field is no reference.
        """
        return await expanded([self._reference(name) for name in fields], resources)

    async def referrers(
        self,
        resource_id: str,
        *,
        references: Sequence[Reference] | None = None,
        limit: int = 20,
        cursor: str | None = None,
        include_deleted: bool = False,
    ) -> ReferrerPage:
        """One page of the resources that refer to one, field by field, the newest first.

        Args:
            edges: by these fields of these models; by all, if None.
            include_deleted: also those that are deleted, and of one that is.

        Raises:
            InvalidParameter, NotFound, Deleted.
        """
        await self._head(resource_id, include_deleted)
        chosen = self.graph.incoming(self.spec.name) if references is None else references
        return await referrers(
            chosen, resource_id, limit=_checked(limit), cursor=cursor, include_deleted=include_deleted
        )

    def _reference(self, name: str) -> Reference:
        for reference in self.graph.outgoing(self.spec.name):
            if reference.field.name == name:
                return reference
        known = ", ".join(reference.field.name for reference in self.graph.outgoing(self.spec.name)) or "none"
        raise InvalidParameter("expand", f"{name!r} is not a reference of {self.spec.name}; these are: {known}")

    async def resolve_reference_filters(self, query: Query) -> Query:
        """The query with what it asks through references found."""
        return replace(query, where=await resolve_reference_filters(query.where, self.graph.nodes))

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
        """What the resources for which a condition holds come to, in groups.

        Args:
            group_by: index fields, as in `genre,year`; a list field groups by its items. One group of all if None.
            metrics: as in `count,avg:price`: count, distinct, sum, avg, min and max.
            sort: one of the metrics, with `-` for descending; by the keys if None, which alone can be paged.

        Raises:
            InvalidParameter: a name, a limit or the cursor cannot be used, or a sum is beyond a float.
        """
        query = self.query(where, include_deleted)
        return await aggregate(
            self._storage,
            self.fields,
            query.where,
            resolve_reference_filters=(await self.resolve_reference_filters(query)).where,
            group_by=group_by,
            metrics=metrics,
            sort=sort,
            limit=limit,
            cursor=cursor,
            include_deleted=query.include_deleted,
        )

    async def _head(self, resource_id: str, include_deleted: bool, *, current: bool = False) -> Head:
        head = await self._storage.get(check_resource_id(resource_id), current=current)
        if head is None:
            raise NotFound(self.spec.name, resource_id)
        if head.is_deleted and not include_deleted:
            raise Deleted(self.spec.name, resource_id)
        return head

    def query(
        self,
        where: Where,
        include_deleted: bool,
        at: datetime | None = None,
        sort: str | None = None,
        limit: int = 1,
        text: str | None = None,
    ) -> Query:
        """What a storage is asked. Raises as `search`."""
        asked = where if isinstance(where, Condition) else self.fields.parse_mapping(where)
        condition = self.fields.condition(asked)
        order = self.fields.sort(sort) if sort is not None else ()
        if text is not None:
            if at is not None:
                raise InvalidParameter("at", "excludes q: texts are searched as they are now")
            found = self.fields.text(text)
            condition, order = combine(condition, found), order or rank_order(found)
        query = Query(condition, order, include_deleted or filters_by_deleted(condition), limit, at=_aware("at", at))
        if at is not None:
            self._check_past(query)
        return query

    def _check_past(self, query: Query) -> None:
        if query.needs_history and not self.spec.temporal:
            needed = "needs a model that was registered by add_model(temporal=True)"
            raise InvalidParameter("at", f"with filters or an order {needed}, which {self.spec.name} was not")
        if any(isinstance(leaf, ReferenceFilter) for leaf in leaves(query.where)):
            raise InvalidParameter("at", "excludes filters through references, which lead to what is there now")


def _checked(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidParameter("limit", f"must be from 1 to {MAX_LIMIT}")
    return limit


def _aware(name: str, time: datetime | None) -> Any:
    """A time with an offset; one without has no place among the others."""
    if time is not None and time.tzinfo is None:
        raise InvalidParameter(name, "must have an offset from UTC, as in 2026-01-02T03:04:05Z")
    return time
