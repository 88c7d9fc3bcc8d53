"""Stores over an ordered map: restarts, several processes, erasure, and changes of a model."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, Index, Ref, Schema, Unique
from autocrud.errors import (
    ConfigurationError,
    DataCorrupted,
    IndexNotReady,
    NewerSchema,
    Referenced,
    StorageUnavailable,
    UniqueViolation,
)
from autocrud.migrations import rename
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ordered_map import Item, OrderedMapStorageFactory
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.transactions import START
from autocrud.testing.conformance import ids, present
from autocrud.testing.sample_writes import (
    SAMPLE,
    Sample,
    create_write,
    delete_write,
    prune_write,
    purge_write,
    sample,
    update_write,
)
from examples.dict_backend import DictMap
from tests.storage.backends import storage_on

LARGE = "x" * 2_500_000


class SwitchingMap(DictMap):
    """A map that lets other tasks run in each call, as a map in another process does."""

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, Item]:
        """Return the items of these keys."""
        await asyncio.sleep(0)
        return await super().get(keys)

    async def commit(self, expected: Mapping[bytes, int], changes: Mapping[bytes, bytes | None]) -> None:
        """Check all versions, then change all keys."""
        await asyncio.sleep(0)
        await super().commit(expected, changes)


class Strict(Sample):
    """The sample model with a unique text."""

    text: Annotated[str, Unique()] = ""


STRICT: ModelSpec[Strict] = ModelSpec(Strict, name="sample")


def tables_of(ordered_map: DictMap) -> Counter[str]:
    """Return the number of rows of each table of a map."""
    return Counter(key.partition(b"\0")[0].decode() for key in ordered_map._items)


@asynccontextmanager
async def opened(ordered_map: DictMap, spec: ModelSpec[Any] = SAMPLE) -> AsyncIterator[IStorage]:
    """Yield the storage of a process of its own on a map."""
    async with storage_on(OrderedMapStorageFactory(ordered_map), spec) as storage:
        yield storage


async def test_11_processes_on_one_map_share_one_commit_order() -> None:
    """Race creates, updates and unique values. Sequences are dense, and one process wins each race."""
    ordered_map = SwitchingMap()
    async with opened(ordered_map) as first, opened(ordered_map) as second:
        storages = (first, second)
        writes = [create_write(f"r{number:02}", sample(number=number)) for number in range(20)]
        await asyncio.gather(*(storages[number % 2].commit(write) for number, write in enumerate(writes)))
        rivals = [update_write(write, sample(number=number)) for write in writes for number in (100, 200)]
        calls = [storages[number % 2].commit(write) for number, write in enumerate(rivals)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results.count(None) == 20
        claims = [create_write(f"c{number}", sample(code="one")) for number in range(8)]
        calls = [storages[number % 2].commit(write) for number, write in enumerate(claims)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results.count(None) == 1
        assert sum(isinstance(result, UniqueViolation) for result in results) == 7
        assert first.store is not None
        changes = await first.store.changes(START, 100)
        assert [change.position for change in changes] == sorted({change.position for change in changes})
        assert len(changes) == 41
        sequences = {change.position.sequence for change in changes}
        assert sequences == set(range(2, len(sequences) + 2))  # the first batch has the contract of the model
        for place in range(0, 41, 7):
            assert await second.store.changes(changes[place].position, 100) == changes[place + 1 :]  # type: ignore[union-attr]


async def test_batch_that_always_loses_a_race_is_refused_after_many_attempts() -> None:
    """The error is an outage, because a later call may succeed."""

    class BusyMap(DictMap):
        """A map that another process writes to before each commit of a resource."""

        async def commit(self, expected: Mapping[bytes, int], changes: Mapping[bytes, bytes | None]) -> None:
            """Change the tail of the commit order first."""
            if any(key.startswith(b"head\0") for key in changes):
                await super().commit({}, {b"tail": b'{"sequence":1,"last":[0,0]}'})
            await super().commit(expected, changes)

    async with opened(BusyMap()) as storage:
        with pytest.raises(StorageUnavailable, match="other processes committed"):
            await storage.commit(create_write("a", sample()))


async def test_2_lost_answer_of_a_commit_leaves_a_whole_batch() -> None:
    """The outcome is unknown, and a read finds the write."""

    class LossyMap(DictMap):
        """A map that loses one answer."""

        is_lossy = False

        async def commit(self, expected: Mapping[bytes, int], changes: Mapping[bytes, bytes | None]) -> None:
            """Commit, and lose the answer."""
            await super().commit(expected, changes)
            if self.is_lossy:
                self.is_lossy = False
                raise StorageUnavailable("no answer")

    ordered_map = LossyMap()
    async with opened(ordered_map) as storage:
        ordered_map.is_lossy = True
        write = create_write("a", sample(code="one"))
        with pytest.raises(StorageUnavailable):
            await storage.commit(write)
        await storage.commit(update_write(write, sample(code="one", text="next")))
        assert [commit.version for commit in await storage.commits("a")] == [2, 1]


async def test_6_everything_is_read_back_after_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    """Data, history, positions, blobs and on-delete tasks. The log says once per start how queries work."""
    ordered_map = DictMap()
    first = create_write("a", sample(text="one", payload=LARGE))
    second = update_write(first, sample(text="two"))
    async with opened(ordered_map) as storage:
        blob = await storage.blobs.put_bytes(b"blob")
        other = create_write("b", sample(), blobs=(blob.file_id,))
        deletion = delete_write(other)
        deletion.has_task = True
        assert await storage.commit_all([first, second, other, deletion]) == [None] * 4
        assert storage.store is not None
        changes, tasks = await storage.store.changes(), await storage.pending_deletions(None, 10)
    caplog.set_level(logging.INFO, "autocrud")
    async with opened(ordered_map) as storage:
        assert [await storage.data(commit) for commit in await storage.commits("a")] == [second.data, first.data]
        assert await ids(storage, QB["text"].eq("two")) == ["a"]
        assert storage.store is not None
        assert (await storage.store.changes(), await storage.pending_deletions(None, 10)) == (changes, tasks)
        assert len(tasks) == 1
        await storage.complete(tasks)
        assert await storage.pending_deletions(None, 10) == []
        assert await storage.blobs.find(blob.file_id) == blob
    assert [record.message for record in caplog.records if "no indexes" in record.message] == [
        "ordered map: an ordered map has no indexes, so each query reads all resources of a model"
    ]


async def test_3_purge_and_prune_delete_the_keys_of_data_and_blobs() -> None:
    """The map has the changes of the purges, and the arrival of the blob until the lifetime of uploads is over."""
    ordered_map = DictMap()
    async with opened(ordered_map) as storage:
        blob = await storage.blobs.put_bytes(b"x" * 3_000_000)
        first = create_write("a", sample(code="one", payload=LARGE), blobs=(blob.file_id,))
        second = update_write(first, sample(code="two"))
        await storage.commit_all([first, second, create_write("b", sample())])
        assert tables_of(ordered_map)["data"] == 5  # the large data is three values
        pruning = prune_write(second, 1)
        await storage.commit(pruning)
        assert tables_of(ordered_map)["data"] == 2
        assert tables_of(ordered_map)["chunk"] == tables_of(ordered_map)["blob"] == 0
        await storage.commit_all([purge_write(pruning), purge_write(create_write("b", sample()))])
        assert await ids(storage, include_deleted=True) == ["b"]  # it was created at another time
        assert storage.store is not None
        assert [change.resource_id for change in await storage.store.changes()] == ["b", "a"]
        rows = tables_of(ordered_map)
        assert {name: rows[name] for name in ("head", "commit", "claim", "key_of", "blob_use", "object")} == {
            "head": 1, "commit": 1, "claim": 0, "key_of": 0, "blob_use": 0, "object": 1,
        }  # fmt: skip


async def test_damaged_data_is_reported_and_not_returned() -> None:
    """Change a byte of large data, and remove it."""
    ordered_map = DictMap()
    async with opened(ordered_map) as storage:
        await storage.commit(create_write("a", sample(payload=LARGE)))
        key = next(key for key in ordered_map._items if key.startswith(b"data\0"))
        await ordered_map.commit({}, {key: b"X" + ordered_map._items[key].value[1:]})
        with pytest.raises(DataCorrupted, match="damaged"):
            await storage.get("a")
        await ordered_map.commit({}, {key: None})
        with pytest.raises(DataCorrupted, match="lost"):
            await storage.get("a")


async def test_query_sees_a_transaction_in_whole_or_not_at_all() -> None:
    """Move a value from the last resource to the first one while a query reads the pages between."""
    ordered_map = SwitchingMap()
    async with opened(ordered_map) as storage:
        writes = [create_write(f"r{number:03}", sample(number=number)) for number in range(250)]
        await storage.commit_all(writes)
        pages: Any = storage.snapshot_scan(Query())
        assert (await anext(pages)).resource_id == "r000"
        moved = [update_write(writes[0], sample(number=249)), update_write(writes[249], sample(number=0))]
        assert await storage.commit_all(moved, atomic=True) == [None] * 2
        assert [head.data async for head in pages][-1] == writes[249].data
        assert (await present(storage, "r249")).data == moved[1].data


async def test_5_unique_set_of_a_later_start_covers_stored_resources() -> None:
    """A duplicate stops the start, and changes nothing. A process of the old model cannot bring one in."""
    ordered_map = DictMap()
    first, second = create_write("a", sample(text="one")), create_write("b", sample(text="one"))
    async with opened(ordered_map) as storage:
        await storage.commit_all([first, second])
    with pytest.raises(ConfigurationError, match=r"Strict\.text cannot be unique: stored resources share a value"):
        async with opened(ordered_map, STRICT):
            pass
    async with opened(ordered_map) as old_process:
        changed = update_write(second, sample(text="two"))
        await old_process.commit(changed)
        async with opened(ordered_map, STRICT) as storage:
            with pytest.raises(UniqueViolation):
                await storage.commit(create_write("c", STRICT.dump(Strict(text="two")), spec=STRICT))
            with pytest.raises(NewerSchema, match=r"unique \(text\)"):
                await old_process.commit(update_write(changed, sample(text="three")))
            assert await ids(old_process, QB["text"].eq("two")) == ["b"]
            await storage.commit(create_write("d", STRICT.dump(Strict(text="three")), spec=STRICT))


async def test_field_that_stored_data_does_not_fit_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    """The log names the resource. Other fields answer, and the field answers after a repair."""

    class Numbers(Sample):
        """The sample model with a number where texts are stored."""

        payload: Annotated[int, Index()] = 0  # type: ignore[assignment]

    numbers: ModelSpec[Numbers] = ModelSpec(Numbers, name="sample")
    ordered_map = DictMap()
    write = create_write("a", sample(payload="x"))
    async with opened(ordered_map) as storage:
        await storage.commit(write)
    async with opened(ordered_map, numbers) as storage:
        with pytest.raises(IndexNotReady, match="payload of sample"):
            await ids(storage, QB["payload"].eq(1), spec=numbers)
        assert "'a': payload" in caplog.text
        assert await ids(storage, QB["text"].eq(""), spec=numbers) == ["a"]
        await storage.commit(update_write(write, numbers.dump(Numbers(payload=1)), spec=numbers))
        assert await ids(storage, QB["payload"].eq(1), spec=numbers) == ["a"]


async def test_model_that_changes_keeps_its_data_and_its_history() -> None:
    """A new name, a new schema version and a temporal model. References of the old name are found."""

    class Post(BaseModel):
        """A post."""

        title: Annotated[str, Unique()]

    class Comment(BaseModel):
        """A comment on a post."""

        post: Annotated[str, Ref("post", on_delete="restrict"), Index()]

    class Article(BaseModel):
        """A post with new names."""

        heading: Annotated[str, Unique()]

    ordered_map = DictMap()
    crud = AutoCRUD(storage_factory=OrderedMapStorageFactory(ordered_map))
    crud.add_model(Post)
    crud.add_model(Comment)
    async with crud.running():
        post = await crud.manager(Post).create(Post(title="Emma"))
        await crud.manager(Comment).create(Comment(post=post.resource_id))
    crud = AutoCRUD(storage_factory=OrderedMapStorageFactory(ordered_map))
    crud.add_model(Article, formerly=["post"], temporal=True, schema=Schema(2).step(1, 2, rename("title", "heading")))
    async with crud.running():
        articles = crud.manager(Article)
        assert (await articles.get(post.resource_id)).data == Article(heading="Emma")
        assert await articles.count(where={"heading": "Emma"}) == 1
        with pytest.raises(UniqueViolation):
            await articles.create(Article(heading="Emma"))
        changed = await articles.replace(post.resource_id, Article(heading="Persuasion"))
        before = changed.meta.updated_time - timedelta(microseconds=1)
        assert await articles.count(where={"heading": "Emma"}, at=before) == 1
        assert await articles.count(where={"heading": "Emma"}) == 0


async def test_5_references_whose_targets_become_known_later_are_enforced() -> None:
    """The references between the models of a service are known after the storages are open."""

    class Comment(BaseModel):
        """A comment on a sample."""

        on: Annotated[str | None, Ref("sample", on_delete="restrict"), Index()] = None

    comments: ModelSpec[Comment] = ModelSpec(Comment)
    factory = OrderedMapStorageFactory(DictMap())
    await factory.open()
    storages = [factory.build(SAMPLE), factory.build(comments)]
    for storage in storages:
        await storage.open()
    target = create_write("a", sample())
    await storages[0].commit(target)
    await storages[1].commit(create_write("c", comments.dump(Comment(on="a")), spec=comments))
    comments.reference_targets = {0: "sample"}
    with pytest.raises(Referenced):
        await storages[0].commit(delete_write(target))
    assert not (await present(storages[0], "a")).is_deleted
    for storage in storages:
        await storage.close()
    await factory.close()
