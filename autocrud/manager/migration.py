"""Migration: rewrites the resources of older schema versions to the version of the model, while the service runs."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from autocrud.errors import AutoCRUDError, Conflict, InvalidParameter, StorageUnavailable, UniqueViolation, Unreadable
from autocrud.query.conditions import Query, Sort, Term
from autocrud.query.metadata_fields import META_FIELDS, RESOURCE_ID
from autocrud.query.operators import Operator
from autocrud.references.graph import ModelNode
from autocrud.references.referrer_writes import meta_of, next_revision
from autocrud.resource import RevisionInfo
from autocrud.schema.binary import binaries
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.types import Head, Write
from autocrud.storage.ports.versions import head_version
from autocrud.versioning.write_builder import Encoded

# Limits of a batch, which is one commit: other writes wait for it.
BATCH = 100  # resources
_MAX_BATCH = 1000
_BATCH_BYTES = 1024 * 1024

_SCHEMA_VERSION = next(field for field in META_FIELDS if field.name == "schema_version")


@dataclass(frozen=True, slots=True)
class MigrationFailure:
    """A resource that cannot be migrated. Its data stays as it is.

    Attributes:
        resource_id, revision_id: the resource and its current revision; empty if an index field cannot be filled.
        step: the step at fault, as text; empty if no step is at fault.
        field: the field at fault, or None.
        reason: the fault, as text.
    """

    resource_id: str
    revision_id: str
    step: str
    field: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """Progress of a migration after a batch.

    Attributes:
        done: number of resources so far.
        total: number of resources of older versions, as far as it is known.
        changed: number of resources with a new revision; in a dry run, of resources that would get one.
        skipped: number of resources that another writer purged or migrated meanwhile.
        failed: number of failures so far.
        failures: failures of this batch.
        last_id: id of the last resource of this batch; empty if no resource was read.
    """

    done: int
    total: int
    changed: int = 0
    skipped: int = 0
    failed: int = 0
    failures: tuple[MigrationFailure, ...] = ()
    last_id: str = ""


class Migration:
    """Rewrites the resources of one model. A resource of a newer schema version is left alone.

    Args:
        node: the model, with its storage.
    """

    def __init__(self, node: ModelNode) -> None:
        self._node = node
        self._spec: ModelSpec[Any] = node.spec
        self._storage = node.storage

    async def run(
        self, *, dry_run: bool, index_only: bool, by: str | None, batch: int
    ) -> AsyncGenerator[MigrationProgress, None]:
        """Migrate batch by batch, in the order of the ids. Arguments are those of `ResourceManager.migrate`."""
        if not 1 <= batch <= _MAX_BATCH:
            raise InvalidParameter("batch", f"must be from 1 to {_MAX_BATCH}")
        if dry_run and index_only:
            raise InvalidParameter("index_only", "excludes dry_run")
        progresses = self._fill_indexes() if index_only else self._migrate(dry_run, by, batch)
        async with aclosing(progresses):
            async for progress in progresses:
                yield progress

    async def _migrate(self, dry_run: bool, by: str | None, batch: int) -> AsyncGenerator[MigrationProgress, None]:
        older = Term(_SCHEMA_VERSION, Operator.lt, self._spec.schema.version)
        query = Query(older, (Sort(RESOURCE_ID),), include_deleted=True, limit=batch, max_bytes=_BATCH_BYTES)
        progress = MigrationProgress(0, await self._storage.count(query))
        yield progress
        while True:
            page = await self._storage.search(query)
            if dry_run:
                failures, skipped = self._faults(page.items), 0
            else:
                failures, skipped = await self._rewrite(page.items, by)
            done = progress.done + len(page.items)
            progress = MigrationProgress(
                done=done,
                # Other writers migrate resources meanwhile, or store more resources of an older version.
                total=done if page.next is None else max(progress.total, done),
                changed=progress.changed + len(page.items) - skipped - len(failures),
                skipped=progress.skipped + skipped,
                failed=progress.failed + len(failures),
                failures=tuple(failures),
                last_id=page.items[-1].resource_id if page.items else progress.last_id,
            )
            yield progress
            if page.next is None:
                return
            query = replace(query, after=page.next)

    def _faults(self, heads: Sequence[Head]) -> list[MigrationFailure]:
        """Return the failures of heads that were read, and so went through every step."""
        return [_failure(head, head.fault) for head in heads if head.fault is not None]

    async def _rewrite(self, heads: Sequence[Head], by: str | None) -> tuple[list[MigrationFailure], int]:
        """Commit the next revision of each head together. After a conflict, read the heads again.

        Returns:
            The failures, and the number of heads that need no revision any more.
        """
        failures, skipped = list[MigrationFailure](), 0
        while heads:
            failures += self._faults(heads)
            writes = await self._plan([head for head in heads if head.fault is None], by)
            lost_races = list[str]()
            outcomes = await self._storage.commit_all([write for _, write in writes])
            for (head, _), refused in zip(writes, outcomes, strict=True):
                if isinstance(refused, Conflict):
                    lost_races.append(head.resource_id)
                elif isinstance(refused, StorageUnavailable):
                    raise refused
                elif refused is not None:
                    failures.append(_failure(head, refused))
            found = await self._storage.get_many(lost_races, current=True) if lost_races else {}
            heads = [head for head in found.values() if head_version(head) < self._spec.schema.version]
            skipped += len(lost_races) - len(heads)
        return failures, skipped

    async def _plan(self, heads: Sequence[Head], by: str | None) -> list[tuple[Head, Write]]:
        """Return the next revision of each head. No validator runs, and the status stays."""
        writes, time_slice = list[tuple[Head, Write]](), TimeSlice()
        for head in heads:
            data = head.data or b""
            write = await next_revision(self._node, meta_of(head), Encoded(data, self._blobs_in(data)), by)
            writes.append((head, write))
            await time_slice.check()
        return writes

    def _blobs_in(self, data: bytes) -> tuple[str, ...]:
        """Return the blobs that upgraded data refers to. A step may add, remove or move a reference."""
        if not self._spec.has_blobs:
            return ()
        found = (binary.file_id for _, binary in binaries(self._spec.decode(data)))
        return tuple(dict.fromkeys(file_id for file_id in found if file_id))

    async def _fill_indexes(self) -> AsyncGenerator[MigrationProgress, None]:
        total = await self._storage.count(Query(include_deleted=True))
        yield MigrationProgress(0, total)
        reported = dict[str, str]()
        async with aclosing(self._storage.fill_indexes()) as progresses:
            async for progress in progresses:
                failures = tuple(
                    MigrationFailure("", "", "", name, f"the index field cannot be filled: {reason}")
                    for name, reason in progress.failed.items()
                    if name not in reported
                )
                reported |= progress.failed
                yield MigrationProgress(min(progress.done, total), total, failed=len(reported), failures=failures)
        yield MigrationProgress(total, total, failed=len(reported))


def _failure(head: Head, error: AutoCRUDError) -> MigrationFailure:
    revision_id = RevisionInfo.model_validate_json(head.revision_info).revision_id
    if isinstance(error, Unreadable):
        return MigrationFailure(head.resource_id, revision_id, error.step, error.field, error.reason)
    field = error.field if isinstance(error, UniqueViolation) else None
    return MigrationFailure(head.resource_id, revision_id, "", field, str(error))
