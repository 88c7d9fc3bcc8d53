"""Importer: restores resources from lines, in chunks that are durable before the next chunk is read."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from autocrud.errors import (
    Aborted,
    AlreadyExists,
    AutoCRUDError,
    Conflict,
    FieldError,
    InvalidData,
    StorageUnavailable,
)
from autocrud.manager.transfer.blob_receiver import ArrivingBlobs
from autocrud.manager.transfer.import_planner import Fate, Plan, Planner
from autocrud.manager.transfer.line_format import Line, LineReader, Piece, split
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head, Outcome, Write
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Encoded

_CHUNK_LINES, _CHUNK_BYTES = 1000, 4 * 1024 * 1024
# A chunk may grow while its last history lacks data, because a part of a history cannot be judged.
_MAX_CHUNK_BYTES = 64 * 1024 * 1024
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was not imported, with its error."""

    line: int
    error: AutoCRUDError


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of an import: all lines up to `line` are done and durable.

    Attributes:
        line: number of the last line that is done, from 1; 0 before the first.
        counts: number of lines by result, and of new blobs.
        ended: the body is read to its end.
        error: outage that stopped the import; the import may be started again behind `line`.
    """

    line: int
    counts: dict[str, int]
    ended: bool = False
    error: AutoCRUDError | None = None


@dataclass(slots=True)
class Unit:
    """Lines of one resource: a current state, or successive commits."""

    lines: list[Line]

    @property
    def is_open(self) -> bool:
        """Return True if the last revision has no data yet, so that a later line must bring data."""
        last = next((line for line in reversed(self.lines) if line.revision is not None), None)
        return last is not None and last.encoded is None

    def takes(self, line: Line) -> bool:
        """Return True if the line continues the history of the same resource."""
        first = self.lines[0]
        return line.kind is not None and first.kind is not None and line.resource_id == first.resource_id


@dataclass(slots=True)
class _Chunk:
    units: list[Unit] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    lines: int = 0
    size: int = 0

    def add(self, line: Line) -> None:
        """Add a line. The caller has checked that no other unit of the chunk has the line's id."""
        if self.units and self.units[-1].takes(line):
            self.units[-1].lines.append(line)
        else:
            self.units.append(Unit([line]))
        self.ids |= {line.resource_id} if line.resource_id else set()
        self.lines += 1
        self.size += line.size

    def clashes(self, line: Line) -> bool:
        """Return True if the chunk must be committed before the line can be planned."""
        return line.resource_id in self.ids and not self.units[-1].takes(line)

    @property
    def is_full(self) -> bool:
        """Return True if the chunk should be committed now."""
        if self.lines < _CHUNK_LINES and self.size < _CHUNK_BYTES:
            return False
        return self.size >= _MAX_CHUNK_BYTES or not (self.units and self.units[-1].is_open)


class Importer:
    """Imports the lines of one body.

    Args:
        commit_states: commits current states and checks their references.
        replace: appends a revision to a resource, as the manager does.
    """

    def __init__(
        self,
        storage: IStorage,
        commit_states: Callable[[Sequence[Write]], Awaitable[list[Outcome]]],
        reader: LineReader,
        planner: Planner,
        blobs: ArrivingBlobs,
        replace: Callable[[str, Encoded], Awaitable[Resource[Any]]],
    ) -> None:
        self._storage = storage
        self._commit_states = commit_states
        self._reader = reader
        self._planner = planner
        self._blobs = blobs
        self._replace = replace
        self._counts: Counter[str] = Counter()
        self._refusals: list[Refusal] = []
        self._done = 0

    async def load(self, body: AsyncIterator[bytes], start: int) -> AsyncIterator[Refusal | Progress]:
        """Import a body from line `start + 1`. Yield refused lines and progress; other lines go on."""
        self._done = start
        chunks: Any = self._chunks(body, start)
        error: StorageUnavailable | None = None
        try:
            async with aclosing(chunks):
                async for chunk, number in chunks:
                    await self._write_chunk(chunk)
                    self._done = number
                    for report in self._take_refusals():
                        yield report
                    yield self._progress()
        except StorageUnavailable as unavailable:
            error = unavailable
        finally:
            await self._blobs.give_up()
        for report in self._take_refusals():
            yield report
        yield self._progress(ended=error is None, error=error)

    async def _chunks(self, body: AsyncIterator[bytes], start: int) -> AsyncIterator[tuple[_Chunk, int]]:
        """Yield chunks to commit, each with the number of the last line that is done after the commit."""
        chunk, number = _Chunk(), 0
        async for content in split(body, self._reader.limit):
            number += 1
            if number <= start:
                continue
            line = await self._read_line(number, content)
            if line is not None:
                if chunk.clashes(line):
                    yield chunk, number - 1
                    chunk = _Chunk()
                chunk.add(line)
            if chunk.is_full:
                yield chunk, number
                chunk = _Chunk()
            elif len(self._refusals) >= _CHUNK_LINES:
                yield _Chunk(), self._done  # an empty chunk reports the refusals, so that memory stays bounded
        if self._blobs.is_open:
            self._refuse(number, InvalidData("The body ends within a blob.", [FieldError("blob", "lacks pieces")]))
        yield chunk, max(number, start)

    async def _read_line(self, number: int, content: bytes | None) -> Line | None:
        """Return the line if it brings a resource or a commit. Handle blob pieces and refusals."""
        try:
            found = await self._reader.read(number, content)
            if isinstance(found, Piece):
                await self._blobs.take(found)
                return None
            if found is not None and self._blobs.is_open:
                await self._blobs.give_up()
        except StorageUnavailable:
            raise
        except AutoCRUDError as error:
            self._refuse(number, error)
            return None
        return found

    async def _write_chunk(self, chunk: _Chunk) -> None:
        """Commit a chunk. Plan and commit units again that lost a race against other writers."""
        units = chunk.units
        for attempt in range(_ATTEMPTS):
            if not units:
                break
            ids = [unit.lines[0].resource_id for unit in units]
            heads = await self._storage.get_many([name for name in ids if name is not None], current=True)
            plans = [
                await self._planner.plan(unit.lines, heads.get(name) if name else None, unit.is_open)
                for unit, name in zip(units, ids, strict=True)
            ]
            lost_race = await self._commit(plans, last=attempt == _ATTEMPTS - 1)
            units = [unit for unit, has_lost in zip(units, lost_race, strict=True) if has_lost]

    async def _commit(self, plans: Sequence[Plan], *, last: bool) -> list[bool]:
        """Commit plans. Return for each plan True if another writer changed its resource meanwhile.

        The last attempt refuses such a plan instead of reporting it.
        """
        states = self._commit_states([write for plan in plans if plan.is_state for write in plan.writes])
        histories = [write for plan in plans if not (plan.is_state or plan.atomic) for write in plan.writes]
        atomic = [self._storage.commit_all(plan.writes, atomic=True) for plan in plans if plan.atomic]
        state_outcomes, history_outcomes, *atomic_outcomes = await asyncio.gather(
            states, self._storage.commit_all(histories), *atomic
        )
        of_states, of_histories, of_atomic = iter(state_outcomes), iter(history_outcomes), iter(atomic_outcomes)
        lost_race = []
        for plan in plans:
            outcomes = of_states if plan.is_state else of_histories
            found = next(of_atomic) if plan.atomic else [next(outcomes) for _ in plan.writes]
            # The purge of an overwrite may answer "not yet erased". The storage finishes it, so it is no outage here.
            line_outcomes = found[len(plan.before) :]
            if unavailable := next((error for error in line_outcomes if isinstance(error, StorageUnavailable)), None):
                raise unavailable
            lost_race.append(not last and isinstance(_reason(found), AlreadyExists | Conflict))
            if not lost_race[-1]:
                self._count(plan, found)
        replaced = [plan.replaced for plan in plans if plan.replaced is not None]
        await asyncio.gather(*(self._append(head, line) for head, line in replaced))
        return lost_race

    def _count(self, plan: Plan, outcomes: Sequence[Outcome]) -> None:
        """Count the lines of a plan by result, and record the refused ones."""
        for number, error in plan.refused:
            self._refuse(number, error)
        self._counts.update(plan.settled)
        reason = _reason(outcomes)
        remaining = iter(outcomes[len(plan.before) :])
        for step in plan.steps:
            step_outcomes = [next(remaining) for _ in step.writes]
            refusal = reason if plan.atomic else _reason(step_outcomes)
            if refusal is None:
                self._counts[plan.fate] += 1
            else:
                self._refuse(step.line.number, refusal)

    async def _append(self, head: Head, line: Line) -> None:
        if line.encoded is None or line.resource_id is None:
            raise TypeError("a line without data cannot become a revision")
        try:
            resource = await self._replace(line.resource_id, line.encoded)
        except StorageUnavailable:
            raise
        except AutoCRUDError as error:
            self._refuse(line.number, error)
            return
        self._counts[Fate.unchanged if resource.head.version == head.version else Fate.updated] += 1

    def _refuse(self, number: int, error: AutoCRUDError) -> None:
        self._refusals.append(Refusal(number, error))
        self._counts["failed"] += 1

    def _take_refusals(self) -> list[Refusal]:
        """Return the refusals since the last call, in order of line."""
        reports, self._refusals = sorted(self._refusals, key=lambda refusal: refusal.line), []
        return reports

    def _progress(self, *, ended: bool = False, error: AutoCRUDError | None = None) -> Progress:
        names = [fate.value for fate in Fate]
        counts = {name: self._counts[name] for name in (*names, "failed")} | {"blobs": self._blobs.stored}
        return Progress(self._done, counts, ended, error)


def _reason(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the error that refused writes that belong together, or None if they were accepted."""
    found = [error for error in outcomes if error is not None and not isinstance(error, StorageUnavailable)]
    return next((error for error in found if not isinstance(error, Aborted)), found[0] if found else None)
