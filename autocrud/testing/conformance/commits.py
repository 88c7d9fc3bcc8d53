"""Conformance of commits: accepted writes, refused writes, and their effects."""

import asyncio
from datetime import timedelta

import pytest

from autocrud.errors import AlreadyExists, Conflict, RevisionNotFound, UniqueViolation
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.resource import CommitKind
from autocrud.storage.ports.storage import IStorage
from autocrud.testing.conformance.base import LARGE, StorageTests, ids, outcomes, present
from autocrud.testing.sample_writes import (
    at_version,
    create_write,
    delete_write,
    purge_write,
    restore_write,
    sample,
    update_write,
)


class CommitTests(StorageTests):
    """Tests of single writes and of competing writes."""

    async def test_create_reads_back_byte_for_byte(self, storage: IStorage) -> None:
        """Compare metadata and data, including Unicode."""
        write = create_write("a", sample(text="Grüße 🎬 \u2028", payload='"quoted"'))
        await storage.commit(write)
        head = await present(storage, "a")
        assert (head.data, head.meta, head.revision_info) == (write.data, write.meta_json, write.revision_json)
        assert (head.version, head.is_deleted, head.tag) == (1, False, write.meta.tag)

    async def test_get_of_an_unknown_id_returns_none(self, storage: IStorage) -> None:
        """Check also that an empty storage lists nothing."""
        assert await storage.get("nobody") is None
        assert await ids(storage) == []
        assert await storage.count(Query()) == 0
        assert await storage.commits("nobody") == []

    async def test_data_of_any_size_reads_back(self, storage: IStorage) -> None:
        """Check data too large for the head in reads, lists and the history."""
        small, large = sample(text="small"), sample(text="large", payload=LARGE)
        first = create_write("a", large)
        second = update_write(first, small)
        third = delete_write(second)
        await storage.commit(first)
        assert (await present(storage, "a")).data == large
        assert [head.data for head in (await storage.search(Query())).items] == [large]
        await storage.commit(second)
        assert (await present(storage, "a")).data == small
        await storage.commit(third)
        await storage.commit(restore_write(third))
        assert (await present(storage, "a")).data == small
        history = await storage.commits("a")
        assert [await storage.data(commit) for commit in history[-2:]] == [small, large]

    async def test_3_revisions_are_immutable(self, storage: IStorage) -> None:
        """Every revision keeps its bytes, whatever commit follows."""
        writes = [create_write("a", sample(number=0))]
        for number in range(1, 6):
            writes.append(update_write(writes[-1], sample(number=number)))
        for write in writes:
            await storage.commit(write)
        history = await storage.commits("a")
        assert [commit.version for commit in history] == [6, 5, 4, 3, 2, 1]
        assert [await storage.data(commit) for commit in history] == [write.data for write in reversed(writes)]
        assert [commit.parent_revision_id for commit in history] == ["a:5", "a:4", "a:3", "a:2", "a:1", None]

    async def test_commits_lists_every_kind_of_commit(self, storage: IStorage) -> None:
        """Deletes and restores are commits with a time and an author, and without data."""
        first = create_write("a", sample())
        second = delete_write(first)
        third = restore_write(second)
        for write in (first, second, third):
            await storage.commit(write)
        history = await storage.commits("a")
        assert [commit.kind for commit in history] == [CommitKind.restore, CommitKind.delete, CommitKind.create]
        assert [commit.is_deleted for commit in history] == [False, True, False]
        assert [commit.time for commit in history] == [first.meta.updated_time] * 3
        assert {commit.by for commit in history} == {"ada"}
        assert [commit.locator is None for commit in history] == [True, True, False]
        with pytest.raises(RevisionNotFound):
            await storage.data(history[0])

    async def test_commits_pages_newest_first(self, storage: IStorage) -> None:
        """Cut the history with `before` and `limit`, without a gap."""
        write = create_write("a", sample(number=0))
        await storage.commit(write)
        for number in range(1, 5):
            write = update_write(write, sample(number=number))
            await storage.commit(write)
        assert [commit.version for commit in await storage.commits("a", limit=2)] == [5, 4]
        assert [commit.version for commit in await storage.commits("a", before=4, limit=2)] == [3, 2]

    async def test_4_stale_write_raises_conflict(self, storage: IStorage) -> None:
        """Check that a refused write leaves no trace."""
        first = create_write("a", sample(text="first"))
        second = update_write(first, sample(text="second"))
        await storage.commit(first)
        await storage.commit(second)
        for stale in (second, at_version(second, 7), delete_write(first), purge_write(first)):
            with pytest.raises(Conflict):
                await storage.commit(stale)
        assert (await present(storage, "a")).data == second.data
        assert len(await storage.commits("a")) == 2

    async def test_4_write_to_a_missing_resource_raises_conflict(self, storage: IStorage) -> None:
        """Update and delete resources that do not exist."""
        for write in (update_write(create_write("a", sample()), sample()), delete_write(create_write("a", sample()))):
            with pytest.raises(Conflict):
                await storage.commit(write)
        assert await storage.get("a") is None

    async def test_4_concurrent_updates_of_one_version_accept_exactly_one(self, storage: IStorage) -> None:
        """Run forty updates that read the same version."""
        first = create_write("a", sample())
        await storage.commit(first)
        rivals = [update_write(first, sample(number=number)) for number in range(40)]
        results = await outcomes(storage, rivals)
        assert results.count(None) == 1
        assert sum(isinstance(result, Conflict) for result in results) == 39
        assert (await present(storage, "a")).data == rivals[results.index(None)].data

    async def test_4_concurrent_creates_of_one_id_accept_exactly_one(self, storage: IStorage) -> None:
        """Run forty creates of the same id."""
        rivals = [create_write("a", sample(number=number)) for number in range(40)]
        results = await outcomes(storage, rivals)
        assert results.count(None) == 1
        assert sum(isinstance(result, AlreadyExists) for result in results) == 39
        assert (await present(storage, "a")).data == rivals[results.index(None)].data

    async def test_create_with_the_id_of_a_deleted_resource_is_refused(self, storage: IStorage) -> None:
        """A soft-deleted resource can be restored, so its id stays taken."""
        first = create_write("a", sample())
        await storage.commit(first)
        await storage.commit(delete_write(first))
        with pytest.raises(AlreadyExists):
            await storage.commit(create_write("a", sample()))

    async def test_create_reports_a_taken_id_before_a_taken_value(self, storage: IStorage) -> None:
        """Create a resource again whose unique value it holds itself."""
        await storage.commit(create_write("a", sample(code="one")))
        with pytest.raises(AlreadyExists):
            await storage.commit(create_write("a", sample(code="one")))

    async def test_batch_refuses_each_invalid_write_alone(self, storage: IStorage) -> None:
        """Refused writes do not affect the other writes of a batch."""
        first = create_write("a", sample(code="taken"))
        await storage.commit(first)
        good = [create_write(f"good-{number}", sample(number=number)) for number in range(10)]
        bad = [
            create_write("a", sample()),
            create_write("b", sample(code="taken")),
            at_version(delete_write(first), 9),
        ]
        results = await outcomes(storage, [good[0], bad[0], *good[1:5], bad[1], *good[5:], bad[2]])
        assert results.count(None) == 10
        assert {type(result) for result in results if result is not None} == {AlreadyExists, UniqueViolation, Conflict}
        assert set(await ids(storage)) == {"a", *(write.meta.resource_id for write in good)}
        for write in good:
            assert (await present(storage, write.meta.resource_id)).data == write.data
            assert len(await storage.commits(write.meta.resource_id)) == 1

    async def test_5_unique_value_of_a_live_resource_is_refused(self, storage: IStorage) -> None:
        """Create and update into a value that a live resource holds. The error names the field."""
        first, second = create_write("a", sample(code="one")), create_write("b", sample(code="two"))
        await storage.commit(first)
        await storage.commit(second)
        for write in (create_write("c", sample(code="one")), update_write(second, sample(code="one"))):
            with pytest.raises(UniqueViolation) as caught:
                await storage.commit(write)
            assert caught.value.field == "code"
        assert (await present(storage, "b")).data == second.data
        await storage.commit(update_write(first, sample(code="one", text="the holder itself may keep it")))

    async def test_5_concurrent_claims_of_one_value_accept_exactly_one(self, storage: IStorage) -> None:
        """Run thirty claims, also in one batch."""
        results = await outcomes(storage, [create_write(f"r{number}", sample(code="one")) for number in range(30)])
        assert results.count(None) == 1
        assert sum(isinstance(result, UniqueViolation) for result in results) == 29
        assert len(await ids(storage, QB["code"].eq("one"))) == 1

    async def test_5_error_names_the_first_of_several_taken_values(self, storage: IStorage) -> None:
        """Check the order of the model's fields on create, update and restore."""
        first = create_write("a", sample(code="one", serial=1))
        deletion = delete_write(first)
        for write in (first, deletion, create_write("b", sample(serial=1)), create_write("c", sample(code="one"))):
            await storage.commit(write)
        other = create_write("d", sample())
        await storage.commit(other)
        claimed = sample(code="one", serial=1)
        for write in (create_write("e", claimed), update_write(other, claimed), restore_write(deletion)):
            with pytest.raises(UniqueViolation) as caught:
                await storage.commit(write)
            assert caught.value.field == "code"

    async def test_5_nulls_and_deleted_resources_claim_nothing(self, storage: IStorage) -> None:
        """Share null, and reuse the value of a deleted resource."""
        first = create_write("a", sample(code="one"))
        for write in (create_write("x", sample()), create_write("y", sample()), first, delete_write(first)):
            await storage.commit(write)
        await storage.commit(create_write("b", sample(code="one")))
        with pytest.raises(UniqueViolation):
            await storage.commit(restore_write(delete_write(first)))
        assert (await present(storage, "a")).is_deleted

    async def test_purge_removes_head_history_and_list_entry(self, storage: IStorage) -> None:
        """Check also that the id can be used anew, from version 1."""
        first = create_write("a", sample(code="one", payload=LARGE))
        second = update_write(first, sample(code="one"))
        for write in (first, second, purge_write(second)):
            await storage.commit(write)
        assert await storage.get("a") is None
        assert await storage.commits("a") == []
        assert await ids(storage, include_deleted=True) == []
        repetition = create_write("a", sample(code="one", text="again"))
        await storage.commit(repetition)
        assert (await present(storage, "a")).data == repetition.data
        assert [commit.version for commit in await storage.commits("a")] == [1]

    async def test_4_write_after_purge_does_not_reach_the_new_resource(self, storage: IStorage) -> None:
        """The new resource has the same id and version, as an overwriting import makes it."""
        first = create_write("a", sample(text="first"))
        await storage.commit(first)
        later = first.meta.created_time + timedelta(seconds=1)
        heir = create_write("a", sample(text="heir"), time=later)
        late_write = update_write(first, sample(text="late"), time=later)
        results = await storage.commit_all([purge_write(first), heir, late_write])
        assert [type(result) for result in results] == [type(None), type(None), Conflict]
        for write in (late_write, delete_write(first, time=later), purge_write(first)):
            with pytest.raises(Conflict):
                await storage.commit(write)
        assert (await present(storage, "a")).meta == heir.meta_json
        await storage.commit(update_write(heir, sample(text="next")))

    async def test_purge_spares_other_writes_of_its_batch(self, storage: IStorage) -> None:
        """Check that they keep their bytes."""
        writes = [create_write(f"r{number}", sample(number=number, payload=LARGE)) for number in range(8)]
        assert await outcomes(storage, writes) == [None] * 8
        await storage.commit(purge_write(writes[3]))
        for number in (0, 1, 2, 4, 5, 6, 7):
            assert (await present(storage, f"r{number}")).data == writes[number].data
            (commit,) = await storage.commits(f"r{number}")
            assert await storage.data(commit) == writes[number].data

    async def test_close_finishes_writes_in_flight(self, storage: IStorage) -> None:
        """Check that writes are acknowledged and that a second close has no effect."""
        writes = [asyncio.ensure_future(storage.commit(create_write(f"r{number}", sample()))) for number in range(20)]
        await asyncio.sleep(0)
        await storage.close()
        assert await asyncio.gather(*writes) == [None] * 20
        await storage.close()
