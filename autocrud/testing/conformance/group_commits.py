"""Conformance of writes that are committed together: each on its own, or all of them or none."""

import asyncio

from autocrud.errors import Aborted, AlreadyExists, Conflict, UniqueViolation
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance.base import LARGE, StorageTests, ids, present
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    expecting,
    prune_write,
    purge,
    sample,
    update_write,
)


class GroupTests(StorageTests):
    """Tests of `commit_all`."""

    async def test_writes_of_a_group_stand_alone_and_see_those_before_them(self, storage: IStorage) -> None:
        """A chain on one resource is accepted in order; what is refused, at whichever place, hurts nobody."""
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
            expecting(delete_write(second), 7),
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

    async def test_a_group_of_any_size_is_committed(self, storage: IStorage) -> None:
        """More than a batch holds, in numbers and in bytes; an empty one is nothing."""
        assert await storage.commit_all([]) == []
        assert await storage.commit_all([], atomic=True) == []
        small = [create_write(f"s{number:04}", sample(number=number)) for number in range(1500)]
        large = [create_write(f"l{number:02}", sample(payload=LARGE)) for number in range(30)]
        assert await storage.commit_all([*small, *large]) == [None] * 1530
        assert set(await ids(storage)) == {write.meta.resource_id for write in [*small, *large]}
        assert (await present(storage, "l29")).data == large[29].data
        assert (await present(storage, "s1499")).data == small[1499].data

    async def test_2_an_atomic_group_is_committed_whole(self, storage: IStorage) -> None:
        """With one time to become visible, also where its writes follow each other."""
        before = create_write("a", sample(code="one"))
        await storage.commit(before)
        moved = update_write(before, sample(code="two"))
        writes = [moved, create_write("b", sample(code="one")), delete_write(moved)]
        assert await storage.commit_all(writes, atomic=True) == [None] * 3
        assert await ids(storage, include_deleted=True) == ["b", "a"]
        assert (await present(storage, "a")).is_deleted

    async def test_2_of_an_atomic_group_that_is_refused_nothing_is_left(self, storage: IStorage) -> None:
        """Whichever write is at fault: heads, histories, unique values and ids are as before, and stay usable."""
        before = create_write("a", sample(code="one"))
        second = update_write(before, sample(code="one", text="second"))
        gone = create_write("gone", sample(code="gone"))
        assert await storage.commit_all([before, second, gone]) == [None] * 3
        good: list[Write] = [
            create_write("b", sample(code="b")),
            update_write(second, sample(code="two")),
            purge(gone),
            create_write("gone", sample(code="other")),
        ]
        for place in range(len(good) + 1):
            bad = expecting(delete_write(second), 9) if place == 1 else create_write("a", sample())
            results = await storage.commit_all([*good[:place], bad, *good[place:]], atomic=True)
            assert isinstance(results[place], Conflict | AlreadyExists)
            assert {type(result) for number, result in enumerate(results) if number != place} == {Aborted}
            assert sorted(await ids(storage, include_deleted=True)) == ["a", "gone"]
            assert (await present(storage, "a")).data == second.data
            assert [len(await storage.commits(name)) for name in ("a", "b", "gone")] == [2, 0, 1]
            (commit,) = await storage.commits("gone")
            assert await storage.data(commit) == gone.data
        await storage.commit(prune_write(second, 1))
        assert await storage.commit_all([create_write("c", sample(code="b"))], atomic=True) == [None]

    async def test_atomic_groups_and_single_writes_pass_each_other(self, storage: IStorage) -> None:
        """What is refused in one takes nothing with it but its own group."""
        await storage.commit(create_write("a", sample()))
        groups = [[create_write(f"g{number}-{part}", sample()) for part in range(3)] for number in range(6)]
        groups[2].append(create_write("a", sample()))
        singles = [create_write(f"s{number}", sample()) for number in range(6)]
        calls = [storage.commit_all(group, atomic=True) for group in groups]
        results = await asyncio.gather(*calls, *(storage.commit(write) for write in singles))
        assert [result is None or result == [None] * 3 for result in results] == [True, True, False, *[True] * 9]
        assert len(await ids(storage)) == 1 + 5 * 3 + 6
