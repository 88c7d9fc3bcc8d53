"""Steps of a bulk write: operations in progress, and the chunks and waves that they form."""

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from autocrud.errors import Aborted, AutoCRUDError, BulkRefused, InvalidInput, StorageUnavailable
from autocrud.manager.bulk.operation import BulkOperation, BulkResult
from autocrud.manager.upsert.body import UpsertBody
from autocrud.storage.ports.types import Head, Write
from autocrud.versioning.mutations import Change

# Limits of a chunk, which is committed and answered together: operations, and bytes of data.
CHUNK_OPERATIONS = 2000
MAX_FAULTS = 5  # of one operation
_CHUNK_BYTES = 2 * 1024 * 1024
_PORTION = 100  # operations of an iterator


@dataclass(slots=True)
class Step:
    """An operation in progress, with its write, a change that makes the write, or the body of an upsert."""

    operation: BulkOperation
    result: BulkResult
    size: int = 0
    write: Write | None = None
    before: Head | None = None
    change: Change[Any] | None = None
    body: UpsertBody | None = None

    @property
    def subjects(self) -> Sequence[Hashable]:
        """The id of the resource, or the unique values that an upsert finds its resource by."""
        return (self.result.resource_id,) if self.body is None else self.body.claims

    def refuse(self, error: AutoCRUDError) -> None:
        """Set the error that refuses the operation, with its first faults: a request may have very many operations."""
        if isinstance(error, InvalidInput):
            error.errors = error.errors[:MAX_FAULTS]
        self.result.error = error

    def record(self, version: int, created_time: str) -> None:
        """Set the version of the resource after the operation."""
        self.result.version, self.result.created_time = version, created_time


@dataclass(slots=True)
class Chunk:
    """Operations that are committed and answered together."""

    steps: list[Step] = field(default_factory=list)
    size: int = 0

    def add(self, step: Step) -> None:
        """Add an operation."""
        self.steps.append(step)
        self.size += step.size

    @property
    def is_full(self) -> bool:
        """True if the chunk has reached a limit."""
        return len(self.steps) >= CHUNK_OPERATIONS or self.size >= _CHUNK_BYTES


async def iterate_portions(
    operations: Iterable[BulkOperation] | AsyncIterable[BulkOperation],
) -> AsyncIterator[Sequence[BulkOperation]]:
    """Yield available operations together, and awaited operations as they arrive."""
    if isinstance(operations, AsyncIterable):
        async for operation in operations:
            yield [operation]
        return
    remaining = iter(operations)
    while portion := list(islice(remaining, _PORTION)):
        yield portion


async def next_portion(portions: AsyncIterator[Sequence[BulkOperation]]) -> Sequence[BulkOperation] | None:
    """Return the next operations; None at the end."""
    return await anext(portions, None)


def take_wave(pending: deque[Step]) -> list[Step]:
    """Remove and return the first operations that concern different resources, and are all upserts or all others.

    The time is linear in the length of the wave, because a chunk may have as many waves as operations.
    """
    has_upserts = pending[0].body is not None
    wave, subjects = list[Step](), set[Hashable]()
    while pending:
        step = pending[0]
        if (step.body is not None) is not has_upserts or not subjects.isdisjoint(step.subjects):
            break
        subjects.update(step.subjects)
        wave.append(pending.popleft())
    return wave


def raise_outage(results: Sequence[BulkResult]) -> None:
    """Raise the outage that one of the results reports."""
    for result in results:
        if isinstance(result.error, StorageUnavailable):
            raise result.error


def raise_refused(steps: list[Step]) -> None:
    """Refuse an atomic request if one of its operations was refused."""
    if all(step.result.error is None for step in steps):
        return
    for step in steps:
        if step.result.error is None:
            step.refuse(Aborted())
            step.record(0, "")
    raise BulkRefused([step.result for step in steps])
