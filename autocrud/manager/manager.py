"""ResourceManager: every operation on one model's resources. It knows rules, and neither HTTP nor storage formats."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from uuid_utils import uuid7

from autocrud.errors import (
    Conflict,
    KeyReused,
    NotFound,
)
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS, ResourceBlobs
from autocrud.manager.bulk.by_query import ByQueryResult, ByQueryWriter
from autocrud.manager.bulk.operation import BulkOp
from autocrud.manager.bulk.writer import BulkWriter
from autocrud.manager.reader import ResourceReader, Where
from autocrud.manager.transfer.service import Transfer
from autocrud.resource import RevisionStatus, check_resource_id
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head, Outcome, Repeated, Write
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.json_patch import Patch
from autocrud.versioning.mutations import MAX_PATCHED, Change, Mutations, Tags, apply_to, plan_write
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author, create_write, request_key

T = TypeVar("T")

KEY_SECONDS = 86400.0
_PAGE_SIZE = 200  # resources at a time


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
        self.transfer = Transfer(spec, storage, self, self._encoder, self.replace, self.blobs.max_bytes)
        self._changes = Mutations(spec, storage, self._encoder, self._history)
        self.bulk = BulkWriter(spec, storage, self._encoder, self._changes, self._commit_all)
        self._selected = ByQueryWriter(self, self.bulk)
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
        write = create_write(self.spec, resource_id, encoded, author, status or self.spec.default_status, key)
        try:
            await self.references.commit(write, None)
        except Repeated as repeated:
            if key is None or repeated.fingerprint != key.fingerprint:
                raise KeyReused from repeated
            return await self._as_created(repeated.resource_id)
        return apply_to(self.spec, write, None)

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
        change = self._changes.replace(await self._encoder.encode(value), modify=modify, status=status)
        return await self._change(resource_id, if_match, by, change)

    async def patch(
        self,
        resource_id: str,
        patch: Patch,
        *,
        if_match: Tags | None = None,
        by: str | None = None,
        modify: bool = False,
        status: RevisionStatus | None = None,
        max_bytes: int = MAX_PATCHED,
    ) -> Resource[T]:
        """Apply a patch to the newest state, and append the result as a revision, or else as `replace` has it.

        Args:
            max_bytes: the longest JSON that it may come to.

        Raises:
            PatchFailed: it does not fit the newest state.
            PayloadTooLarge: what it comes to is too long.
            InvalidInput, NotFound, Deleted, PreconditionFailed, UniqueViolation, NotDraft: as `replace`.
        """

        change = self._changes.patch(patch, modify=modify, status=status, max_bytes=max_bytes)
        return await self._change(resource_id, if_match, by, change)

    async def switch(
        self, resource_id: str, revision_id: str, *, if_match: Tags | None = None, by: str | None = None
    ) -> Resource[T]:
        """Make another revision the current one, without making a new one; the next update branches from it.

        Raises:
            InvalidParameter, NotFound, Deleted, PreconditionFailed, UniqueViolation.
            RevisionNotFound: there is no such revision, or it was pruned.
        """

        return await self._change(resource_id, if_match, by, self._changes.switch(revision_id))

    async def delete(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Delete softly: the history stays, and `restore` undoes it.

        Raises:
            InvalidParameter, NotFound, Deleted, PreconditionFailed.
            Referenced: others refer to it that keep it, or keep what would go with it.
            StorageUnavailable: also where it is deleted, but not all that refers to it has followed.
        """

        return await self._change(resource_id, if_match, by, self._changes.delete)

    async def restore(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Undo a soft delete. Restoring what is not deleted changes nothing.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed, UniqueViolation.
        """

        return await self._change(resource_id, if_match, by, self._changes.restore, include_deleted=True)

    async def delete_where(self, where: Where, *, by: str | None = None, dry_run: bool = False) -> ByQueryResult:
        """Delete softly whatever a condition selects, however many that are; page by page, not at once.

        Args:
            where: as `search` has it; there must be one.
            dry_run: only count them.

        Raises:
            InvalidParameter: as `search`; or there is no condition.
            StorageUnavailable: some may be deleted; the same again deletes the others.
        """
        return await self._selected.run(BulkOp.delete, where, by=by, dry_run=dry_run)

    async def restore_where(self, where: Where, *, by: str | None = None, dry_run: bool = False) -> ByQueryResult:
        """Undo the soft delete of whatever is deleted and a condition selects. Otherwise as `delete_where`."""
        return await self._selected.run(BulkOp.restore, where, by=by, dry_run=dry_run)

    async def purge(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> None:
        """Erase a resource, deleted or not, with its metadata and all its revisions. This cannot be undone.

        Blobs that no other resource refers to go with it.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed, Referenced.
            StorageUnavailable: also where it is purged, but bytes of it are still to be erased.
        """

        await self._change(resource_id, if_match, by, self._changes.purge, include_deleted=True)

    async def run_maintenance(self) -> None:
        """Finish deletes that others are to follow, give up and erase old revisions, and drop what has expired."""
        await self.references.finish()
        retention = self.spec.retention
        if retention is not None and retention.keep_for is not None:
            before, last_id = datetime.now(UTC) - retention.keep_for, ""
            while outdated := await self._storage.expired_revisions(before, last_id, _PAGE_SIZE):
                for resource_id in outdated:
                    await self._prune(resource_id)
                last_id = outdated[-1]
        await self._storage.vacuum()

    async def _prune(self, resource_id: str) -> None:
        try:
            await self._change(resource_id, None, None, self._changes.prune, include_deleted=True)
        except NotFound:
            return  # purged meanwhile

    async def _commit_all(self, writes: Sequence[tuple[Write, Head | None]], atomic: bool) -> list[Outcome]:
        return await self.references.commit_all(writes, atomic=atomic)

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
        change: Change[T],
        *,
        include_deleted: bool = False,
    ) -> Resource[T]:
        """Read, check, write; and again where somebody else was faster, until the precondition fails or it is done."""
        while True:
            # As of now: what a stale read shows, somebody has changed, and a write must not be judged by it.
            current = Resource(self.spec, await self._head(resource_id, include_deleted, current=True))
            write = await plan_write(current, if_match, by, change)
            if write is None:
                return current
            try:
                await self.references.commit(write, current.head)
            except Conflict:
                continue
            return apply_to(self.spec, write, current)
