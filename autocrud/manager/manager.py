"""ResourceManager: all operations on the resources of one model, independent of HTTP and of storage formats."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from uuid_utils import uuid7

from autocrud.errors import NotFound
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS, ResourceBlobs
from autocrud.manager.bulk.by_query import ByQueryResult, ByQueryWriter
from autocrud.manager.bulk.operation import BulkOp
from autocrud.manager.bulk.writer import BulkWriter
from autocrud.manager.migration import BATCH, Migration, MigrationProgress
from autocrud.manager.mutation_runner import MutationRunner
from autocrud.manager.ports import ManagerPorts
from autocrud.manager.queries import Where
from autocrud.manager.reader import ResourceReader
from autocrud.manager.repeated_requests import RepeatedRequests
from autocrud.manager.transaction.planner import Planner
from autocrud.manager.transfer.service import Transfer
from autocrud.manager.upsert.on_conflict import OnConflict, check_on_conflict
from autocrud.manager.upsert.upserter import Upserter, UpsertOptions
from autocrud.references.graph import Graph, ModelNode
from autocrud.resource import RevisionStatus, check_resource_id
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Repeated
from autocrud.versioning.history import History
from autocrud.versioning.json_patch import Patch, as_patch
from autocrud.versioning.mutations import MAX_PATCHED, Mutations, Tags
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author, apply_to, create_write, request_key

T = TypeVar("T")

KEY_SECONDS = 86400.0
_PAGE_SIZE = 200  # resources per page of the prune


class ResourceManager(ResourceReader[T]):
    """Reads and writes the resources of one model.

    A value to store is an instance of the model, a mapping that the model validates to an instance, or JSON as bytes.
    If `if_match` is given, a write happens only if it contains the tag of the resource. Otherwise the write applies
    to the newest state.

    Args:
        graph: the references between the models of a service, with a node of this model. The default graph has
            only this model.
        ports: storages and rules; those without rules if None.
        key_seconds: lifetime of an idempotency key, in seconds.
        max_blob_bytes: size limit of a blob, in bytes.
        upload_seconds: lifetime of an upload session, in seconds.

    Attributes:
        references: commits writes and enforces reference integrity.
        blobs: reads and uploads blobs.
        bulk: runs many operations.
        transfer: exports and imports the resources.
        planner: plans the operations of transactions.
    """

    def __init__(
        self,
        spec: ModelSpec[T],
        storage: IStorage,
        *,
        graph: Graph | None = None,
        ports: ManagerPorts | None = None,
        key_seconds: float = KEY_SECONDS,
        max_blob_bytes: int = MAX_BLOB_BYTES,
        upload_seconds: float = UPLOAD_SECONDS,
    ) -> None:
        if ports is None:
            node = ModelNode(spec, storage) if graph is None else graph.nodes[spec.name]
            ports = ManagerPorts.of(node, Graph([node]) if graph is None else graph)
        super().__init__(ports.reads, ports.graph)
        reads, changes, encoder = ports.reads.storage, ports.changes.storage, ports.encoder
        self.references = ports.references
        self.blobs = ResourceBlobs(spec, reads, max_bytes=max_blob_bytes, upload_seconds=upload_seconds)
        self._encoder = encoder
        history = History(spec, changes)
        self._mutations = mutations = Mutations(spec, changes, encoder, history, ports.fields)
        self._runner = runner = MutationRunner(spec, changes, self.references)
        self._repeated = RepeatedRequests(spec, reads, self._history, ports.keys)
        self._upserts = Upserter(spec, changes, encoder, mutations, runner, self.references, self._repeated)
        self.bulk = BulkWriter(spec, changes, encoder, mutations, self.references, self._upserts)
        self._by_query = ByQueryWriter(self._queries, reads, self.bulk)
        self.planner = Planner(ports.changes, encoder, mutations, self._upserts)
        self.transfer = Transfer(
            spec, reads, self._queries, encoder, mutations, runner, self.references, self.blobs.max_bytes
        )
        self._key_lifetime = timedelta(seconds=key_seconds)

    async def create(
        self,
        value: T | Mapping[str, Any] | bytes,
        *,
        resource_id: str | None = None,
        by: str | None = None,
        status: RevisionStatus | None = None,
        idempotency_key: str | None = None,
        on_conflict: OnConflict | str = OnConflict.error,
        max_bytes: int = MAX_PATCHED,
    ) -> Resource[T]:
        """Store a new resource. The default id is a new UUIDv7 (RFC 9562).

        Args:
            idempotency_key: repeating a creation with the same key and value returns the resource as it was created.
            on_conflict: effect if a live resource has the same values under a unique constraint; see `OnConflict`. To
                merge, the value may lack fields. `is_new` of the result tells if the resource was created.
            max_bytes: size limit of merged JSON, in bytes.

        Raises:
            InvalidInput: the value, the id, the key or the choice is invalid.
            KeyReused: the key was used with another value.
            AlreadyExists: a resource, possibly a soft-deleted one, has this id.
            UniqueViolation, DifferentHolders: live resources have the same values under unique constraints.
            Unreadable, NewerSchema, Conflict: the holder cannot be read, is newer than this process, or changes often.
        """
        if on_conflict != OnConflict.error:
            choice = check_on_conflict(self.spec, on_conflict, resource_id)
            options = UpsertOptions(by=by, status=status, max_bytes=max_bytes)
            return await self._upsert(value, choice, options, idempotency_key)
        resource_id = str(uuid7()) if resource_id is None else check_resource_id(resource_id)
        encoded = await self._encoder.encode(value)
        author = Author(by, datetime.now(UTC))
        key = None
        if idempotency_key is not None:
            content = value if isinstance(value, bytes) else encoded.data
            key = request_key(idempotency_key, content, author, self._key_lifetime)
        write = create_write(self.spec, resource_id, encoded, author, status or self.spec.default_status, key)
        try:
            await self.references.commit(write, None)
        except Repeated as repeated:
            if key is None:
                raise
            return await self._repeated.answer(repeated, key)
        return apply_to(self.spec, write, None)

    async def replace(
        self,
        resource_id: str,
        value: T | Mapping[str, Any] | bytes,
        *,
        if_match: Tags | None = None,
        by: str | None = None,
        modify: bool = False,
        status: RevisionStatus | None = None,
    ) -> Resource[T]:
        """Append a revision with this data. Equal data has no effect and makes no revision.

        Args:
            modify: edit the current revision instead of appending one; it must be a draft.
            status: status of the revision. If the data is equal, the current revision changes to this status.

        Raises:
            InvalidInput, UniqueViolation: as `create`.
            NotFound, Deleted: the resource does not exist, or is soft-deleted.
            PreconditionFailed: `if_match` does not contain the tag of the resource.
            NotDraft: `modify` is set, and the current revision is stable.
        """
        encoded = await self._mutations.replacements.encode(value)
        change = self._mutations.replace(encoded, modify=modify, status=status)
        return await self._runner.run(resource_id, change, if_match=if_match, by=by)

    async def patch(
        self,
        resource_id: str,
        patch: Patch | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        if_match: Tags | None = None,
        by: str | None = None,
        modify: bool = False,
        status: RevisionStatus | None = None,
        max_bytes: int = MAX_PATCHED,
    ) -> Resource[T]:
        """Apply a patch to the newest state, and store the result as `replace` does.

        Args:
            patch: a `MergePatch` or an `OperationsPatch`; also the members to merge, or the operations of a JSON Patch.
            max_bytes: size limit of the resulting JSON, in bytes.

        Raises:
            PatchFailed: the patch does not fit the newest state.
            PayloadTooLarge: the resulting JSON exceeds `max_bytes`.
            InvalidInput, NotFound, Deleted, PreconditionFailed, UniqueViolation, NotDraft: as `replace`.
        """
        change = self._mutations.patch(as_patch(patch), modify=modify, status=status, max_bytes=max_bytes)
        return await self._runner.run(resource_id, change, if_match=if_match, by=by)

    async def switch(
        self, resource_id: str, revision_id: str, *, if_match: Tags | None = None, by: str | None = None
    ) -> Resource[T]:
        """Make another revision the current one. No revision is created; the next update branches from it.

        Raises:
            InvalidParameter, NotFound, Deleted, PreconditionFailed, UniqueViolation: as `replace`.
            RevisionNotFound: the revision does not exist, or it was pruned.
        """
        return await self._runner.run(resource_id, self._mutations.switch(revision_id), if_match=if_match, by=by)

    async def delete(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Delete a resource softly: its history stays, and `restore` undoes the delete.

        Raises:
            InvalidParameter, NotFound, Deleted, PreconditionFailed: as `replace`.
            Referenced: a reference with `on_delete=restrict` keeps the resource, or a resource that would cascade.
            StorageUnavailable: an outage. Possibly the resource is deleted, and not all on-delete actions are done.
        """
        return await self._runner.run(resource_id, self._mutations.delete, if_match=if_match, by=by)

    async def restore(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> Resource[T]:
        """Undo a soft delete. Has no effect unless the resource is deleted.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed, UniqueViolation: as `replace`.
        """
        return await self._runner.run(
            resource_id, self._mutations.restore, if_match=if_match, by=by, include_deleted=True
        )

    async def delete_where(self, where: Where, *, by: str | None = None, dry_run: bool = False) -> ByQueryResult:
        """Delete softly all resources that match a condition, page by page; not atomic.

        Args:
            where: a condition as for `search`; required.
            dry_run: only count the resources.

        Raises:
            InvalidParameter: as `search`, or there is no condition.
            StorageUnavailable: some resources may be deleted; repeating the call deletes the others.
        """
        return await self._by_query.run(BulkOp.delete, where, by=by, dry_run=dry_run)

    async def patch_where(
        self,
        where: Where,
        patch: Patch | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        by: str | None = None,
        dry_run: bool = False,
        max_bytes: int = MAX_PATCHED,
    ) -> ByQueryResult:
        """Patch each live resource that matches a condition, once. `patch` and `max_bytes` are those of `patch`.

        Resources whose patched data is invalid are refused, and stay. Otherwise as `delete_where`.
        """
        return await self._by_query.run(
            BulkOp.patch, where, patch=as_patch(patch), by=by, dry_run=dry_run, max_bytes=max_bytes
        )

    async def restore_where(self, where: Where, *, by: str | None = None, dry_run: bool = False) -> ByQueryResult:
        """Restore all soft-deleted resources that match a condition. Otherwise as `delete_where`."""
        return await self._by_query.run(BulkOp.restore, where, by=by, dry_run=dry_run)

    async def purge(self, resource_id: str, *, if_match: Tags | None = None, by: str | None = None) -> None:
        """Erase a resource, deleted or not, with its metadata and all its revisions. This cannot be undone.

        Blobs that no other resource refers to are erased, too.

        Raises:
            InvalidParameter, NotFound, PreconditionFailed, Referenced: as `delete`.
            StorageUnavailable: an outage. Possibly the resource is purged, and its bytes are yet to be erased.
        """
        await self._runner.run(resource_id, self._mutations.purge, if_match=if_match, by=by, include_deleted=True)

    def migrate(
        self, *, dry_run: bool = False, index_only: bool = False, by: str | None = None, batch: int = BATCH
    ) -> AsyncGenerator[MigrationProgress, None]:
        """Rewrite the resources of older schema versions to the version of the model, each as a new revision.

        The service may run meanwhile. The status of a resource stays, and soft-deleted resources stay deleted. A
        resource that cannot be upgraded stays as it is. A stopped migration goes on with the next call.

        Args:
            dry_run: run the steps on all of these resources, and write nothing.
            index_only: write no revisions; only fill the index columns of the model.
            batch: number of resources per commit, from 1 to 1000; a batch has about 1 MiB of data at most.

        Yields:
            The progress at the beginning and after each batch, with the failures of the batch.

        Raises:
            InvalidParameter: `batch` is out of range, or `dry_run` and `index_only` are given.
            StorageUnavailable: an outage. Some resources of the batch may be migrated.
        """
        return Migration(self.node).run(dry_run=dry_run, index_only=index_only, by=by, batch=batch)

    def visible(self, resource: Resource[T]) -> Resource[T]:
        """Return the resource as the caller may see it: unchanged, because no rule restricts this manager."""
        return resource

    async def run_maintenance(self) -> None:
        """Finish pending on-delete tasks, prune old revisions, and remove expired data."""
        await self.references.finish()
        retention = self.spec.retention
        if retention is not None and retention.keep_for is not None:
            before, last_id = datetime.now(UTC) - retention.keep_for, ""
            while resource_ids := await self._storage.expired_revisions(before, last_id, _PAGE_SIZE):
                for resource_id in resource_ids:
                    await self._prune(resource_id)
                last_id = resource_ids[-1]
        await self._storage.vacuum()
        if self.spec.has_blobs:
            await self.blobs.drop_unused()

    async def _upsert(self, value: Any, choice: OnConflict, options: UpsertOptions, key: str | None) -> Resource[T]:
        body = await self._upserts.read(value, choice)
        if key is not None:
            options = replace(options, key=self._upserts.key(key, body, options.by, self._key_lifetime))
        return await self._upserts.run(body, options)

    async def _prune(self, resource_id: str) -> None:
        try:
            await self._runner.run(resource_id, self._mutations.prune, include_deleted=True)
        except NotFound:
            return  # purged since the page was read
