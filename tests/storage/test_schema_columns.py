"""Index columns of schema versions: upgraded values, and processes of two versions on one store."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, Index, ResourceManager, Schema, Unique
from autocrud.errors import ConfigurationError, NewerSchema, UniqueViolation
from autocrud.migrations import convert, rename
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.index_backfill.runner import IndexBackfill
from tests.servers_real import postgres
from tests.storage.backends import postgres_factory, s3_factory
from tests.storage.backfill_probe import wait_until_filled

Factories = dict[str, Callable[..., Any]]

FACTORIES: Factories = {"disk": DiskStorageFactory, "s3": s3_factory, "postgres": postgres_factory}
SHARED: Factories = {name: FACTORIES[name] for name in ("disk", "postgres")}
LARGE = "x" * 1000
NUMBER = 40


class Article1(BaseModel):
    """The model in schema version 1."""

    title: Annotated[str, Index(text=True)]
    code: Annotated[str, Unique()]
    tags: Annotated[list[str], Index()] = []
    body: str = ""


class Article2(BaseModel):
    """The model in schema version 2."""

    headline: Annotated[str, Index(text=True)]
    code: Annotated[str, Unique()]
    labels: Annotated[list[str], Index()] = []
    body: str = ""


def check_body(document: dict[str, Any]) -> dict[str, Any]:
    """Refuse a document that cannot be upgraded."""
    if document["body"] == "unreadable":
        raise ValueError("the body is unreadable")
    return document


TO_2 = (rename("title", "headline"), rename("tags", "labels"), convert("code", str.upper), check_body)
BACK_TO_1 = (rename("headline", "title"), rename("labels", "tags"))
VERSIONS: dict[int, tuple[type[Any], Schema]] = {
    1: (Article1, Schema(1)),
    2: (Article2, Schema(2).step(1, 2, *TO_2, downgrade=BACK_TO_1)),
    3: (Article2, Schema(3).step(1, 2, *TO_2).step(2, 3)),
    4: (Article2, Schema(4).step(1, 2, *TO_2).step(2, 3).step(3, 4)),
}


@asynccontextmanager
async def opened(factory: Any, version: int, **options: Any) -> AsyncIterator[ResourceManager[Any]]:
    """Yield the manager of a process that knows this schema version."""
    model, schema = VERSIONS[version]
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(model, name="article", schema=schema, **options)
    async with crud.running():
        manager = crud.manager("article")
        await wait_until_filled("article")
        yield manager


def article(number: int, *, version: int = 1, **values: Any) -> dict[str, Any]:
    """Return a document with this number in its values."""
    names = ("title", "tags") if version == 1 else ("headline", "labels")
    code = f"c{number:03}" if version == 1 else f"C{number:03}"
    content = (f"Text {number % 4} number{number}", [f"tag{number % 3}"])
    return {**dict(zip(names, content, strict=True)), "code": code} | values


async def found(manager: ResourceManager[Any], where: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """Return the ids of all matching resources, page by page."""
    resource_ids: list[str] = []
    cursor: str | None = None
    while True:
        page = await manager.search(where, cursor=cursor, **{"limit": 15} | options)
        resource_ids += [item.meta.resource_id for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return resource_ids


async def until_found(manager: ResourceManager[Any], where: dict[str, Any], expected: list[str]) -> None:
    """Repeat a query until it finds these resources."""
    while await found(manager, where) != expected:
        pass


async def refresh(manager: ResourceManager[Any]) -> None:
    """Run the maintenance, which fills what other versions wrote."""
    await manager.run_maintenance()
    await wait_until_filled("article")


async def lose_index(backend: str, path: Path) -> None:
    """Delete everything that can be built again from the records."""
    if backend == "postgres":
        connection = await asyncpg.connect(postgres().url)
        await connection.execute(f'DROP SCHEMA "{path.name}" CASCADE')
        await connection.close()
        return
    assert unlink_all(path, "cache/**/*.sqlite*" if backend == "s3" else "metadata.sqlite*")


def unlink_all(folder: Path, pattern: str) -> int:
    """Remove files and return their number."""
    files = list(folder.glob(pattern))
    for file in files:
        file.unlink()
    return len(files)


async def check_upgraded(manager: ResourceManager[Any], before: datetime) -> None:
    """Ask all kinds of queries for resources that version 1 wrote."""
    everything = [f"a{number:02}" for number in range(NUMBER)]
    zeros = [f"a{number:02}" for number in range(0, NUMBER, 4)]
    assert len(await found(manager)) == NUMBER + 2
    assert sorted(await found(manager, {"headline__starts_with": "Text 0"})) == zeros
    assert await found(manager, {"headline__icontains": "TEXT 2 NUMBER2 "}) == []
    assert await found(manager, {"code": "c001"}) == []
    assert await found(manager, {"code": "C001"}) == ["a01"]
    assert await found(manager, {"headline": LARGE}) == ["large"]
    in_order = sorted(everything, key=lambda name: f"Text {int(name[1:]) % 4} number{int(name[1:])}")
    assert await found(manager, sort="headline") == [*in_order, "large", "unreadable"]
    assert sorted(await found(manager, {"labels__contains_any": ["tag1"]})) == everything[1::3]
    assert sorted(await found(manager, text="number7")) == ["a07"]
    assert await manager.count({"headline__starts_with": "Text 0"}) == len(zeros)
    groups = (await manager.aggregate(group_by="labels")).groups
    assert [(group["key"]["labels"], group["values"]["count"]) for group in groups[:2]] == [("tag0", 14), ("tag1", 13)]
    assert await found(manager, {"headline": "before"}, at=before) == ["a00"]
    assert await found(manager, {"headline": "before"}) == []
    assert await found(manager, {"headline": "Text 1 number1"}, at=before) == ["a01"]
    with pytest.raises(UniqueViolation):
        await manager.create(article(1, version=2))


@pytest.mark.parametrize("backend", FACTORIES)
async def test_queries_find_upgraded_values(backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a backfill and after a rebuild. A document that cannot be upgraded stops nothing."""

    def factory() -> Any:
        return FACTORIES[backend](tmp_path, inline_limit=400)

    async with opened(factory(), 1, temporal=True) as manager:
        await manager.create(article(0, title="before"), resource_id="a00")
        await asyncio.gather(
            *(manager.create(article(number), resource_id=f"a{number:02}") for number in range(1, NUMBER)),
            manager.create(article(98, title=LARGE, tags=[], body=LARGE), resource_id="large"),
            manager.create(article(99, tags=[], body="unreadable"), resource_id="unreadable"),
        )
        before = datetime.now(UTC)
        await manager.replace("a00", article(0))
    for _ in range(2):
        caplog.clear()
        async with opened(factory(), 2, temporal=True) as manager:
            await check_upgraded(manager, before)
            assert "'unreadable': step 1 to 2, check_body: ValueError: the body is unreadable" in caplog.text
        await lose_index(backend, tmp_path)


@pytest.mark.parametrize("backend", SHARED)
async def test_processes_of_two_versions_find_what_each_other_writes(backend: str, tmp_path: Path) -> None:
    """The new one finds all resources by its own fields; the old one those that it can read."""

    def factory() -> Any:
        return SHARED[backend](tmp_path, inline_limit=400)

    async with opened(factory(), 1, temporal=True) as old:
        await old.create(article(1), resource_id="one")
        async with opened(factory(), 2, temporal=True) as new:
            await old.create(article(2, title="made by old", tags=["both"]), resource_id="two")
            await old.replace("one", article(1, title=LARGE, body=LARGE))
            await new.create(article(3, version=2, headline="made by new", labels=["both"]), resource_id="three")
            between = datetime.now(UTC)
            await refresh(new)
            assert await found(new, {"headline": "made by old"}) == ["two"]
            assert await found(new, {"headline": LARGE}) == ["one"]
            assert await found(new, {"headline": "Text 1 number1"}) == []
            assert await found(new, {"labels__contains_any": ["both"]}) == ["three", "two"]
            assert await found(new, text="made old") == ["two"]
            assert await found(new, {"headline": "made by old"}, at=between) == ["two"]
            assert await found(new, {"code": "C002"}) == ["two"]
            await new.patch("two", {"body": "changed by new"})
            await old.delete("one")
            await refresh(old)
            await refresh(new)
            assert await found(old, {"title": LARGE}, include_deleted=True) == ["one"]
            assert await found(old, {"title": LARGE}) == await found(new, {"headline": LARGE}) == []
            assert await found(old, {"title": "made by old"}) == ["two"]  # by the downgrade, which the store knows
            assert await found(old, {"title": "made by old"}, at=datetime.now(UTC)) == ["two"]
            assert await found(old, {"title": "made by new"}) == ["three"]
            assert await found(new, {"headline": "made by old"}, at=datetime.now(UTC)) == ["two"]
            assert await found(new, {"headline": LARGE}, at=datetime.now(UTC)) == []
            with pytest.raises(NewerSchema):
                await old.patch("two", {"body": "changed by old"})
            with pytest.raises(UniqueViolation):
                await new.create(article(2, version=2))
            await old.create(article(4), resource_id="four")
            await new.switch("two", "two:1")
            await refresh(old)
            assert await found(old, {"title": "made by old"}) == ["two"]
    async with opened(factory(), 1, temporal=True) as old:
        assert await found(old, {"title": "Text 0 number4"}) == ["four"]
        with pytest.raises(UniqueViolation):
            await old.create(article(4))
    async with opened(factory(), 2, temporal=True) as new:
        await refresh(new)
        assert await found(new, {"headline": "Text 0 number4"}) == ["four"]


@pytest.mark.parametrize("backend", SHARED)
async def test_unique_rule_holds_for_the_own_writes_of_each_version(
    backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Values that are different in version 1 and equal in version 2 do not stop a running process."""
    async with opened(SHARED[backend](tmp_path), 1) as old, opened(SHARED[backend](tmp_path), 2) as new:
        await old.create(article(1, code="same"), resource_id="one")
        await old.create(article(2, code="Same"), resource_id="two")
        await old.create(article(3, code="other"), resource_id="three")
        await refresh(new)
        assert len(await found(new, {"code": "SAME"})) == 1
        assert sorted(set(await found(new, sort="code", limit=1))) == ["one", "three", "two"]
        assert "has unique values that another resource holds" in caplog.text
        with pytest.raises(UniqueViolation):
            await old.create(article(4, code="same"))
        # The index of the old version holds older values, and refuses no write of the new one.
        await old.delete("three")
        await old.create(article(5, code="other"), resource_id="five")
        await new.patch("five", {"code": "MOVED"})
        await new.restore("three")
        await refresh(new)
        assert await found(new, {"code": "OTHER"}) == ["three"]
    await lose_index(backend, tmp_path)
    with pytest.raises(ConfigurationError, match="cannot be unique: stored resources share a value"):
        async with opened(SHARED[backend](tmp_path), 2):
            pass


@pytest.mark.parametrize("backend", SHARED)
async def test_running_process_finds_writes_of_another_version_by_itself(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No maintenance runs, and no query is refused meanwhile. The new version starts after the old one."""
    monkeypatch.setattr(IndexBackfill, "look_seconds", 0.01)
    async with opened(SHARED[backend](tmp_path), 1) as old, opened(SHARED[backend](tmp_path), 2) as new:
        await old.create(article(1), resource_id="one")
        await new.create(article(2, version=2), resource_id="two")
        async with asyncio.timeout(20):
            await until_found(new, {"headline": "Text 1 number1"}, ["one"])
            await new.replace("one", article(1, version=2, headline="later"))
            await until_found(old, {"title": "later"}, ["one"])


@pytest.mark.parametrize("backend", SHARED)
async def test_later_field_leaves_writes_of_another_version_to_be_found(backend: str, tmp_path: Path) -> None:
    """Its backfill fills one column of a row whose other columns are stale."""
    async with opened(SHARED[backend](tmp_path), 1) as old:
        async with opened(SHARED[backend](tmp_path), 2):
            await old.create(article(1, body="text"), resource_id="one")
        async with opened(SHARED[backend](tmp_path), 2, indexed_fields=["body"]) as new:
            await refresh(new)
            assert await found(new, {"body": "text", "headline": "Text 1 number1"}) == ["one"]


@pytest.mark.parametrize("backend", SHARED)
async def test_start_drops_columns_of_versions_below_the_two_next_lower_ones(backend: str, tmp_path: Path) -> None:
    """The version before a deploy that was taken back still runs, so that its columns stay."""

    def factory() -> Any:
        return SHARED[backend](tmp_path)

    for version in (1, 2, 3, 4):
        async with opened(factory(), version, temporal=True) as manager:
            await manager.create(article(version, version=version), resource_id=f"a{version}")
    assert await versions_of_columns(backend, tmp_path) == {2, 3, 4}
    async with opened(factory(), 2, temporal=True) as old, opened(factory(), 4, temporal=True) as new:
        assert await versions_of_columns(backend, tmp_path) == {2, 3, 4}
        await old.create(article(5, version=2), resource_id="a5")
        await refresh(new)
        assert await found(new, {"code": "C005"}) == ["a5"]
        assert await found(new, {"code": "C001"}, at=datetime.now(UTC)) == ["a1"]
        assert await found(old, {"code": "C002"}) == ["a2"]
        await refresh(old)
        assert await found(old, {"code": "C003"}) == []  # there is no downgrade


async def versions_of_columns(backend: str, path: Path) -> set[int]:
    """Return the schema versions in the names of tables, indexes, triggers and columns."""
    if backend == "postgres":
        connection = await asyncpg.connect(postgres().url)
        columns = "SELECT table_name || ' ' || column_name FROM information_schema.columns WHERE table_schema = $1"
        indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = $1"
        rows = await connection.fetch(f"{columns} UNION ALL {indexes}", path.name)
        await connection.close()
    else:
        with closing(sqlite3.connect(path / "metadata.sqlite")) as db:
            rows = db.execute("SELECT name FROM sqlite_master").fetchall()
            rows += db.execute("SELECT name FROM pragma_table_info('article_resources')").fetchall()
    names = [part for (row,) in rows for part in row.split()]
    found_versions = (re.findall(r"(?:^|_)(?:ix|cf|document|indexed|states|un)(\d*)(?=_|$)", name) for name in names)
    return {int(version or 1) for versions in found_versions for version in versions}


async def test_replay_takes_values_that_are_duplicates_of_another_version(tmp_path: Path) -> None:
    """A node of the new version follows a log that the old version writes, and that its own rule would refuse."""
    async with (
        opened(s3_factory(tmp_path, cache_dir=tmp_path / "old"), 1) as old,
        opened(s3_factory(tmp_path, cache_dir=tmp_path / "new"), 2) as new,
    ):
        await old.create(article(1, code="same"), resource_id="one")
        assert await found(new, {"code": "SAME"}) == ["one"]
        await old.create(article(2, code="Same"), resource_id="two")
        assert await found(new, {"headline": "Text 2 number2"}) == ["two"]
        assert await found(new, {"code": "SAME"}) == ["one"]
        assert sorted(await found(new)) == ["one", "two"]
