"""Importer: lines become resources as they were, in chunks that are durable before the next one is read."""

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

_LINES, _BYTES = 1000, 4 * 1024 * 1024  # of a chunk
_LONGEST = 64 * 1024 * 1024  # of a chunk that waits for data
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that was not imported, and why."""

    line: int
    error: AutoCRUDError


@dataclass(frozen=True, slots=True)
class Progress:
    """All lines up to this one are done, and what came of them is durable.

    Attributes:
        counts: lines by what became of them, and blobs that were stored.
        ended: whether this was the end of the body.
        error: what keeps the import from going on; it may be begun again behind the line.
    """

    line: int
    counts: dict[str, int]
    ended: bool = False
    error: AutoCRUDError | None = None


@dataclass(slots=True)
class Unit:
    """Lines about one resource: a current state, or commits that follow each other."""

    lines: list[Line]

    @property
    def is_open(self) -> bool:
        """Whether its last revision has no data, which a later line must bring."""
        last = next((line for line in reversed(self.lines) if line.revision is not None), None)
        return last is not None and last.encoded is None

    def takes(self, line: Line) -> bool:
        """Whether a line is about the same resource, and goes on with its history."""
        first = self.lines[0]
        return line.kind is not None and first.kind is not None and line.resource_id == first.resource_id


@dataclass(slots=True)
class _Chunk:
    units: list[Unit] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    lines: int = 0
    size: int = 0

    def add(self, line: Line) -> None:
        """Add a line, which is not about a resource that another unit is about."""
        if self.units and self.units[-1].takes(line):
            self.units[-1].lines.append(line)
        else:
            self.units.append(Unit([line]))
        self.ids |= {line.resource_id} if line.resource_id else set()
        self.lines += 1
        self.size += line.size

    def clashes(self, line: Line) -> bool:
        """Whether it has to be written before the line can be judged."""
        return line.resource_id in self.ids and not self.units[-1].takes(line)

    @property
    def is_full(self) -> bool:
        """Whether it is to be written now."""
        if self.lines < _LINES and self.size < _BYTES:
            return False
        return self.size >= _LONGEST or not (self.units and self.units[-1].is_open)


class Importer:
    """Takes in the lines of one import.

    Args:
        commit_states: commits current states, which may refer only to what is there.
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
        """Import a body but for its first lines; what is wrong with a line is told, and keeps no other from its way."""
        self._done = start
        chunks: Any = self._chunks(body, start)
        error: StorageUnavailable | None = None
        try:
            async with aclosing(chunks):
                async for chunk, number in chunks:
                    await self._write(chunk)
                    self._done = number
                    for report in self._reports():
                        yield report
                    yield self._progress()
        except StorageUnavailable as unavailable:
            error = unavailable
        finally:
            await self._blobs.give_up()
        for report in self._reports():
            yield report
        yield self._progress(ended=error is None, error=error)

    async def _chunks(self, body: AsyncIterator[bytes], start: int) -> AsyncIterator[tuple[_Chunk, int]]:
        """What is to be written together, with the number of lines that are done then."""
        chunk, number = _Chunk(), 0
        async for content in split(body, self._reader.limit):
            number += 1
            if number <= start:
                continue
            line = await self._line(number, content)
            if line is not None:
                if chunk.clashes(line):
                    yield chunk, number - 1
                    chunk = _Chunk()
                chunk.add(line)
            if chunk.is_full:
                yield chunk, number
                chunk = _Chunk()
            elif len(self._refusals) >= _LINES:
                yield _Chunk(), self._done  # what was refused is told, and not kept
        if self._blobs.is_open:
            self._refuse(number, InvalidData("The body ends within a blob.", [FieldError("blob", "lacks pieces")]))
        yield chunk, max(number, start)

    async def _line(self, number: int, content: bytes | None) -> Line | None:
        """The line that is to be written, if it is one."""
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

    async def _write(self, chunk: _Chunk) -> None:
        """Commit what a chunk brings; again what somebody else was faster with."""
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
            late = await self._commit(plans, last=attempt == _ATTEMPTS - 1)
            units = [unit for unit, is_late in zip(units, late, strict=True) if is_late]

    async def _commit(self, plans: Sequence[Plan], *, last: bool) -> list[bool]:
        """Commit plans; says of each whether it was made on something that is no longer so."""
        states = self._commit_states([write for plan in plans if plan.is_state for write in plan.writes])
        told = [write for plan in plans if not (plan.is_state or plan.atomic) for write in plan.writes]
        single = [self._storage.commit_all(plan.writes, atomic=True) for plan in plans if plan.atomic]
        made, replayed, *others = await asyncio.gather(states, self._storage.commit_all(told), *single)
        of_states, of_histories, groups = iter(made), iter(replayed), iter(others)
        late = []
        for plan in plans:
            outcomes = of_states if plan.is_state else of_histories
            found = next(groups) if plan.atomic else [next(outcomes) for _ in plan.writes]
            # What was overwritten may still have to be erased, which the storage sees to.
            own = found[len(plan.before) :]
            if unavailable := next((error for error in own if isinstance(error, StorageUnavailable)), None):
                raise unavailable
            late.append(not last and isinstance(_reason(found), AlreadyExists | Conflict))
            if not late[-1]:
                self._settle(plan, found)
        replaced = [plan.replaced for plan in plans if plan.replaced is not None]
        await asyncio.gather(*(self._append(head, line) for head, line in replaced))
        return late

    def _settle(self, plan: Plan, outcomes: Sequence[Outcome]) -> None:
        """Count what became of the lines of a plan."""
        for number, error in plan.refused:
            self._refuse(number, error)
        self._counts.update(plan.settled)
        reason = _reason(outcomes)
        remaining = iter(outcomes[len(plan.before) :])
        for step in plan.steps:
            own = [next(remaining) for _ in step.writes]
            refused = reason if plan.atomic else _reason(own)
            if refused is None:
                self._counts[plan.fate] += 1
            else:
                self._refuse(step.line.number, refused)

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

    def _reports(self) -> list[Refusal]:
        reports, self._refusals = sorted(self._refusals, key=lambda refusal: refusal.line), []
        return reports

    def _progress(self, *, ended: bool = False, error: AutoCRUDError | None = None) -> Progress:
        names = [fate.value for fate in Fate]
        counts = {name: self._counts[name] for name in (*names, "failed")} | {"blobs": self._blobs.stored}
        return Progress(self._done, counts, ended, error)


def _reason(outcomes: Sequence[Outcome]) -> Outcome:
    """Why writes that belong together were refused; None where they were not."""
    found = [error for error in outcomes if error is not None and not isinstance(error, StorageUnavailable)]
    return next((error for error in found if not isinstance(error, Aborted)), found[0] if found else None)
