"""Bulk writer: many operations on one model's resources, streamed or atomic."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Generic, TypeVar

from uuid_utils import uuid7

from autocrud.errors import (
    Aborted,
    AlreadyExists,
    AutoCRUDError,
    Conflict,
    Deleted,
    InvalidParameter,
    NotFound,
    PreconditionFailed,
    StorageUnavailable,
)
from autocrud.manager.bulk.operation import BulkOp, BulkOperation, BulkResult
from autocrud.manager.bulk.steps import (
    Chunk,
    Step,
    iterate_portions,
    next_portion,
    raise_outage,
    raise_refused,
    take_wave,
)
from autocrud.manager.upsert.body import UpsertBody
from autocrud.manager.upsert.on_conflict import OnConflict, check_on_conflict
from autocrud.manager.upsert.upserter import Upserter, UpsertOptions
from autocrud.references.integrity import ReferenceIntegrity
from autocrud.resource import check_resource_id, timestamp
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.storage.ports.types import Outcome, Write
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.mutations import MAX_PATCHED, Change, Mutations, plan_write
from autocrud.versioning.replacement import size_of
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author, apply_to, create_write

T = TypeVar("T")

_CONCURRENT_UPSERTS = 100


class BulkWriter(Generic[T]):
    """Writes many operations in chunks. The next chunk gathers meanwhile, so at most two are in memory."""

    def __init__(
        self,
        spec: ModelSpec[T],
        storage: IStorage,
        encoder: Encoder[T],
        mutations: Mutations[T],
        references: ReferenceIntegrity,
        upserts: Upserter[T],
    ) -> None:
        self._spec = spec
        self._upserts = upserts
        self._storage = storage
        self._references = references
        self._encoder = encoder
        self._mutations = mutations

    async def run(
        self,
        operations: Iterable[BulkOperation] | AsyncIterable[BulkOperation],
        *,
        by: str | None = None,
        max_bytes: int = MAX_PATCHED,
    ) -> AsyncIterator[BulkResult]:
        """Run operations one after the other. Yield a result per operation, in order.

        Args:
            max_bytes: maximum size of a patched document, in bytes of JSON.

        Raises:
            StorageUnavailable: an outage, after the results of all started operations.
        """
        async for results in self.stream(iterate_portions(operations), by=by, max_bytes=max_bytes):
            for result in results:
                yield result

    async def stream(
        self,
        portions: AsyncIterator[Sequence[BulkOperation]],
        *,
        by: str | None = None,
        max_bytes: int = MAX_PATCHED,
    ) -> AsyncGenerator[list[BulkResult], None]:
        """Run operations that arrive in portions. Yield the results of a chunk together. Otherwise as `run`."""
        chunk, count = Chunk(), 0
        committing: asyncio.Task[list[BulkResult]] | None = None
        arriving: asyncio.Task[Sequence[BulkOperation] | None] | None = asyncio.ensure_future(next_portion(portions))
        try:
            while arriving or committing or chunk.steps:
                if committing is None and chunk.steps:
                    committing, chunk = asyncio.ensure_future(self._commit(chunk.steps, by, max_bytes)), Chunk()
                # No further than the results go out: a full chunk waits for the one before it.
                waiting = {task for task in (committing, None if chunk.is_full else arriving) if task is not None}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if committing is not None and committing.done():
                    results, committing = committing.result(), None
                    yield results
                    raise_outage(results)
                if arriving is not None and arriving.done():
                    portion = arriving.result()
                    arriving = None if portion is None else asyncio.ensure_future(next_portion(portions))
                    author, time_slice = Author(by, datetime.now(UTC)), TimeSlice()
                    for operation in portion or ():
                        await time_slice.check()
                        chunk.add(await self._prepare(count, operation, author, max_bytes))
                        count += 1
        finally:
            # A chunk on its way to the storage cannot be cancelled. Wait for it, and start nothing else.
            if arriving is not None:
                arriving.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await arriving
            if committing is not None:
                with suppress(Exception):
                    await asyncio.shield(committing)

    async def atomic(
        self, operations: Sequence[BulkOperation], *, by: str | None = None, max_bytes: int = MAX_PATCHED
    ) -> list[BulkResult]:
        """Run all operations with one commit point, or none. Each sees the effects of the ones before it.

        Raises:
            InvalidParameter: an operation has `on_conflict`. Its resource would depend on other operations.
            BulkRefused: an operation was refused; the error has the results.
            StorageUnavailable: the outcome is unknown; a read shows it.
        """
        if any(operation.on_conflict != OnConflict.error for operation in operations):
            raise InvalidParameter("on_conflict", "excludes atomic: send the operations without atomic=true")
        author, time_slice, steps = Author(by, datetime.now(UTC)), TimeSlice(), list[Step]()
        for index, operation in enumerate(operations):
            await time_slice.check()
            steps.append(await self._prepare(index, operation, author, max_bytes))
        while True:
            raise_refused(steps)
            await self._plan(steps, by)
            raise_refused(steps)
            writing = [(step, step.write) for step in steps if step.write is not None]
            outcomes = await self._references.commit_all([(write, step.before) for step, write in writing], atomic=True)
            first = next((refused for refused in outcomes if not isinstance(refused, Aborted | None)), None)
            if isinstance(first, Conflict):
                continue  # lost a race: plan all operations again
            for outcome in outcomes:
                if isinstance(outcome, StorageUnavailable):
                    raise outcome
            await self._record_outcomes(writing, outcomes)
            raise_refused(steps)
            return [step.result for step in steps]

    async def _prepare(self, index: int, operation: BulkOperation, author: Author, max_bytes: int) -> Step:
        """Prepare an operation as far as possible before the resource is read."""
        resource_id, op = operation.resource_id, operation.op
        result = BulkResult(index, op, resource_id)
        step = Step(operation, result)
        try:
            if operation.refused is not None:
                raise operation.refused
            if resource_id is not None:
                check_resource_id(resource_id)
            if operation.on_conflict != OnConflict.error:
                step.body = await self._read_upsert(operation)
                step.size = len(step.body.content)
            elif op is BulkOp.create or (op is BulkOp.update and operation.if_absent):
                encoded = await self._encoder.encode(operation.value)
                result.resource_id = resource_id or str(uuid7())
                status = self._spec.default_status
                step.write = create_write(self._spec, result.resource_id, encoded, author, status, None)
                step.size = len(encoded.data)
                result.created = True
            elif resource_id is None:
                raise InvalidParameter("id", f"must be given to {op}")
            elif op is BulkOp.update:
                value = await self._mutations.replacements.encode(operation.value)
                step.change, step.size = self._mutations.replace(value), size_of(value)
            elif op is BulkOp.patch and operation.patch is not None:
                step.change = self._mutations.patch(operation.patch, max_bytes=max_bytes)
            else:
                step.change = self._mutations.delete if op is BulkOp.delete else self._mutations.restore
        except AutoCRUDError as error:
            step.refuse(error)
        return step

    async def _read_upsert(self, operation: BulkOperation) -> UpsertBody:
        """Return the value of an upsert.

        Raises:
            InvalidParameter: the operation is no create, or as `check_on_conflict`.
            MalformedBody, InvalidData: the value is invalid.
        """
        if operation.op is not BulkOp.create or operation.if_absent:
            raise InvalidParameter("on_conflict", "is for a create without a precondition")
        choice = check_on_conflict(self._spec, operation.on_conflict, operation.resource_id)
        return await self._upserts.read(operation.value, choice)

    async def _commit(self, steps: list[Step], by: str | None, max_bytes: int) -> list[BulkResult]:
        """Commit a chunk in waves. A wave has at most one operation per resource, and sees the effects of earlier
        waves.
        """
        pending = deque(step for step in steps if step.result.error is None)
        while pending:
            wave = take_wave(pending)
            if wave[0].body is not None:
                await self._run_upserts(wave, UpsertOptions(by=by, max_bytes=max_bytes))
            else:
                pending.extendleft(reversed(await self._commit_wave(wave, by)))
        return [step.result for step in steps]

    async def _commit_wave(self, wave: list[Step], by: str | None) -> list[Step]:
        """Commit operations on different resources. Return the steps that lost a race."""
        try:
            await self._plan(wave, by)
        except StorageUnavailable as error:
            for step in wave:
                step.refuse(error)
            return []
        writing = [(step, step.write) for step in wave if step.write is not None and step.result.error is None]
        try:
            outcomes = await self._references.commit_all([(write, step.before) for step, write in writing])
        except StorageUnavailable as error:
            outcomes = [error] * len(writing)
        return await self._record_outcomes(writing, outcomes)

    async def _run_upserts(self, wave: list[Step], options: UpsertOptions) -> None:
        """Run upserts of different unique values at the same time. The storage commits those of one moment together."""
        limit = asyncio.Semaphore(_CONCURRENT_UPSERTS)

        async def run(step: Step, body: UpsertBody) -> None:
            async with limit:
                try:
                    resource = await self._upserts.run(body, options)
                except AutoCRUDError as error:
                    step.refuse(error)
                    step.result.unknown = isinstance(error, StorageUnavailable)
                    return
            step.result.resource_id, step.result.created = resource.resource_id, resource.is_new
            step.record(resource.head.version, resource.head.created_time)

        await asyncio.gather(*(run(step, step.body) for step in wave if step.body is not None))

    async def _plan(self, steps: list[Step], by: str | None) -> None:
        """Turn changes into writes, with one read for all. Each write sees the ones before it."""
        resource_ids = [step.operation.resource_id or "" for step in steps if step.change is not None]
        if not resource_ids:
            return
        heads = await self._storage.get_many(resource_ids, current=True)
        states = {resource_id: Resource(self._spec, head) for resource_id, head in heads.items()}
        time_slice = TimeSlice()
        for step in steps:
            await time_slice.check()
            resource_id = step.result.resource_id or ""
            current = states.get(resource_id)
            if step.change is not None:
                step.before = None if current is None else current.head
                try:
                    step.write = await self._plan_step(step, step.change, current, by)
                except AutoCRUDError as error:
                    step.refuse(error)
                    continue
            if step.write is not None:
                states[resource_id] = apply_to(self._spec, step.write, current)
            elif current is not None:
                step.record(current.head.version, current.head.created_time)

    async def _plan_step(
        self, step: Step, change: Change[T], current: Resource[T] | None, by: str | None
    ) -> Write | None:
        operation = step.operation
        if current is None:
            raise NotFound(self._spec.name, operation.resource_id or "")
        if current.head.is_deleted and operation.op is not BulkOp.restore:
            raise Deleted(self._spec.name, current.resource_id)
        return await plan_write(current, operation.if_match, by, change)

    async def _record_outcomes(self, writing: list[tuple[Step, Write]], outcomes: list[Outcome]) -> list[Step]:
        """Record the outcomes of writes. Return the steps that lost a race and have no precondition."""
        lost_races: list[Step] = []
        for (step, write), refused in zip(writing, outcomes, strict=True):
            if refused is None:
                step.record(write.meta.version, timestamp(write.meta.created_time))
            elif isinstance(refused, Conflict) and step.change is not None:
                lost_races.append(step)
            elif isinstance(refused, AlreadyExists) and step.operation.if_absent:
                head = await self._storage.get(write.meta.resource_id, current=True)
                step.refuse(PreconditionFailed(write.meta.resource_id, None if head is None else head.tag))
            else:
                step.refuse(refused)
                step.result.unknown = isinstance(refused, StorageUnavailable)
        return lost_races
