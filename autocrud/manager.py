"""ResourceManager: every operation on one model's resources. It knows rules, and neither HTTP nor storage formats."""

from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic_core import from_json, to_json
from uuid_utils import uuid7

from autocrud.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS, ResourceBlobs
from autocrud.encoding import Encoder
from autocrud.errors import (
    Conflict,
    KeyReused,
    NotDraft,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
)
from autocrud.model import ModelSpec
from autocrud.patch import Patch
from autocrud.reading import ResourceReader
from autocrud.resource import CommitKind, RevisionStatus, check_resource_id, revision_number, timestamp
from autocrud.results import Resource
from autocrud.retention import prunable
from autocrud.storage.base import IStorage
from autocrud.storage.values import Head, Repeated, Write
from autocrud.writes import (
    Author,
    Encoded,
    creation,
    modification,
    moved,
    pruning,
    request_key,
    switching,
    update,
)

T = TypeVar("T")

KEY_SECONDS = 86400.0
_SWEPT = 200  # resources at a time
_MAX_PATCHED = 4 * 1024 * 1024

# The tags that a caller's precondition accepts; `ANY` accepts every state of an existing resource.
Tags = Collection[str]
ANY: Tags = ("*",)

_Change = Callable[[Resource[T], Author], Awaitable[Write | None]]


class ResourceManager(ResourceReader[T]):
    """The resources of one model, for reading and writing.

    A value to store is an instance of the model, anything that the model validates to one, or JSON as bytes. Where
    `if_match` is given, the write happens only if the resource's tag is among these; else it is applied to whatever
    state is the newest.

    Args:
        key_seconds: how long an idempotency key is remembered.
        max_blob_bytes, upload_seconds: as `ResourceBlobs` has them.
    """

    def __init__(
        self,
        spec: ModelSpec[T],
        storage: IStorage,
        *,
        key_seconds: float = KEY_SECONDS,
        max_blob_bytes: int = MAX_BLOB_BYTES,
        upload_seconds: float = UPLOAD_SECONDS,
    ) -> None:
        super().__init__(spec, storage)
        self.blobs = ResourceBlobs(spec, storage, self, max_bytes=max_blob_bytes, upload_seconds=upload_seconds)
        self._encoder = Encoder(spec, storage.blobs)
        self._key_seconds = key_seconds

    async def create(
        self,
        value: Any,
        *,
        resource_id: str | None = None,
        by: str | None = None,
        status: RevisionStatus | None = None,
        idempotency_key: str | None = None,
    ) -> Resource[T]:
        """Store a new resource, under a new UUIDv7 (RFC 9562) or the id given.

        Args:
            idempotency_key: whoever repeats a creation of the same key and value gets the resource as it was created.

        Raises:
            InvalidInput: the value, the id or the key is refused.
            KeyReused: the key was used for another value.
            AlreadyExists: the id is taken, if only by a soft-deleted resource.
            UniqueViolation: a live resource holds a unique value of it.
        """
        resource_id = str(uuid7()) if resource_id is None else check_resource_id(resource_id)
        encoded = await self._encoder.encode(value)
        author = Author(by, datetime.now(UTC))
        key = None
        if idempotency_key is not None:
            content = value if isinstance(value, bytes) else encoded.data
            key = request_key(idempotency_key, content, author, timedelta(seconds=self._key_seconds))
        write = creation(self.spec, resource_id, encoded, author, status or self.spec.default_status, key)
        try:
            await self._storage.commit(write)
        except Repeated as repeated:
            if key is None or repeated.fingerprint != key.fingerprint:
                raise KeyReused from repeated
            return await self._as_created(repeated.resource_id)
        return self._after(write, None)

    async def replace(
        self,
        resource_id: str,
        value: Any,
        *,
        if_match: Tags | None = None,
        by: str | None = None,
        modify: bool = False,
        status: RevisionStatus | None = None,
    ) -> Resource[T]:
        """Append a revision with this data. The same data again makes no revision, and changes nothing.

        Args:
            modify: edit the current revision, which must be a draft, in place of appending one.
            status: of the revision; where the data is the same, and the status is not, the current one moves to it.

        Raises:
            InvalidInput, NotFound, Deleted, PreconditionFailed, UniqueViolation.
            NotDraft: `modify`, and the current revision is stable.
        """
        encoded = await self._encoder.encode(value)

        async def replace(current: Resource[T], author: Author) -> Write | None:
            return await self._rewritten(current, encoded, author, modify, status)

        return await self._change(resource_id, if_match, by, replace)

    async def patch(
        self,
        resource_id: str,
        patch: Patch,
        *,
        if_match: Tags | None = None,
        by: str | None = None,
        modify: bool = False,
        status: RevisionStatus | None = None,
        max_bytes: int = _MAX_PATCHED,
    ) -> Resource[T]:
        """Apply a patch to the newest state, and append the result as a revision, or else as `replace` has it.

        Args:
            max_bytes: the longest JSON that it may come to.

        Raises:
            PatchFailed: it does not fit the newest state.
            PayloadTooLarge: what it comes to is too long.
            InvalidInput, NotFound, Deleted, PreconditionFailed, UniqueViolation, NotDraft: as `replace`.
        """

        async def apply(current: Resource[T], author: Author) -> Write | None:
            # NaN, which JSON lacks, must not become null on the way to the validator that refuses it.
            patched = to_json(patch.apply(from_json(current.data_json), max_bytes), inf_nan_mode="constants")
            if len(patched) > max_bytes:
                raise PayloadTooLarge(max_bytes)
            return await self._rewritten(current, await self._encoder.encode(patched), author, modify, status)

        return await self._change(resource_id, if_match, by, apply)

    async def switch(
        self, resource_id: str, revision_id: str, *, if_match: Tags | None = None, by: str | None = None
    ) -> Resource[T]:
        """Make another revision the current one, without making a new one; the next update branches from it.

        Raises:
            InvalidParameter, NotFound, Deleted, PreconditionFailed, UniqueViolation.
            RevisionNotFound: there is no such revision, or it was pruned.
        """

        async def switch(current: Resource[T], author: Author) -> Write | None:
            meta, number = current.meta, revision_number(resource_id, revision_id)
            if meta.current_revision_id == f"{resource_id}:{number}":
                return None
            revision = await self._history.revision(resource_id, number)
            data = await self._storage.data(revision)
            blobs = await self._storage.blobs_of(resource_id, revision.written)
            return switching(self.spec, meta, revision.info, data, blobs, author)

        return await self._change(resource_id, if_match, by, switch)

    async def delete(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Delete softly: the history stays, and `restore` undoes it.

        Raises:
            InvalidParameter, NotFound, Deleted, PreconditionFailed.
        """

        async def delete(current: Resource[T], author: Author) -> Write | None:
            meta = current.meta
            return Write(CommitKind.delete, meta.version, moved(meta, author, is_deleted=True))

        return await self._change(resource_id, if_match, by, delete)

    async def restore(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Undo a soft delete. Restoring what is not deleted changes nothing.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed, UniqueViolation.
        """

        async def restore(current: Resource[T], author: Author) -> Write | None:
            meta = current.meta
            if not meta.is_deleted:
                return None
            return Write(CommitKind.restore, meta.version, moved(meta, author, is_deleted=False))

        return await self._change(resource_id, if_match, by, restore, include_deleted=True)

    async def purge(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> None:
        """Erase a resource, deleted or not, with its metadata and all its revisions. This cannot be undone.

        Blobs that no other resource refers to go with it.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed.
            StorageUnavailable: also where it is purged, but bytes of it are still to be erased.
        """

        async def purge(current: Resource[T], author: Author) -> Write | None:
            meta = current.meta
            return Write(CommitKind.purge, meta.version, moved(meta, author, is_deleted=True, created_by=None))

        await self._change(resource_id, if_match, by, purge, include_deleted=True)

    async def housekeep(self) -> None:
        """Give up the revisions whose time is over, erase what was given up, and drop what has expired."""
        retention = self.spec.retention
        if retention is not None and retention.keep_for is not None:
            before, after = datetime.now(UTC) - retention.keep_for, ""
            while outdated := await self._storage.outdated(before, after, _SWEPT):
                for resource_id in outdated:
                    await self._prune(resource_id)
                after = outdated[-1]
        await self._storage.tidy()

    async def _prune(self, resource_id: str) -> None:
        async def prune(current: Resource[T], author: Author) -> Write | None:
            meta = current.meta
            number = await prunable(self._storage, self.spec.retention, meta, meta.total_revision_count, author.now)
            return pruning(meta, number) if number else None

        try:
            await self._change(resource_id, None, None, prune, include_deleted=True)
        except NotFound:
            return  # purged meanwhile

    async def _rewritten(
        self, current: Resource[T], encoded: Encoded, author: Author, modify: bool, status: RevisionStatus | None
    ) -> Write | None:
        """The write that gives a resource this data; None where nothing changes."""
        meta, same = current.meta, current.data_json == encoded.data
        if modify and not same and meta.status is not RevisionStatus.draft:
            raise NotDraft(meta.current_revision_id)
        if modify or same:
            wanted = status or meta.status
            if same and wanted is meta.status:
                return None
            return modification(self.spec, meta, current.revision_info, encoded, author, wanted)
        number = meta.total_revision_count + 1
        prunes = await prunable(self._storage, self.spec.retention, meta, number, author.now)
        return update(self.spec, meta, encoded, author, status or self.spec.default_status, prunes)

    async def _as_created(self, resource_id: str) -> Resource[T]:
        """A resource as its creation left it."""
        head = await self._head(resource_id, True, current=True)
        for first in await self._storage.commits(resource_id, before=2, limit=1):
            return await self._history.at_commit(head, first)
        raise NotFound(self.spec.name, resource_id)

    async def _change(
        self,
        resource_id: str,
        if_match: Tags | None,
        by: str | None,
        change: _Change[T],
        *,
        include_deleted: bool = False,
    ) -> Resource[T]:
        """Read, check, write; and again where somebody else was faster, until the precondition fails or it is done."""
        while True:
            # As of now: what a stale read shows, somebody has changed, and a write must not be judged by it.
            current = Resource(self.spec, await self._head(resource_id, include_deleted, current=True))
            if if_match is not None and current.tag not in if_match and "*" not in if_match:
                raise PreconditionFailed(resource_id, current.tag)
            # A clock may lag behind the one that wrote before; times follow the order of the commits.
            author = Author(by, max(datetime.now(UTC), current.meta.updated_time))
            write = await change(current, author)
            if write is None:
                return current
            try:
                await self._storage.commit(write)
            except Conflict:
                continue
            return self._after(write, current)

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
