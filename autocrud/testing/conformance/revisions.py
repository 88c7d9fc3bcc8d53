"""Conformance of what was: revisions, drafts, switches, times, what is given up, and requests that are repeated."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autocrud.errors import Conflict, RevisionNotFound, UniqueViolation
from autocrud.query.builder import QB
from autocrud.resource import CommitKind, RevisionStatus, timestamp
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import OnDeleteTask, Repeated, RequestKey, Revision, RevisionSpan, Write
from autocrud.testing.conformance.base import LARGE, StorageTests, ids, outcomes, present
from autocrud.testing.sample_writes import (
    create_write,
    delete_write,
    modify_write,
    prune_write,
    purge,
    restore_write,
    sample,
    switch_write,
    update_write,
)

_START = datetime(2026, 1, 1, tzinfo=UTC)


async def _committed(storage: IStorage, *writes: Write) -> None:
    for write in writes:
        await storage.commit(write)


async def _revision(storage: IStorage, resource_id: str, number: int, **options: Any) -> Revision:
    """A revision that must be there."""
    revision = await storage.revision(resource_id, number, **options)
    assert revision is not None
    return revision


async def _numbers(storage: IStorage, resource_id: str, **span: Any) -> list[int]:
    """The numbers of the revisions that are kept."""
    found = await storage.revisions(resource_id, RevisionSpan(**span))
    return [int(revision.revision_id.rpartition(":")[2]) for revision in found]


def _hours(number: float) -> datetime:
    return _START + timedelta(hours=number)


class TimelineTests(StorageTests):
    """Tests of a resource's past."""

    async def test_revisions_are_cut_by_version_and_by_time(self, storage: IStorage) -> None:
        """Newest first; both ends of a time are within it."""
        write = create_write("a", sample(number=1), time=_START)
        await storage.commit(write)
        for number in range(2, 6):
            write = update_write(write, sample(number=number), time=_hours(number - 1))
            await storage.commit(write)
        assert await _numbers(storage, "a") == [5, 4, 3, 2, 1]
        assert await _numbers(storage, "a", limit=2) == [5, 4]
        assert await _numbers(storage, "a", before=3) == [2, 1]
        assert await _numbers(storage, "a", since=_hours(1), until=_hours(3)) == [4, 3, 2]
        assert await _numbers(storage, "a", since=_hours(0.5), until=_hours(2.5), limit=1) == [3]
        assert await _numbers(storage, "nobody") == []
        assert await storage.revision("a", 6) is None
        assert await storage.revision("nobody", 1) is None
        third = await _revision(storage, "a", 3)
        assert (third.info.parent_revision_id, third.version, third.written) == ("a:2", 3, 3)
        assert await storage.data(third) == sample(number=3)

    async def test_3_the_earlier_state_of_a_draft_is_superseded_not_overwritten(self, storage: IStorage) -> None:
        """An edit makes no revision; what the draft was before can still be read, as of then."""
        draft = RevisionStatus.draft
        first = create_write("a", sample(text="one", code="c"), time=_START, status=draft)
        second = modify_write(first, first, sample(text="two", payload=LARGE), time=_hours(1))
        third = modify_write(second, second, sample(text="two", payload=LARGE), status=RevisionStatus.stable)
        await _committed(storage, first, second, third)
        head = await present(storage, "a")
        assert (head.version, head.data, head.revision_info) == (3, second.data, third.revision_json)
        assert await _numbers(storage, "a") == [1]
        now, then = await _revision(storage, "a", 1), await _revision(storage, "a", 1, version=1)
        assert (now.info, now.version, now.written) == (third.revision, 1, 3)
        assert (then.info, then.version, then.written) == (first.revision, 1, 1)
        assert (await storage.data(now), await storage.data(then)) == (second.data, first.data)
        assert await ids(storage, QB["text"].eq("two")) == ["a"]
        assert await ids(storage, QB["text"].eq("one")) == await ids(storage, QB["code"].eq("c")) == []

    async def test_a_switch_moves_the_head_and_an_update_branches_from_there(self, storage: IStorage) -> None:
        """It makes no revision; data, index and status become those of the revision."""
        first = create_write("a", sample(text="one", payload=LARGE), status=RevisionStatus.draft)
        second = update_write(first, sample(text="two"))
        back = switch_write(second, first)
        branch = update_write(back, sample(text="three"))
        await _committed(storage, first, second, back)
        head = await present(storage, "a")
        assert (head.version, head.data, head.revision_info) == (3, first.data, first.revision_json)
        assert await _numbers(storage, "a") == [2, 1]
        assert await ids(storage, QB["text"].eq("one")) == ["a"]
        await storage.commit(branch)
        assert [(await _revision(storage, "a", n)).info.parent_revision_id for n in (1, 2, 3)] == [None, "a:1", "a:1"]
        kinds = [commit.kind for commit in await storage.commits("a")]
        assert kinds == [CommitKind.update, CommitKind.switch, CommitKind.update, CommitKind.create]
        assert (await _revision(storage, "a", 1)).written == 3

    async def test_5_a_switch_may_not_take_what_another_holds(self, storage: IStorage) -> None:
        """A unique value that was given up, and is held by another resource now."""
        first = create_write("a", sample(code="one"))
        second = update_write(first, sample(code="two"))
        await _committed(storage, first, second, create_write("b", sample(code="one")))
        with pytest.raises(UniqueViolation):
            await storage.commit(switch_write(second, first))
        assert (await present(storage, "a")).data == second.data

    async def test_the_commit_of_a_time_is_the_last_one_that_is_not_after_it(self, storage: IStorage) -> None:
        """To the microsecond; nothing before the first one."""
        first = create_write("a", sample(), time=_START)
        second = delete_write(first, time=_hours(1))
        third = restore_write(second, time=_hours(1))
        await _committed(storage, first, second, third)
        tick = timedelta(microseconds=1)
        for time, version in ((_START, 1), (_hours(1) - tick, 1), (_hours(1), 3), (_hours(9), 3)):
            commit = await storage.commit_at("a", time)
            assert commit is not None
            assert commit.version == version
        assert await storage.commit_at("a", _START - tick) is None
        assert await storage.commit_at("nobody", _START) is None

    async def test_what_is_pruned_is_gone_and_the_head_never_is(self, storage: IStorage) -> None:
        """Its data, with the update that gives it up or with a prune of its own; commits still tell that it was."""
        writes = [create_write("a", sample(number=1, payload=LARGE))]
        for number in range(2, 5):
            writes.append(update_write(writes[-1], sample(number=number), prunes=number - 3))
        writes.append(switch_write(writes[-1], writes[1]))
        writes.append(prune_write(writes[-1], 4))
        await _committed(storage, *writes[:4])
        assert await _numbers(storage, "a") == [4, 3, 2]
        assert await storage.revision("a", 1) is None
        listed = await _revision(storage, "a", 3)
        await _committed(storage, *writes[4:])
        await storage.vacuum()
        await storage.vacuum()
        assert await _numbers(storage, "a") == [2]
        assert (await present(storage, "a")).data == writes[1].data
        assert await storage.data(await _revision(storage, "a", 2)) == writes[1].data
        with pytest.raises(RevisionNotFound):
            await storage.data(listed)
        held = [commit.version for commit in await storage.commits("a") if commit.locator is not None]
        assert held == [5, 2]  # which gave the current revision its data
        follower = update_write(writes[-1], sample(number=9))
        await storage.commit(follower)
        assert await _numbers(storage, "a") == [5, 2]

    async def test_3_prunes_and_purges_spare_what_stands_beside_it(self, storage: IStorage) -> None:
        """Of many that were written together, some are given up; all the others read back."""
        writes = [create_write(f"r{number}", sample(number=number, payload=LARGE)) for number in range(6)]
        assert await outcomes(storage, writes) == [None] * 6
        news = [
            update_write(write, sample(text="new"), prunes=1 if number % 2 else 0)
            for number, write in enumerate(writes)
        ]
        assert await outcomes(storage, news) == [None] * 6
        await storage.vacuum()
        await storage.commit(purge(news[0]))
        for number in range(1, 6):
            assert await _numbers(storage, f"r{number}") == ([2] if number % 2 else [2, 1])
        for number in (2, 4):
            assert await storage.data(await _revision(storage, f"r{number}", 1)) == writes[number].data

    async def test_resources_with_old_data_are_told_in_order(self, storage: IStorage) -> None:
        """Those that hold data from before a time that is not the current revision's, in pages."""
        for name in ("a", "b", "c"):
            first = create_write(name, sample(), time=_START)
            await _committed(storage, first, update_write(first, sample(number=1), time=_hours(2)))
        await storage.commit(create_write("only", sample(), time=_START))
        assert await storage.expired_revisions(_hours(1), "", 2) == ["a", "b"]
        assert await storage.expired_revisions(_hours(1), "b", 2) == ["c"]
        assert await storage.expired_revisions(_START, "", 10) == []

    async def test_a_write_of_a_key_happens_once(self, storage: IStorage) -> None:
        """Until the key expires, or what it made is purged; also of two at the same moment."""
        now = datetime.now(UTC)

        def keyed(name: str, time: datetime) -> Write:
            return create_write(
                name, sample(), time=time, key=RequestKey("k", "f", timestamp(time + timedelta(hours=1)))
            )

        results = await outcomes(storage, [keyed("a", now), keyed("b", now), keyed("a", now)])
        assert [type(result) for result in results] == [type(None), Repeated, Repeated]
        assert (results[1].resource_id, results[1].fingerprint) == ("a", "f")
        with pytest.raises(Repeated):
            await storage.commit(keyed("c", now + timedelta(minutes=59)))
        await storage.commit(keyed("c", now + timedelta(minutes=61)))
        with pytest.raises(Repeated) as caught:
            await storage.commit(keyed("d", now + timedelta(minutes=62)))
        assert caught.value.resource_id == "c"
        await storage.vacuum()
        with pytest.raises(Repeated):
            await storage.commit(keyed("d", now + timedelta(minutes=62)))
        await storage.commit(purge(keyed("c", now + timedelta(minutes=61))))
        await storage.commit(keyed("d", now + timedelta(minutes=62)))
        assert set(await ids(storage)) == {"a", "d"}

    async def test_reads_that_a_purge_overtakes_find_nothing(self, storage: IStorage) -> None:
        """What was named before it, and is fetched after it, is missing; it is not damaged."""
        first = create_write("a", sample(payload=LARGE))
        await storage.commit(first)
        (commit,), revision = await storage.commits("a"), await _revision(storage, "a", 1)
        await storage.commit(purge(first))
        for named in (commit, revision):
            with pytest.raises(RevisionNotFound):
                await storage.data(named)
        await storage.commit(create_write("a", sample(payload=LARGE[:-1])))
        with pytest.raises(RevisionNotFound):
            await storage.data(revision)

    async def test_follow_ups_are_pending_until_they_are_settled(self, storage: IStorage) -> None:
        """Those of a delete and of a purge, in order and by pages; a write that is refused leaves none."""
        made = {name: create_write(name, sample()) for name in "abcd"}
        await _committed(storage, *made.values())
        assert await storage.pending_deletions(None, 10) == []
        gone = {name: replace(delete_write(made[name], time=_hours(1)), follow_up=True) for name in "cba"}
        purged = replace(purge(gone["b"]), follow_up=True)
        await _committed(
            storage, *gone.values(), delete_write(made["d"]), purged, restore_write(gone["a"], time=_hours(2))
        )
        (refused,) = await outcomes(storage, [replace(delete_write(made["c"], time=_hours(3)), follow_up=True)])
        assert isinstance(refused, Conflict)
        early = [OnDeleteTask(name, timestamp(_hours(1)), "ada") for name in "abc"]
        first = await storage.pending_deletions(None, 2)
        rest = await storage.pending_deletions(first[-1], 10)
        assert [*first, *rest] == early  # what happened to one resource at one time is one
        assert {item.by for item in first + rest} == {"ada"}
        await storage.complete([early[0], early[1]])
        await storage.complete([early[0]])
        await storage.complete([])
        assert await storage.pending_deletions(None, 10) == early[2:]
