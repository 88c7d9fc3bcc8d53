"""ResourceManager: every operation on one model's resources. It knows rules, and neither HTTP nor storage formats."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from uuid_utils import uuid7

from autocrud.errors import (
    Conflict,
    Deleted,
    InvalidParameter,
    NotFound,
    PreconditionFailed,
)
from autocrud.model import ModelSpec
from autocrud.query.conditions import Equals, Query
from autocrud.query.cursor import decode_cursor, encode_cursor
from autocrud.resource import (
    CommitKind,
    ResourceMeta,
    RevisionInfo,
    RevisionStatus,
    check_resource_id,
    timestamp,
)
from autocrud.storage.base import Head, IStorage, Write

T = TypeVar("T")

MAX_LIMIT = 1000
SCHEMA_VERSION = 1

# The tags that a caller's precondition accepts; `ANY` accepts every state of an existing resource.
Tags = Collection[str]
ANY: Tags = ("*",)


@dataclass(slots=True)
class Resource(Generic[T]):
    """A resource as it was read: stored JSON, parsed where somebody asks."""

    spec: ModelSpec[T]
    head: Head

    @property
    def data_json(self) -> bytes:
        """The data as stored."""
        if self.head.data is None:
            raise LookupError("a storage hands out heads with their data")
        return self.head.data

    @property
    def data(self) -> T:
        """The data as a value of the model. Raises Pydantic's ValidationError where the model has changed since."""
        return self.spec.decode(self.data_json)

    @property
    def meta(self) -> ResourceMeta:
        """Where the resource stands."""
        return ResourceMeta.model_validate_json(self.head.meta)

    @property
    def revision_info(self) -> RevisionInfo:
        """The current revision."""
        return RevisionInfo.model_validate_json(self.head.revision_info)

    @property
    def resource_id(self) -> str:
        """The resource's id."""
        return self.head.resource_id

    @property
    def tag(self) -> str:
        """The opaque tag of this state, for a later precondition."""
        return self.head.tag


@dataclass(frozen=True, slots=True)
class ResourcePage(Generic[T]):
    """One page of a list; `next_cursor` leads to the following one, None on the last."""

    items: list[Resource[T]]
    next_cursor: str | None


class ResourceManager(Generic[T]):
    """The resources of one model.

    A value to store is an instance of the model, anything that the model validates to one, or JSON as bytes. Where
    `if_match` is given, the write happens only if the resource's tag is among these; else it is applied to whatever
    state is the newest. Methods raise `StorageUnavailable` where the storage is away.
    """

    def __init__(self, spec: ModelSpec[T], storage: IStorage) -> None:
        self.spec = spec
        self._storage = storage

    async def create(self, value: Any, *, resource_id: str | None = None, by: str | None = None) -> Resource[T]:
        """Store a new resource, under a new UUIDv7 (RFC 9562) or the id given.

        Raises:
            InvalidInput: the value or the id is refused.
            AlreadyExists: the id is taken, if only by a soft-deleted resource.
            UniqueViolation: a live resource holds a unique value of it.
        """
        resource_id = str(uuid7()) if resource_id is None else check_resource_id(resource_id)
        data = self._encode(value)
        now = datetime.now(UTC)
        revision = _revision(resource_id, 1, None, now, by, data)
        meta = ResourceMeta(
            resource_id=resource_id,
            version=1,
            current_revision_id=revision.revision_id,
            total_revision_count=1,
            is_deleted=False,
            created_time=now,
            updated_time=now,
            created_by=by,
            updated_by=by,
            schema_version=SCHEMA_VERSION,
            status=RevisionStatus.stable,
        )
        write = Write(CommitKind.create, 0, meta, self.spec.index_values(data), revision, data)
        await self._storage.commit(write)
        return self._after(write, None)

    async def get(self, resource_id: str, *, include_deleted: bool = False) -> Resource[T]:
        """Read a resource.

        Raises:
            InvalidParameter: no resource can have this id.
            NotFound: there is none.
            Deleted: it is soft-deleted, and `include_deleted` is not set.
        """
        return await self._get(resource_id, include_deleted, current=False)

    async def _get(self, resource_id: str, include_deleted: bool, *, current: bool) -> Resource[T]:
        head = await self._storage.get(check_resource_id(resource_id), current=current)
        if head is None:
            raise NotFound(self.spec.name, resource_id)
        if head.is_deleted and not include_deleted:
            raise Deleted(self.spec.name, resource_id)
        return Resource(self.spec, head)

    async def search(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        limit: int = 20,
        cursor: str | None = None,
        include_deleted: bool = False,
    ) -> ResourcePage[T]:
        """One page of the resources whose index fields have these values, newest first.

        Raises:
            InvalidParameter: a field is not indexed, a value is not one that it can have, `limit` is not within 1 and
                1000, or the cursor is not one of this query.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidParameter("limit", f"must be from 1 to {MAX_LIMIT}")
        query = self._query(where, include_deleted, limit)
        if cursor is not None:
            query = Query(query.where, include_deleted, limit, decode_cursor(query, cursor))
        page = await self._storage.search(query)
        following = None if page.next is None else encode_cursor(query, page.next)
        return ResourcePage([Resource(self.spec, head) for head in page.items], following)

    async def count(self, where: Mapping[str, Any] | None = None, *, include_deleted: bool = False) -> int:
        """How many resources `search` would find on all its pages. Raises as it does."""
        return await self._storage.count(self._query(where, include_deleted, 1))

    async def replace(
        self, resource_id: str, value: Any, *, if_match: Tags | None = None, by: str | None = None
    ) -> Resource[T]:
        """Append a revision with this data. The same data again makes no revision, and changes nothing.

        Raises:
            InvalidInput, NotFound, Deleted, PreconditionFailed, UniqueViolation.
        """
        data = self._encode(value)

        def update(current: Resource[T], now: datetime) -> Write | None:
            if current.data_json == data:
                return None
            meta = current.meta
            number = meta.total_revision_count + 1
            revision = _revision(resource_id, number, meta.current_revision_id, now, by, data)
            changed = _moved(meta, now, by, current_revision_id=revision.revision_id, total_revision_count=number)
            index = self.spec.index_values(data)
            return Write(CommitKind.update, meta.version, changed, index, revision, data)

        return await self._change(resource_id, if_match, update)

    async def delete(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Delete softly: the history stays, and `restore` undoes it.

        Raises:
            InvalidParameter, NotFound, Deleted, PreconditionFailed.
        """

        def delete(current: Resource[T], now: datetime) -> Write | None:
            meta = current.meta
            return Write(CommitKind.delete, meta.version, _moved(meta, now, by, is_deleted=True))

        return await self._change(resource_id, if_match, delete)

    async def restore(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Undo a soft delete. Restoring what is not deleted changes nothing.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed, UniqueViolation.
        """

        def restore(current: Resource[T], now: datetime) -> Write | None:
            meta = current.meta
            if not meta.is_deleted:
                return None
            return Write(CommitKind.restore, meta.version, _moved(meta, now, by, is_deleted=False))

        return await self._change(resource_id, if_match, restore, include_deleted=True)

    async def purge(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> None:
        """Erase a resource, deleted or not, with its metadata and all its revisions. This cannot be undone.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed.
            StorageUnavailable: also where it is purged, but bytes of it are still to be erased.
        """

        def purge(current: Resource[T], now: datetime) -> Write | None:
            meta = current.meta
            return Write(CommitKind.purge, meta.version, _moved(meta, now, by, is_deleted=True, created_by=None))

        await self._change(resource_id, if_match, purge, include_deleted=True)

    async def _change(
        self,
        resource_id: str,
        if_match: Tags | None,
        change: Callable[[Resource[T], datetime], Write | None],
        *,
        include_deleted: bool = False,
    ) -> Resource[T]:
        """Read, check, write; and again where somebody else was faster, until the precondition fails or it is done."""
        while True:
            # As of now: what a stale read shows, somebody has changed, and a write must not be judged by it.
            current = await self._get(resource_id, include_deleted, current=True)
            if if_match is not None and current.tag not in if_match and "*" not in if_match:
                raise PreconditionFailed(resource_id, current.tag)
            # A clock may lag behind the one that wrote before; times follow the order of the commits.
            write = change(current, max(datetime.now(UTC), current.meta.updated_time))
            if write is None:
                return current
            try:
                await self._storage.commit(write)
            except Conflict:
                continue
            return self._after(write, current)

    def _encode(self, value: Any) -> bytes:
        return self.spec.parse(value) if isinstance(value, bytes) else self.spec.encode(value)

    def _query(self, where: Mapping[str, Any] | None, include_deleted: bool, limit: int) -> Query:
        conditions = [self._condition(name, value) for name, value in (where or {}).items()]
        return Query(tuple(conditions), include_deleted, limit)

    def _condition(self, name: str, value: Any) -> Equals:
        field = self.spec.index_field(name)
        try:
            return Equals(name, field.filter_value(value))
        except ValidationError as error:
            raise InvalidParameter(name, error.errors()[0]["msg"]) from error
        except (ValueError, ArithmeticError) as error:
            raise InvalidParameter(name, str(error)) from error

    def _after(self, write: Write, before: Resource[T] | None) -> Resource[T]:
        """The resource as this write left it."""
        meta, old = write.meta, None if before is None else before.head
        revision_json = write.revision_json or (old.revision_info if old else b"")
        data = write.data if old is None or write.data is not None else old.data
        created_time = timestamp(meta.created_time)
        head = Head(
            meta.resource_id, meta.version, meta.is_deleted, created_time, write.meta_json, revision_json, data, ""
        )
        return Resource(self.spec, head)


def _moved(meta: ResourceMeta, now: datetime, by: str | None, **changes: Any) -> ResourceMeta:
    """The metadata one version on."""
    return meta.model_copy(update={"version": meta.version + 1, "updated_time": now, "updated_by": by, **changes})


def _revision(
    resource_id: str, number: int, parent: str | None, now: datetime, by: str | None, data: bytes
) -> RevisionInfo:
    return RevisionInfo(
        revision_id=f"{resource_id}:{number}",
        parent_revision_id=parent,
        created_time=now,
        created_by=by,
        schema_version=SCHEMA_VERSION,
        status=RevisionStatus.stable,
        data_hash=f"sha256:{sha256(data).hexdigest()}",
        size=len(data),
    )
