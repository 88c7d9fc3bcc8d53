"""Conformance of revisions: drafts, switches, times, prunes, idempotency keys and on-delete tasks."""

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
    purge_write,
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
    """Return a revision that must exist."""
    revision = await storage.revision(resource_id, number, **options)
    assert revision is not None
    return revision


async def _revision_numbers(storage: IStorage, resource_id: str, **span: Any) -> list[int]:
    """Return the numbers of the kept revisions."""
    found = await storage.revisions(resource_id, RevisionSpan(**span))
    return [int(revision.revision_id.rpartition(":")[2]) for revision in found]


def _hours(number: float) -> datetime:
    return _START + timedelta(hours=number)


class RevisionTests(StorageTests):
    """Tests of a resource's history."""

    async def test_revisions_selects_by_version_and_time(self, storage: IStorage) -> None:
        """Newest first. Both ends of a time span are included."""
        write = create_write("a", sample(number=1), time=_START)
        await storage.commit(write)
        for number in range(2, 6):
            write = update_write(write, sample(number=number), time=_hours(number - 1))
            await storage.commit(write)
        assert await _revision_numbers(storage, "a") == [5, 4, 3, 2, 1]
        assert await _revision_numbers(storage, "a", limit=2) == [5, 4]
        assert await _revision_numbers(storage, "a", before=3) == [2, 1]
        assert await _revision_numbers(storage, "a", since=_hours(1), until=_hours(3)) == [4, 3, 2]
        assert await _revision_numbers(storage, "a", since=_hours(0.5), until=_hours(2.5), limit=1) == [3]
        assert await _revision_numbers(storage, "nobody") == []
        assert await storage.revision("a", 6) is None
        assert await storage.revision("nobody", 1) is None
        third = await _revision(storage, "a", 3)
        assert (third.info.parent_revision_id, third.version, third.data_version) == ("a:2", 3, 3)
        assert await storage.data(third) == sample(number=3)

    async def test_3_edit_of_a_draft_keeps_its_earlier_state(self, storage: IStorage) -> None:
        """An edit makes no revision. The earlier state can be read as of its time."""
        draft = RevisionStatus.draft
        first = create_write("a", sample(text="one", code="c"), time=_START, status=draft)
        second = modify_write(first, first, sample(text="two", payload=LARGE), time=_hours(1))
        third = modify_write(second, second, sample(text="two", payload=LARGE), status=RevisionStatus.stable)
        await _committed(storage, first, second, third)
        head = await present(storage, "a")
        assert (head.version, head.data, head.revision_info) == (3, second.data, third.revision_json)
        assert await _revision_numbers(storage, "a") == [1]
        now, at_time = await _revision(storage, "a", 1), await _revision(storage, "a", 1, version=1)
        assert (now.info, now.version, now.data_version) == (third.revision, 1, 3)
        assert (at_time.info, at_time.version, at_time.data_version) == (first.revision, 1, 1)
        assert (await storage.data(now), await storage.data(at_time)) == (second.data, first.data)
        assert await ids(storage, QB["text"].eq("two")) == ["a"]
        assert await ids(storage, QB["text"].eq("one")) == await ids(storage, QB["code"].eq("c")) == []

    async def test_update_after_a_switch_branches_from_that_revision(self, storage: IStorage) -> None:
        """A switch makes no revision. Data, index values and status become those of the revision."""
        first = create_write("a", sample(text="one", payload=LARGE), status=RevisionStatus.draft)
        second = update_write(first, sample(text="two"))
        restoration = switch_write(second, first)
        branch = update_write(restoration, sample(text="three"))
        await _committed(storage, first, second, restoration)
        head = await present(storage, "a")
        assert (head.version, head.data, head.revision_info) == (3, first.data, first.revision_json)
        assert await _revision_numbers(storage, "a") == [2, 1]
        assert await ids(storage, QB["text"].eq("one")) == ["a"]
        await storage.commit(branch)
        assert [(await _revision(storage, "a", n)).info.parent_revision_id for n in (1, 2, 3)] == [None, "a:1", "a:1"]
        kinds = [commit.kind for commit in await storage.commits("a")]
        assert kinds == [CommitKind.update, CommitKind.switch, CommitKind.update, CommitKind.create]
        assert (await _revision(storage, "a", 1)).data_version == 3

    async def test_5_switch_to_a_taken_unique_value_is_refused(self, storage: IStorage) -> None:
        """The value was given up and belongs to another resource now."""
        first = create_write("a", sample(code="one"))
        second = update_write(first, sample(code="two"))
        await _committed(storage, first, second, create_write("b", sample(code="one")))
        with pytest.raises(UniqueViolation):
            await storage.commit(switch_write(second, first))
        assert (await present(storage, "a")).data == second.data

    async def test_commit_at_returns_the_last_commit_up_to_a_time(self, storage: IStorage) -> None:
        """Exact to the microsecond. There is none before the first commit."""
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

    async def test_prune_removes_data_except_the_head(self, storage: IStorage) -> None:
        """Prune with an update and with a prune of its own. The commits stay listed."""
        writes = [create_write("a", sample(number=1, payload=LARGE))]
        for number in range(2, 5):
            writes.append(update_write(writes[-1], sample(number=number), prunes=number - 3))
        writes.append(switch_write(writes[-1], writes[1]))
        writes.append(prune_write(writes[-1], 4))
        await _committed(storage, *writes[:4])
        assert await _revision_numbers(storage, "a") == [4, 3, 2]
        assert await storage.revision("a", 1) is None
        listed = await _revision(storage, "a", 3)
        await _committed(storage, *writes[4:])
        await storage.vacuum()
        await storage.vacuum()
        assert await _revision_numbers(storage, "a") == [2]
        assert (await present(storage, "a")).data == writes[1].data
        assert await storage.data(await _revision(storage, "a", 2)) == writes[1].data
        with pytest.raises(RevisionNotFound):
            await storage.data(listed)
        holders = [commit.version for commit in await storage.commits("a") if commit.locator is not None]
        assert holders == [5, 2]  # which gave the current revision its data
        follower = update_write(writes[-1], sample(number=9))
        await storage.commit(follower)
        assert await _revision_numbers(storage, "a") == [5, 2]

    async def test_3_erasure_spares_other_records_of_a_batch(self, storage: IStorage) -> None:
        """Prune and purge some of many writes of one batch. All others read back."""
        writes = [create_write(f"r{number}", sample(number=number, payload=LARGE)) for number in range(6)]
        assert await outcomes(storage, writes) == [None] * 6
        news = [
            update_write(write, sample(text="new"), prunes=1 if number % 2 else 0)
            for number, write in enumerate(writes)
        ]
        assert await outcomes(storage, news) == [None] * 6
        await storage.vacuum()
        await storage.commit(purge_write(news[0]))
        for number in range(1, 6):
            assert await _revision_numbers(storage, f"r{number}") == ([2] if number % 2 else [2, 1])
        for number in (2, 4):
            assert await storage.data(await _revision(storage, f"r{number}", 1)) == writes[number].data

    async def test_expired_revisions_lists_resources_in_order(self, storage: IStorage) -> None:
        """List resources in pages whose old revisions have data from before a time."""
        for name in ("a", "b", "c"):
            first = create_write(name, sample(), time=_START)
            await _committed(storage, first, update_write(first, sample(number=1), time=_hours(2)))
        await storage.commit(create_write("only", sample(), time=_START))
        assert await storage.expired_revisions(_hours(1), "", 2) == ["a", "b"]
        assert await storage.expired_revisions(_hours(1), "b", 2) == ["c"]
        assert await storage.expired_revisions(_START, "", 10) == []

    async def test_write_with_an_idempotency_key_happens_once(self, storage: IStorage) -> None:
        """The key is free again when it expires or its resource is purged. Try two at the same moment."""
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
        await storage.commit(purge_write(keyed("c", now + timedelta(minutes=61))))
        await storage.commit(keyed("d", now + timedelta(minutes=62)))
        assert set(await ids(storage)) == {"a", "d"}

    async def test_read_that_races_a_purge_finds_nothing(self, storage: IStorage) -> None:
        """Data that was located before the purge is missing after it, and not damaged."""
        first = create_write("a", sample(payload=LARGE))
        await storage.commit(first)
        (commit,), revision = await storage.commits("a"), await _revision(storage, "a", 1)
        await storage.commit(purge_write(first))
        for field_names in (commit, revision):
            with pytest.raises(RevisionNotFound):
                await storage.data(field_names)
        await storage.commit(create_write("a", sample(payload=LARGE[:-1])))
        with pytest.raises(RevisionNotFound):
            await storage.data(revision)

    async def test_on_delete_tasks_are_pending_until_completed(self, storage: IStorage) -> None:
        """Tasks of deletes and purges, in order and by pages. A refused write leaves none."""
        made = {name: create_write(name, sample()) for name in "abcd"}
        await _committed(storage, *made.values())
        assert await storage.pending_deletions(None, 10) == []
        deletion = {name: replace(delete_write(made[name], time=_hours(1)), has_task=True) for name in "cba"}
        purged = replace(purge_write(deletion["b"]), has_task=True)
        await _committed(
            storage, *deletion.values(), delete_write(made["d"]), purged, restore_write(deletion["a"], time=_hours(2))
        )
        (refused,) = await outcomes(storage, [replace(delete_write(made["c"], time=_hours(3)), has_task=True)])
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
