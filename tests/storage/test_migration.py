"""Migration of stored resources to a newer schema version, while others write."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from autocrud import AutoCRUD, Binary, Index, OnDelete, Ref, ResourceManager, Retention, RevisionStatus, Schema, Unique
from autocrud.errors import AutoCRUDError, InvalidParameter, NewerSchema, PreconditionFailed, Referenced
from autocrud.manager.migration import MigrationFailure, MigrationProgress
from autocrud.migrations import convert, rename
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.types import IndexProgress
from autocrud.testing.conformance.base import present
from autocrud.testing.sample_writes import create_write, delete_write, update_write
from tests.storage.backends import BACKENDS


class OldArticle(BaseModel):
    """Version 1 of the model."""

    title: Annotated[str, Index()]
    log: list[int] = Field(default_factory=list)


class Article(BaseModel):
    """Version 2 of the model."""

    headline: Annotated[str, Index()]
    log: list[int] = Field(default_factory=list)


def check_title(title: str) -> str:
    """Return a title in capitals. Fails for one title."""
    if title == "bad":
        raise ValueError("is bad")
    return title.upper()


OLD: ModelSpec[OldArticle] = ModelSpec(OldArticle, name="article")
SCHEMA = Schema(2).step(1, 2, rename("title", "headline"), convert("headline", check_title))
Opened = AbstractAsyncContextManager[ResourceManager[Any]]


@asynccontextmanager
async def opened(factory: Any, model: type[Any] = Article, schema: Any = SCHEMA, **options: Any) -> AsyncIterator[Any]:
    """Yield the manager of a version of the model."""
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(model, name="article", schema=schema, **options)
    async with crud.running():
        yield crud.manager(model)


@pytest.fixture(params=BACKENDS)
async def article(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ResourceManager[Article]]:
    """Yield the manager of version 2 on each backend."""
    async with opened(BACKENDS[request.param](tmp_path)) as manager:
        yield manager


LOCAL: dict[str, Callable[[Path], Any]] = {"memory": lambda path: MemoryStorageFactory(), "disk": DiskStorageFactory}


@pytest.fixture(params=LOCAL)
async def local(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ResourceManager[Article]]:
    """Yield the manager of version 2 in memory and on disk."""
    async with opened(LOCAL[request.param](tmp_path)) as manager:
        yield manager


async def add_old(manager: ResourceManager[Any], **titles: str) -> None:
    """Store resources as a process of version 1 does."""
    writes = [create_write(name, OLD.dump(OldArticle(title=title)), spec=OLD) for name, title in titles.items()]
    assert not any(await manager.node.storage.commit_all(writes))


async def add_many(manager: ResourceManager[Any], number: int) -> list[str]:
    """Store resources of version 1. Return their ids."""
    names = [f"r{place:03}" for place in range(number)]
    await add_old(manager, **{name: f"title of {name}" for name in names})
    return names


async def migrate(manager: ResourceManager[Any], **options: Any) -> tuple[MigrationProgress, list[MigrationFailure]]:
    """Migrate to the end. Return the last progress and all failures."""
    progresses = [progress async for progress in manager.migrate(**options)]
    return progresses[-1], [failure for progress in progresses for failure in progress.failures]


async def versions(manager: ResourceManager[Any]) -> dict[str, int]:
    """Return the schema version of each resource."""
    page = await manager.search(include_deleted=True, limit=1000)
    return {resource.resource_id: resource.meta.schema_version for resource in page.items}


async def test_migration_appends_revisions_and_keeps_the_rest(article: ResourceManager[Article]) -> None:
    """Status, deletion and old revisions stay. A resource that fails stays readable raw, and stops nothing."""
    storage = article.node.storage
    await add_old(article, a="one", c="bad")
    draft = create_write("b", OLD.dump(OldArticle(title="draft")), spec=OLD, status=RevisionStatus.draft)
    await storage.commit(draft)
    await storage.commit(update_write(draft, OLD.dump(OldArticle(title="two")), spec=OLD, status=RevisionStatus.draft))
    deleted = create_write("d", OLD.dump(OldArticle(title="gone")), spec=OLD)
    assert await storage.commit_all([deleted, delete_write(deleted)]) == [None, None]
    await article.create({"headline": "new"}, resource_id="e")
    before = await article.get("b")
    old_revision = await storage.revision("b", 2)
    assert old_revision is not None
    last, failures = await migrate(article, batch=2, by="ann")
    assert failures == [MigrationFailure("c", "c:1", "step 1 to 2, convert headline", "headline", "ValueError: is bad")]
    assert (last.done, last.total, last.changed, last.skipped, last.failed, last.last_id) == (4, 4, 3, 0, 1, "d")
    assert await versions(article) == {"a": 2, "b": 2, "c": 1, "d": 2, "e": 2}
    after = await article.get("b")
    assert (after.data.headline, after.meta.status, after.meta.version) == ("TWO", RevisionStatus.draft, 3)
    assert (after.meta.updated_by, after.revision_info.parent_revision_id) == ("ann", "b:2")
    assert await storage.data(old_revision) == b'{"title":"two","log":[]}'
    assert (await article.get("b", revision_id="1")).data.headline == "DRAFT"
    assert (await article.get("b", at=before.meta.updated_time)).data.headline == "TWO"
    assert [info.revision_id for info in (await article.revisions("b")).items] == ["b:3", "b:2", "b:1"]
    assert [resource.resource_id for resource in (await article.search({"headline": "ONE"})).items] == ["a"]
    with pytest.raises(PreconditionFailed):
        await article.patch("b", {"headline": "x"}, if_match=before.tag)
    assert (await article.get("d", include_deleted=True)).meta.is_deleted
    assert (await article.restore("d")).data.headline == "GONE"
    assert (await present(storage, "c")).stored == b'{"title":"bad","log":[]}'
    last, _ = await migrate(article)
    assert (last.total, last.changed, last.failed) == (1, 0, 1)


async def test_dry_run_writes_nothing_and_names_each_failure(local: ResourceManager[Article]) -> None:
    await add_old(local, a="bad", b="good", c="bad")
    last, failures = await migrate(local, dry_run=True, batch=1)
    assert [(failure.resource_id, failure.step, failure.field) for failure in failures] == [
        (name, "step 1 to 2, convert headline", "headline") for name in ("a", "c")
    ]
    assert (last.done, last.changed, last.failed) == (3, 1, 2)
    assert {resource.meta.version for resource in (await local.search()).items} == {1}


async def test_migration_loses_no_write_of_other_processes(tmp_path: Path) -> None:
    """Processes of both versions append numbers meanwhile. Each acknowledged number is there once."""
    chance = random.Random(7)
    async with opened(DiskStorageFactory(tmp_path), OldArticle, 1) as old, opened(DiskStorageFactory(tmp_path)) as new:
        names = await add_many(new, 60)
        done: dict[str, list[int]] = {name: [] for name in names}
        counter = iter(range(1_000_000))
        is_over = asyncio.Event()

        async def append(manager: ResourceManager[Any]) -> None:
            while not is_over.is_set():
                name, number = chance.choice(names), next(counter)
                try:
                    await manager.patch(name, [{"op": "add", "path": "/log/-", "value": number}])
                except NewerSchema:
                    assert manager is old
                else:
                    done[name].append(number)

        writers = [asyncio.create_task(append(manager)) for manager in (old, old, new)]
        last, failures = await migrate(new, batch=5)
        is_over.set()
        await asyncio.gather(*writers)
        assert (last.done, last.changed + last.skipped, failures) == (last.total, last.total, [])
        assert set((await versions(new)).values()) == {2}
        # Two patches that wait at the same moment may be acknowledged in the other order than they were asked in.
        acknowledged = {name: sorted(numbers) for name, numbers in done.items()}
        assert {name: sorted((await new.get(name)).data.log) for name in names} == acknowledged


async def test_migration_of_resources_that_changed_meanwhile(local: ResourceManager[Article]) -> None:
    """A resource that lost a race is read again: purged or migrated ones are skipped, the others are migrated."""
    await add_old(local, a="one", b="two", c="three", d="four")
    commit_all, storage = local.node.storage.commit_all, local.node.storage

    async def commit_late(writes: Any, **options: Any) -> Any:
        vars(storage).pop("commit_all")
        await local.purge("a")
        await local.patch("b", {"headline": "other"})
        await local.delete("c")
        return await commit_all(writes, **options)

    vars(storage)["commit_all"] = commit_late
    last, failures = await migrate(local)
    assert (last.done, last.changed, last.skipped, failures) == (4, 2, 2, [])
    assert await versions(local) == {"b": 2, "c": 2, "d": 2}
    assert (await local.get("b")).data.headline == "other"
    assert (await local.get("c", include_deleted=True)).meta.is_deleted


async def test_stopped_migration_goes_on_in_the_next_process(tmp_path: Path) -> None:
    """A caller may close the iterator or be cancelled. No resource is migrated twice."""
    started = asyncio.Event()
    async with opened(DiskStorageFactory(tmp_path)) as manager:
        await add_many(manager, 50)
        progresses = manager.migrate(batch=10)
        await anext(progresses)
        assert (await anext(progresses)).last_id == "r009"
        await progresses.aclose()

        async def run() -> None:
            async for progress in manager.migrate(batch=1):
                if progress.done == 3:
                    started.set()

        task = asyncio.create_task(run())
        await started.wait()
        task.cancel()
        await asyncio.wait([task])
    async with opened(DiskStorageFactory(tmp_path)) as manager:
        last, failures = await migrate(manager)
        assert failures == []
        assert 0 < last.total == last.changed <= 37
        found = (await manager.search(limit=100)).items
        assert {(resource.meta.schema_version, resource.meta.version) for resource in found} == {(2, 2)}


class IndexedArticle(OldArticle):
    """Version 1 with a further index field."""

    log: Annotated[list[int], Index()] = Field(default_factory=list)


@pytest.mark.parametrize("backend", BACKENDS)
async def test_index_only_fills_columns_and_writes_no_revision(backend: str, tmp_path: Path) -> None:
    if backend == "memory":
        async with opened(MemoryStorageFactory()) as manager:
            await add_old(manager, a="one")
            assert await migrate(manager, index_only=True) == (MigrationProgress(1, 1), [])
        return
    async with opened(BACKENDS[backend](tmp_path), OldArticle, 1) as manager:
        await manager.create({"title": "one", "log": [4]}, resource_id="a")
    async with opened(BACKENDS[backend](tmp_path), IndexedArticle, 1) as manager:
        last, failures = await migrate(manager, index_only=True)
        assert (last, failures) == (MigrationProgress(1, 1), [])
        (found,) = (await manager.search({"log__contains": "4"})).items
        assert (found.resource_id, found.meta.version) == ("a", 1)


async def test_index_field_that_cannot_be_filled_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fill() -> AsyncIterator[IndexProgress]:
        for done in (1, 2):
            yield IndexProgress(done, 2, {"log": "it is too long"})

    async with opened(MemoryStorageFactory()) as manager:
        monkeypatch.setattr(manager.node.storage, "fill_indexes", fill)
        last, failures = await migrate(manager, index_only=True)
    assert failures == [MigrationFailure("", "", "", "log", "the index field cannot be filled: it is too long")]
    assert last.failed == 1


async def test_wrong_arguments_of_a_migration_are_refused(local: ResourceManager[Article]) -> None:
    for options, name in (({"batch": 0}, "batch"), ({"batch": 1001}, "batch"), ({"dry_run": True}, "index_only")):
        with pytest.raises(InvalidParameter, match=name):
            await migrate(local, **options, index_only="dry_run" in options)


class OldUser(BaseModel):
    """Version 1 of the model of users."""

    name: Annotated[str, Index()]
    boss: Annotated[str | None, Index()] = None


class User(BaseModel):
    """Version 2: unique lower-case names, and a reference."""

    name: Annotated[str, Unique()]
    boss_id: Annotated[str | None, Ref("user", on_delete=OnDelete.restrict)] = None


async def test_migrated_resource_keeps_unique_and_reference_rules(tmp_path: Path) -> None:
    """Values that the steps make equal are a failure of the later resource."""
    old: ModelSpec[OldUser] = ModelSpec(OldUser, name="user")
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(User, schema=Schema(2).step(1, 2, convert("name", str.lower), rename("boss", "boss_id")))
    async with crud.running():
        manager = crud.manager(User)
        values = {"a": OldUser(name="Ada"), "b": OldUser(name="ADA"), "c": OldUser(name="Bob", boss="a")}
        for name, value in values.items():
            await manager.node.storage.commit(create_write(name, old.dump(value), spec=old))
        last, failures = await migrate(manager)
        assert failures == [MigrationFailure("b", "b:1", "", "name", "Another resource, 'a', has the same name.")]
        assert last.changed == 2
        with pytest.raises(Referenced):
            await manager.delete("a")


class OldFile(BaseModel):
    """Version 1 of a model with blobs."""

    file: Binary
    preview: Binary | None = None


class File(BaseModel):
    """Version 2 of a model with blobs."""

    content: Binary


async def test_migration_keeps_the_blobs_that_stay(tmp_path: Path) -> None:
    """The new revision refers to them, so that they outlive the old revision. A blob that a step drops goes with it."""
    async with opened(DiskStorageFactory(tmp_path), OldFile, 1) as manager:
        created = await manager.create({"file": {"data": "YQ=="}, "preview": {"data": "Yg=="}}, resource_id="f")
        kept, dropped = created.data.file.file_id, created.data.preview.file_id
    schema = Schema(2).step(1, 2, rename("file", "content"), lambda data: {"content": data["content"]})
    async with opened(DiskStorageFactory(tmp_path), File, schema, retention=Retention(keep_last=1)) as manager:
        last, failures = await migrate(manager)
        assert (last.changed, failures) == (1, [])
        await manager.run_maintenance()
        assert b"".join([part async for part in manager.blobs.read(await manager.blobs.get("f", kept))]) == b"a"
        with pytest.raises(AutoCRUDError):
            await manager.blobs.get("f", dropped)
