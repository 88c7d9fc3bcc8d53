"""Oracle of point-in-time reads: random histories, and the state of each resource at any time."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from autocrud.query.conditions import Query
from autocrud.query.evaluate import holds, sort_key
from autocrud.resource import CommitKind, RevisionStatus, revision_number
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.types import Write
from autocrud.storage.row_view import row_of
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    modify_write,
    prune_write,
    purge_write,
    restore_write,
    switch_write,
    update_write,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class HistoryState:
    """State after a write: metadata, data and index values."""

    write: Write
    written: Write
    data: bytes | None
    index: tuple[IndexValue, ...]

    @property
    def number(self) -> int:
        """Number of the current revision."""
        return revision_number(self.write.meta.resource_id, self.write.meta.current_revision_id)


@dataclass
class HistoryOracle:
    """All states of all resources that were not purged."""

    spec: ModelSpec[Any]
    states: dict[str, list[HistoryState]] = field(default_factory=dict)
    ticks: int = 0  # of the clock

    def accept(self, write: Write) -> None:
        """Record a write."""
        name = write.meta.resource_id
        if write.kind is CommitKind.purge:
            del self.states[name]
            return
        history = self.states.setdefault(name, [])
        if write.data is not None:
            history.append(HistoryState(write, write, write.data, write.index))
        else:
            last = history[-1]
            history.append(HistoryState(write, last.written, last.data, last.index))
        for state in history if write.prunes else ():
            if state.number <= write.prunes and state.number != history[-1].number:
                state.data, state.index = None, (None,) * len(state.index)

    def last_writes(self, name: str) -> list[Write]:
        """Return the last write of each revision that has its data."""
        return list({state.number: state.written for state in self.states[name] if state.data is not None}.values())

    def select(self, query: Query) -> list[HistoryState]:
        """Return everything that a query finds, in its order."""
        found = []
        for history in self.states.values():
            states = [newest for newest in history if query.at is None or newest.write.meta.updated_time <= query.at]
            state = states[-1] if states else None
            if state is None or (state.write.meta.is_deleted and not query.include_deleted):
                continue
            row = row_of(self.spec, state.write.meta_json, state.index)
            if holds(query.where, row):
                found.append((row, state))
        return [state for _, state in sorted(found, key=lambda pair: sort_key(query.order, pair[0]))]


def random_writes(
    past: HistoryOracle, chance: Random, data: Callable[[], bytes], *, resources: int, steps: int
) -> list[Write]:
    """Return random writes of all kinds in order of time, many at equal times, and record them in the oracle."""
    spec, writes, pool = past.spec, list[Write](), [f"r{number:02}" for number in range(resources)]
    ticks = past.ticks
    for _ in range(steps):
        ticks += chance.choice([0, 0, 0, 1])
        time, name = START + timedelta(seconds=ticks // 4, microseconds=ticks % 4), chance.choice(pool)
        status = chance.choice(list(RevisionStatus))
        if name not in past.states:
            write = create_write(name, data(), time=time, status=status, spec=spec)
            if chance.random() < 0.2:  # as an import has it, that tells when it was created elsewhere
                earlier = {"created_time": time - timedelta(seconds=chance.randint(1, 9))}
                write = replace(write, meta=write.meta.model_copy(update=earlier))
        else:
            write = _next(past, name, time, chance, data)
        past.accept(write)
        writes.append(write)
    past.ticks = ticks
    return writes


def _next(past: HistoryOracle, name: str, time: datetime, chance: Random, data: Callable[[], bytes]) -> Write:
    last, status = past.states[name][-1], chance.choice(list(RevisionStatus))
    before, spec = last.write, past.spec
    roll = chance.random()
    if roll < 0.03:
        return purge_write(before)
    if roll < 0.13:
        return prune_write(before, chance.randint(1, before.meta.total_revision_count))
    if before.meta.is_deleted:
        return restore_write(before, time=time)
    if roll < 0.3:
        return delete_write(before, time=time)
    if roll < 0.5:
        return modify_write(before, last.written, data(), time=time, status=status, spec=spec)
    if roll < 0.65:
        return switch_write(before, chance.choice(past.last_writes(name)), time=time, spec=spec)
    prunes = before.meta.total_revision_count if chance.random() < 0.1 else 0
    return update_write(before, data(), time=time, status=status, prunes=prunes, spec=spec)
