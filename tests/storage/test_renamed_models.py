"""Renamed models take their data along, and data of models that nobody registers is named at the start."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, Binary, Index, Ref, Unique
from autocrud.errors import ConfigurationError, DataCorrupted, UniqueViolation
from autocrud.query.builder import QB
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorageFactory
from tests.storage.backends import BACKENDS

STORES = {name: factory for name, factory in BACKENDS.items() if name != "memory"}


class Post(BaseModel):
    """A post with a picture."""

    title: Annotated[str, Unique()]
    picture: Binary | None = None


class Comment(BaseModel):
    """A comment on a post."""

    post: Annotated[str, Ref("post"), Index()]


class ArticleComment(BaseModel):
    """A comment, after posts became articles."""

    post: Annotated[str, Ref("article"), Index()]


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], IStorageFactory]:
    """Return a function that makes a factory of the test's own store."""
    return lambda: STORES[request.param](tmp_path / "main" if request.param == "disk" else tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Callable[[], IStorageFactory]:
    """Return a function that makes a factory of the test's own folder."""
    return lambda: DiskStorageFactory(tmp_path)


@asynccontextmanager
async def started(factory: IStorageFactory, *names: str, **formerly: list[str]) -> AsyncIterator[AutoCRUD]:
    """Start a service with `Post` under these names, and yield it. `formerly` has the former names by name."""
    crud = AutoCRUD(storage_factory=factory)
    for name in (*names, *formerly):
        crud.add_model(Post, name=name, formerly=formerly.get(name, ()), temporal=True)
    async with crud.running():
        yield crud


async def test_renamed_model_has_the_data_of_its_former_name(store: Callable[[], IStorageFactory]) -> None:
    """History, blobs, unique values, past states and references, also after a restart without `formerly`."""
    crud = AutoCRUD(storage_factory=store())
    crud.add_model(Post, temporal=True)
    crud.add_model(Comment)
    async with crud.running():
        posts = crud.manager(Post)
        created = await posts.create({"title": "Emma", "picture": {"data": "aGVsbG8="}}, resource_id="a")
        await crud.manager(Comment).create({"post": "a"}, resource_id="c")
        await posts.replace("a", {"title": "Persuasion", "picture": created.data.picture})
    picture: Any = created.data.picture
    for formerly in (["post"], []):
        crud = AutoCRUD(storage_factory=store())
        crud.add_model(Post, name="article", formerly=formerly, temporal=True)
        crud.add_model(ArticleComment, name="comment")
        async with crud.running():
            articles: Any = crud.manager("article")
            assert (await articles.get("a")).data.title == "Persuasion"
            assert [page.revision_id for page in (await articles.revisions("a")).items] == ["a:2", "a:1"]
            found = await articles.search(QB["title"].eq("Emma"), at=created.meta.updated_time)
            assert [item.resource_id for item in found.items] == ["a"]
            blob = await articles.blobs.get("a", picture.file_id)
            assert b"".join([piece async for piece in articles.blobs.read(blob)]) == b"hello"
            with pytest.raises(UniqueViolation):
                await articles.create({"title": "Persuasion"})
            assert (await crud.manager("comment").get("c")).data.post == "a"
            await articles.create({"title": f"new {len(formerly)}"})
    async with started(store(), "post") as older:
        assert await older.manager("post").count() == 3


async def test_model_renamed_twice_keeps_its_data(disk: Callable[[], IStorageFactory]) -> None:
    """A chain of names, and the way back to the first name."""
    async with started(disk(), "post") as crud:
        await crud.manager("post").create({"title": "Emma"}, resource_id="a")
    async with started(disk(), article=["post"]):
        pass
    for name, former in (("story", "article"), ("post", "story")):
        async with started(disk(), **{name: [former]}) as crud:
            assert (await crud.manager(name).get("a")).data.title == "Emma"


async def test_processes_with_the_old_and_the_new_name_share_the_data(store: Callable[[], IStorageFactory]) -> None:
    """Two processes start with the new name at once, while one with the old name runs."""
    async with started(store(), "post") as old:
        await old.manager("post").create({"title": "Emma"}, resource_id="a")
        async with started(store(), article=["post"]) as first, started(store(), article=["post"]) as second:
            await second.manager("article").create({"title": "Persuasion"}, resource_id="b")
            await old.manager("post").create({"title": "Lady Susan"}, resource_id="c")
            for manager in (old.manager("post"), first.manager("article"), second.manager("article")):
                titles = [item.data.title for item in (await manager.search()).items]
                assert titles == ["Lady Susan", "Persuasion", "Emma"]


async def test_data_under_both_names_are_refused(disk: Callable[[], IStorageFactory]) -> None:
    """The message names both names. Nothing is changed."""
    async with started(disk(), "post", "article") as crud:
        for name in ("post", "article"):
            await crud.manager(name).create({"title": name}, resource_id="a")
    with pytest.raises(ConfigurationError, match="data of 'article' and 'post'"):
        async with started(disk(), article=["post"]):
            pass
    async with started(disk(), "post", "article") as crud:
        assert (await crud.manager("article").get("a")).data.title == "article"


async def test_new_model_with_the_name_of_renamed_data_is_refused(disk: Callable[[], IStorageFactory]) -> None:
    """Both would write to the same data."""
    async with started(disk(), "post") as crud:
        await crud.manager("post").create({"title": "Emma"})
    async with started(disk(), article=["post"]):
        pass
    with pytest.raises(ConfigurationError, match="the data of 'post' belong to Post, which had this name before"):
        async with started(disk(), "post", "article"):
            pass


@pytest.mark.parametrize(
    ("formerly", "message"),
    [
        (["post"], "'post', which is a name of the model"),
        (["story"], "'story', which is a name of the model"),
        (["article"], "the name of the model itself"),
        (["My Post"], "the name 'My Post' must be"),
        ("post", "must be a list of names"),
        ([7], "the name 7 must be"),
    ],
)
def test_wrong_former_name_is_refused_at_registration(formerly: Any, message: str) -> None:
    """A name of another model, the name itself, and a name that no model can have."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Post, formerly=["story"])
    with pytest.raises(ConfigurationError, match=message):
        crud.add_model(Post, name="article", formerly=formerly)


async def test_damaged_alias_is_refused_with_its_key(tmp_path: Path) -> None:
    """The start does not fall back to an empty collection."""
    (tmp_path / "models" / "article").mkdir(parents=True)
    (tmp_path / "models" / "article" / "folder.json").write_text("{}")
    with pytest.raises(DataCorrupted, match=r"article/folder\.json"):
        async with started(DiskStorageFactory(tmp_path), article=["post"]):
            pass


async def test_data_of_unregistered_models_are_named_at_the_start(
    store: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """Models without resources, and former names of registered models, are not."""
    async with started(store(), "post", "blog-note", "empty") as crud:
        for name in ("post", "blog-note"):
            await crud.manager(name).create({"title": "Emma"})
    caplog.clear()
    async with started(store(), article=["post"]):
        warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    (message,) = [record.getMessage() for record in warnings]
    assert message.startswith("The store has data of models that are not registered: 'blog-note'. ")
    assert message.endswith("formerly=['blog-note'])")


async def test_service_with_all_models_registered_starts_without_warnings(
    store: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """Also if a name has a hyphen."""
    for _ in range(2):
        async with started(store(), "blog-note") as crud:
            await crud.manager("blog-note").create({"title": f"Emma {len(caplog.records)}"}, idempotency_key="k")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
