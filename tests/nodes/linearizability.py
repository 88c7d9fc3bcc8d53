"""Checks recorded histories of versioned resources for linearizability (Herlihy and Wing, 1990).

Each write makes a version, and versions are numbered: the one order that a history can have is known, and it is
linearizable if that order agrees with real time, and each read returned what stood at its version.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Operation:
    """A request and its answer.

    Attributes:
        start, end: times of request and answer; `end` is infinite if no answer came.
        version: version that a write made or a read found; None for a refused or unanswered write.
    """

    kind: str  # "write" or "read"
    resource: str
    start: float
    end: float
    version: int | None
    content: str
    expected: int | None = None


def violations(operations: Sequence[Operation]) -> list[str]:
    """Return the faults of a history. An empty list means that it is linearizable and has no lost update."""
    by_resource: dict[str, list[Operation]] = {}
    for operation in operations:
        by_resource.setdefault(operation.resource, []).append(operation)
    return [f"{name}: {wrong}" for name, group in by_resource.items() for wrong in _violations(group)]


def _violations(operations: Sequence[Operation]) -> Iterable[str]:
    writers: dict[int, Operation] = {}
    unknown = {operation.content for operation in operations if operation.kind == "write" and operation.version is None}
    for operation in operations:
        if operation.kind == "write" and operation.version is not None:
            if operation.version in writers:
                yield f"version {operation.version} was acknowledged twice"
            writers[operation.version] = operation
            if operation.expected is not None and operation.version != operation.expected + 1:
                yield f"version {operation.version} was written on {operation.expected}"
    for operation in operations:
        if operation.kind == "read" and operation.version is not None:
            writer = writers.get(operation.version)
            if writer is None and operation.content not in unknown:
                yield f"a read found {operation.content!r}, which nobody wrote"
            if writer is not None and writer.content != operation.content:
                yield f"a read of version {operation.version} found {operation.content!r}, not {writer.content!r}"
            if writer is not None and writer.start > operation.end:
                yield f"version {operation.version} was read before it was written"
    yield from _stale_operations([operation for operation in operations if operation.version is not None])


def _stale_operations(operations: Sequence[Operation]) -> Iterable[str]:
    """Return operations whose version is older than a version known before they began."""
    ended = sorted(operations, key=lambda operation: operation.end)
    newest, index = 0, 0
    for operation in sorted(operations, key=lambda operation: operation.start):
        while index < len(ended) and ended[index].end < operation.start:
            newest = max(newest, ended[index].version or 0)
            index += 1
        least = newest + (operation.kind == "write")
        if (operation.version or 0) < least:
            yield f"a {operation.kind} of version {operation.version} began when version {newest} was there"
