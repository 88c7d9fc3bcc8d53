"""State machine: random operations on a storage and on a plain dict, with every answer compared.

Needs Hypothesis. A backend's test calls `run_machine` with a function that opens its storage.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pydantic_core import from_json

from autocrud.errors import AlreadyExists, AutoCRUDError, Conflict, UniqueViolation
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.resource import revision_number, timestamp
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.types import RevisionSpan, Write
from autocrud.testing.conformance import asking, ids
from autocrud.testing.sample_writes import (
    SAMPLE,
    at_version,
    create_write,
    delete_write,
    modify_write,
    prune_write,
    purge_write,
    restore_write,
    sample,
    switch_write,
    update_write,
)

_IDS = st.sampled_from(["a", "b", "c", "d"])
_FIELDS = st.fixed_dictionaries(
    {
        "text": st.sampled_from(["", "x", "Ä", "'"]),
        "number": st.none() | st.integers(-1, 1),
        "flag": st.none() | st.booleans(),
        "tags": st.none() | st.lists(st.sampled_from(["a", "b"]), max_size=3),
        "code": st.none() | st.sampled_from(["k", "l"]),
        "shelf": st.none() | st.just("s"),
        "place": st.none() | st.integers(1, 2),
        "length": st.sampled_from([0, 40_000]),
    }
)
Fields = dict[str, Any]
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Oracle:
    """Expected answers of a storage, computed with a dict."""

    last: dict[str, Write] = field(default_factory=dict)
    data: dict[str, bytes] = field(default_factory=dict)
    history: dict[str, list[Write]] = field(default_factory=dict)
    revisions: dict[str, dict[int, Write]] = field(default_factory=dict)  # by number, what last wrote each

    def refusal(self, write: Write) -> type[AutoCRUDError] | None:
        """Return the expected error of a write, or None if it must be accepted."""
        before = self.last.get(write.meta.resource_id)
        if write.follows == 0:
            if before is not None:
                return AlreadyExists
        elif before is None or before.meta.version != write.follows:
            return Conflict
        if write.meta.is_deleted:
            return None
        return UniqueViolation if self.find_violation(write) else None

    def find_violation(self, write: Write) -> tuple[tuple[str, ...], str] | None:
        """Return the first unique set whose values another live resource holds, with that resource's id."""
        name = write.meta.resource_id
        own_numbers = _fields(write.data or self.data[name])
        for fields in (("code",), ("shelf", "place")):
            values = [own_numbers[field] for field in fields]
            for other in [] if None in values else self._live_but(name):
                if [_fields(self.data[other])[field] for field in fields] == values:
                    return fields, other
        return None

    def accept(self, write: Write) -> None:
        """Record a write."""
        name = write.meta.resource_id
        if write.kind == "purge":
            del self.last[name], self.data[name], self.history[name], self.revisions[name]
            return
        self.last[name] = write
        self.history.setdefault(name, []).append(write)
        kept_pairs = self.revisions.setdefault(name, {})
        if write.data is not None:
            self.data[name] = write.data
            kept_pairs[self.current(name)] = write
        for number in [number for number in kept_pairs if number <= write.prunes and number != self.current(name)]:
            del kept_pairs[number]

    def current(self, name: str) -> int:
        """Return the number of the current revision."""
        return revision_number(name, self.last[name].meta.current_revision_id)

    def ids(self, **equal: Any) -> list[str]:
        """Return the live resources with these field values, newest first."""
        found = [
            (timestamp(write.meta.created_time), name)
            for name, write in self.last.items()
            if not write.meta.is_deleted and equal.items() <= _fields(self.data[name]).items()
        ]
        return [name for _, name in sorted(found, reverse=True)]

    def _live_but(self, name: str) -> list[str]:
        return [other for other, write in self.last.items() if other != name and not write.meta.is_deleted]


def _data(fields: Fields) -> bytes:
    values = dict(fields)
    return sample(payload="p" * values.pop("length"), **values)


def _fields(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = from_json(data)
    return found


@dataclass
class Place:
    """Storage of one run: a factory that is empty at first.

    Args:
        durable: data survives when the place is closed and opened again.
    """

    factory: IStorageFactory
    durable: bool = True

    async def open(self) -> IStorage:
        """Open the factory and a storage on it."""
        await self.factory.open()
        self.storage = self.factory.build(SAMPLE)
        await self.storage.open()
        return self.storage

    async def close(self) -> None:
        """Close the storage and the factory."""
        await self.storage.close()
        await self.factory.close()


class StorageMachine(RuleBasedStateMachine):
    """Machine of operations. `run_machine` makes a subclass with a place."""

    new_place: Callable[[], Place]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.place = type(self).new_place()
        self.storage = self.loop.run_until_complete(self.place.open())
        self.oracle = Oracle()
        self.ticks = 0
        self.touched = ""

    def teardown(self) -> None:
        """Close everything that this run opened."""
        self.loop.run_until_complete(self.place.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    @rule(name=_IDS, fields=_FIELDS)
    def create(self, name: str, fields: Fields) -> None:
        """Create a resource, whether or not it exists."""
        self.ticks += 1
        self.commit(create_write(name, _data(fields), time=_START + timedelta(microseconds=self.ticks)))

    @rule(name=_IDS, fields=_FIELDS)
    def update_write(self, name: str, fields: Fields) -> None:
        """Append a revision."""
        if name in self.oracle.last:
            self.commit(update_write(self.oracle.last[name], _data(fields)))

    @rule(name=_IDS, fields=_FIELDS, version=st.integers(1, 6))
    def update_of_any_version(self, name: str, fields: Fields, version: int) -> None:
        """Append a revision with an expected version that may be stale."""
        if name in self.oracle.last:
            self.commit(at_version(update_write(self.oracle.last[name], _data(fields)), version))

    @rule(name=_IDS, step=st.sampled_from([delete_write, restore_write, purge_write]))
    def move(self, name: str, step: Callable[[Write], Write]) -> None:
        """Delete, restore or purge a resource."""
        if name in self.oracle.last:
            self.commit(step(self.oracle.last[name]))

    @rule(name=_IDS, fields=_FIELDS)
    def modify(self, name: str, fields: Fields) -> None:
        """Edit the current revision in place."""
        if name in self.oracle.last:
            current = self.oracle.revisions[name][self.oracle.current(name)]
            self.commit(modify_write(self.oracle.last[name], current, _data(fields)))

    @rule(name=_IDS, choice=st.integers(0, 9))
    def switch(self, name: str, choice: int) -> None:
        """Make any revision the current one."""
        if name in self.oracle.last:
            kept_pairs = list(self.oracle.revisions[name].values())
            self.commit(switch_write(self.oracle.last[name], kept_pairs[choice % len(kept_pairs)]))

    @rule(name=_IDS, prunes=st.integers(1, 4))
    def prune(self, name: str, prunes: int) -> None:
        """Prune old revisions."""
        if name in self.oracle.last:
            self.commit(prune_write(self.oracle.last[name], prunes))

    @rule()
    def vacuum(self) -> None:
        """Erase pruned data."""
        self.loop.run_until_complete(self.storage.vacuum())

    @rule(names=st.lists(_IDS, min_size=2, max_size=5), fields=_FIELDS)
    def create_together(self, names: list[str], fields: Fields) -> None:
        """Create several resources in one batch, in order."""
        writes = []
        for name in names:
            self.ticks += 1
            writes.append(create_write(name, _data(fields), time=_START + timedelta(microseconds=self.ticks)))
        expected = []
        for write in writes:
            expected.append(self.oracle.refusal(write))
            if expected[-1] is None:
                self.oracle.accept(write)

        async def commit_all() -> list[Any]:
            commits = (self.storage.commit(write) for write in writes)
            return await asyncio.gather(*commits, return_exceptions=True)

        results = self.loop.run_until_complete(commit_all())
        assert [None if result is None else type(result) for result in results] == expected

    @rule()
    def reopen(self) -> None:
        """Close the storage and open it again."""
        if self.place.durable:
            self.loop.run_until_complete(self.place.close())
            self.storage = self.loop.run_until_complete(self.place.open())

    @rule(text=st.sampled_from(["", "x", "Ä", "'"]), flag=st.booleans(), limit=st.integers(1, 3))
    def search(self, text: str, flag: bool, limit: int) -> None:
        """Compare lists and counts, filtered and paged."""
        run = self.loop.run_until_complete
        assert run(ids(self.storage, QB["text"].eq(text), limit=limit)) == self.oracle.ids(text=text)
        conditions = (QB["text"].eq(text), QB["flag"].eq(int(flag)))
        assert run(self.storage.count(Query(asking(*conditions)))) == len(self.oracle.ids(text=text, flag=flag))
        tagged = [name for name in self.oracle.ids() if "a" in (_fields(self.oracle.data[name])["tags"] or ())]
        assert run(ids(self.storage, QB["tags"].contains("a"), limit=limit)) == tagged

    @invariant()
    def matches_the_oracle(self) -> None:
        """Compare every head, every history and the whole list."""
        self.loop.run_until_complete(self.compare())

    def commit(self, write: Write) -> None:
        """Commit a write on both, and compare the outcomes."""
        refused, self.touched = self.oracle.refusal(write), write.meta.resource_id
        found: AutoCRUDError | None = None
        try:
            self.loop.run_until_complete(self.storage.commit(write))
        except AutoCRUDError as error:
            found = error
        assert (None if found is None else type(found)) is refused
        if isinstance(found, UniqueViolation):
            assert (found.fields, found.holder) == self.oracle.find_violation(write)
        if found is None:
            self.oracle.accept(write)

    async def compare(self) -> None:
        """Check that the storage holds exactly the resources of the dict."""
        assert await ids(self.storage, limit=3) == self.oracle.ids()
        for name in ("a", "b", "c", "d"):
            head = await self.storage.get(name)
            if name not in self.oracle.last:
                assert head is None
                assert await self.storage.commits(name) == []
                continue
            assert head is not None
            assert (head.meta, head.data) == (self.oracle.last[name].meta_json, self.oracle.data[name])
            described = [
                (commit.version, commit.kind, commit.revision_id) for commit in await self.storage.commits(name)
            ]
            history = reversed(self.oracle.history[name])
            assert described == [(write.meta.version, write.kind, write.meta.current_revision_id) for write in history]
            kept_pairs = sorted(self.oracle.revisions[name].items(), reverse=True)
            found = await self.storage.revisions(name, RevisionSpan())
            assert [revision.info for revision in found] == [write.revision for _, write in kept_pairs]
            if name == self.touched:
                assert [await self.storage.data(revision) for revision in found] == [
                    write.data for _, write in kept_pairs
                ]


def run_machine(new_place: Callable[[], Place], *, examples: int = 40, steps: int = 20) -> None:
    """Run the machine.

    Args:
        new_place: makes an empty place for each run.
        examples, steps: number of runs, and of operations per run.
    """
    machine = type("Machine", (StorageMachine,), {"new_place": staticmethod(new_place)})
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow],
    )
    run_state_machine_as_test(machine, settings=profile)
