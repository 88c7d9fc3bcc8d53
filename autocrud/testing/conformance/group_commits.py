"""Conformance of `commit_all`: writes that are accepted one by one, or all or none."""

import asyncio

from autocrud.errors import Aborted, AlreadyExists, Conflict, UniqueViolation
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance.base import LARGE, StorageTests, ids, present
from autocrud.testing.sample_writes import (
    at_version,
    create_write,
    delete_write,
    prune_write,
    purge_write,
    sample,
    update_write,
)


class GroupCommitTests(StorageTests):
    """Tests of `commit_all`."""

    async def test_group_write_sees_the_writes_before_it(self, storage: IStorage) -> None:
        """Commit a chain of writes on one resource. A refused write does not affect the others."""
        await storage.commit(create_write("a", sample(code="taken")))
        first = create_write("b", sample(code="one", payload=LARGE))
        second = update_write(first, sample(code="two"))
        writes = [
            create_write("a", sample()),
            first,
            second,
            create_write("c", sample(code="one")),
            create_write("d", sample(code="two")),
            create_write("c", sample()),
            at_version(delete_write(second), 7),
            create_write("e", sample(code="taken")),
            delete_write(second),
        ]
        results = [type(outcome) for outcome in await storage.commit_all(writes)]
        none = type(None)
        refused = [AlreadyExists, none, none, none, UniqueViolation, AlreadyExists, Conflict, UniqueViolation, none]
        assert results == refused
        assert await ids(storage, include_deleted=True) == ["c", "b", "a"]
        assert [commit.version for commit in await storage.commits("b")] == [3, 2, 1]
        assert await storage.data((await storage.commits("b"))[-1]) == first.data

    async def test_group_of_any_size_is_committed(self, storage: IStorage) -> None:
        """Commit more writes and bytes than a batch holds, and an empty group."""
        assert await storage.commit_all([]) == []
        assert await storage.commit_all([], atomic=True) == []
        small = [create_write(f"s{number:04}", sample(number=number)) for number in range(1500)]
        large = [create_write(f"l{number:02}", sample(payload=LARGE)) for number in range(30)]
        assert await storage.commit_all([*small, *large]) == [None] * 1530
        assert set(await ids(storage)) == {write.meta.resource_id for write in [*small, *large]}
        assert (await present(storage, "l29")).data == large[29].data
        assert (await present(storage, "s1499")).data == small[1499].data

    async def test_2_atomic_group_becomes_visible_at_once(self, storage: IStorage) -> None:
        """Check also writes that follow each other."""
        before = create_write("a", sample(code="one"))
        await storage.commit(before)
        changed = update_write(before, sample(code="two"))
        writes = [changed, create_write("b", sample(code="one")), delete_write(changed)]
        assert await storage.commit_all(writes, atomic=True) == [None] * 3
        assert await ids(storage, include_deleted=True) == ["b", "a"]
        assert (await present(storage, "a")).is_deleted

    async def test_2_refused_atomic_group_leaves_no_trace(self, storage: IStorage) -> None:
        """Check heads, histories, unique values and ids for an invalid write at each place."""
        before = create_write("a", sample(code="one"))
        second = update_write(before, sample(code="one", text="second"))
        deletion = create_write("gone", sample(code="gone"))
        assert await storage.commit_all([before, second, deletion]) == [None] * 3
        good: list[Write] = [
            create_write("b", sample(code="b")),
            update_write(second, sample(code="two")),
            purge_write(deletion),
            create_write("gone", sample(code="other")),
        ]
        for place in range(len(good) + 1):
            bad = at_version(delete_write(second), 9) if place == 1 else create_write("a", sample())
            results = await storage.commit_all([*good[:place], bad, *good[place:]], atomic=True)
            assert isinstance(results[place], Conflict | AlreadyExists)
            assert {type(result) for number, result in enumerate(results) if number != place} == {Aborted}
            assert sorted(await ids(storage, include_deleted=True)) == ["a", "gone"]
            assert (await present(storage, "a")).data == second.data
            assert [len(await storage.commits(name)) for name in ("a", "b", "gone")] == [2, 0, 1]
            (commit,) = await storage.commits("gone")
            assert await storage.data(commit) == deletion.data
        await storage.commit(prune_write(second, 1))
        assert await storage.commit_all([create_write("c", sample(code="b"))], atomic=True) == [None]

    async def test_atomic_groups_do_not_affect_other_writes(self, storage: IStorage) -> None:
        """A refused group takes only its own writes with it."""
        await storage.commit(create_write("a", sample()))
        groups = [[create_write(f"g{number}-{part}", sample()) for part in range(3)] for number in range(6)]
        groups[2].append(create_write("a", sample()))
        singles = [create_write(f"s{number}", sample()) for number in range(6)]
        calls = [storage.commit_all(group, atomic=True) for group in groups]
        results = await asyncio.gather(*calls, *(storage.commit(write) for write in singles))
        assert [result is None or result == [None] * 3 for result in results] == [True, True, False, *[True] * 9]
        assert len(await ids(storage)) == 1 + 5 * 3 + 6
