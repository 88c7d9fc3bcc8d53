"""Schema record of a model in each store, and the check of models at the start."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, create_model

from autocrud import AutoCRUD, Schema
from autocrud.errors import ConfigurationError, NewerSchema
from autocrud.migrations import fill, rename
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.storage import IStorageFactory
from tests.storage.backends import BACKENDS

STORES = {name: factory for name, factory in BACKENDS.items() if name != "memory"}


def article(**fields: Any) -> type[BaseModel]:
    """Return a model with the name Article."""
    return create_model("Article", **fields)


OLD = article(title=(str, ...))
NEW = article(headline=(str, ...), language=(str, ...))


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], IStorageFactory]:
    """Return a function that makes a factory of the test's own store."""
    return lambda: STORES[request.param](tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Callable[[], IStorageFactory]:
    """Return a function that makes a factory of the test's own folder."""
    return lambda: DiskStorageFactory(tmp_path)


@asynccontextmanager
async def started(
    factory: IStorageFactory, model: Any, *, on_change: Any = "warn", **options: Any
) -> AsyncIterator[Any]:
    """Start a service with one model, and yield the manager."""
    crud = AutoCRUD(storage_factory=factory, on_schema_change=on_change)
    crud.add_model(model, **options)
    async with crud.running():
        yield crud.manager(model)


async def message_with(caplog: pytest.LogCaptureFixture, text: str) -> logging.LogRecord:
    """Wait for a message of the log, and return it."""
    async with asyncio.timeout(20):
        while True:
            for record in caplog.records:
                if text in record.getMessage():
                    return record
            await asyncio.sleep(0.01)


async def test_changed_model_without_a_new_version_is_named_at_each_start(
    store: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the fields, the sample, the remedy, and the result of the full check."""
    caplog.set_level(logging.INFO, "autocrud")
    async with started(store(), OLD) as manager:
        for number in range(3):
            await manager.create({"title": "Emma"}, resource_id=f"a{number}")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    for _ in range(2):
        caplog.clear()
        async with started(store(), NEW):
            message = (await message_with(caplog, "differs from the schema version 1")).getMessage()
            assert "field title was removed; field headline was added and is required; field language" in message
            assert "Of the newest 3 resources, 3 cannot be read, such as 'a2', 'a1', 'a0'" in message
            step = '.step(1, 2, rename("title", "headline"), fill("language", ""))'
            assert f"add_model(Article, schema=Schema(2){step}" in message
            assert "3 cannot be read" in (await message_with(caplog, "of all 3 stored")).getMessage()
    with pytest.raises(ConfigurationError, match="differs from the schema version 1"):
        async with started(store(), NEW, on_change="refuse"):
            pass
    caplog.clear()
    schema = Schema(2).step(1, 2, rename("title", "headline"), fill("language", ""))
    async with started(store(), NEW, schema=schema, on_change="refuse") as manager:
        assert (await manager.get("a0")).data.headline == "Emma"
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_change_that_no_data_notices_is_told_once_as_information(
    disk: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """An optional field, and a wider type."""
    caplog.set_level(logging.INFO, "autocrud")
    async with started(disk(), article(title=(str, ...), year=(int, 1815))) as manager:
        await manager.create({"title": "Emma"})
    wider = article(year=(float | None, 1815), title=(str, ...), isbn=(str | None, None))
    messages = []
    for _ in range(2):
        caplog.clear()
        async with started(disk(), wider, on_change="refuse"):
            messages.append([record.getMessage() for record in caplog.records if "changed" in record.getMessage()])
    ((message,), no_messages) = messages
    assert "field isbn was added" in message
    assert "field year changed from integer to null or number" in message
    assert not no_messages


async def test_new_version_that_nothing_was_written_with_may_change_again(
    disk: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """A developer changes the model and its step between two starts. The first write ends that."""
    async with started(disk(), OLD) as manager:
        await manager.create({"title": "Emma"}, resource_id="a")
    first = Schema(2).step(1, 2, rename("title", "headline"))
    async with started(disk(), article(headline=(str, ...)), schema=first, on_change="refuse"):
        pass
    second = Schema(2).step(1, 2, rename("title", "name"))
    async with started(disk(), article(name=(str, ...)), schema=second, on_change="refuse") as manager:
        await manager.replace("a", {"name": "Persuasion"})
    with pytest.raises(ConfigurationError, match="field name was removed"):
        async with started(disk(), article(headline=(str, ...)), schema=first, on_change="refuse"):
            pass


@pytest.mark.parametrize("factory", [MemoryStorageFactory(), None], ids=["memory", "disk without resources"])
async def test_changed_model_without_stored_resources_starts_silently(
    factory: IStorageFactory | None, disk: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is stored that the change could hurt."""
    for model in (article(when=(datetime, ...)), article(when=(date, ...)), article(when=(date, ...))):
        async with started(factory or disk(), model, on_change="refuse"):
            assert not caplog.records


async def test_changed_type_is_named_with_both_types(
    disk: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """The message says that the data of some resources can be read."""
    async with started(disk(), article(year=(str, ...))) as manager:
        await manager.create({"year": "1815"}, resource_id="good")
        await manager.create({"year": "in spring"}, resource_id="bad")
    async with started(disk(), article(year=(int, ...))):
        message = (await message_with(caplog, "differs")).getMessage()
    assert "field year changed from string to integer" in message
    assert "Of the newest 2 resources, 1 cannot be read, such as 'bad' (year:" in message
    assert '.step(1, 2, convert("year", int))' in message


async def test_older_process_reads_newer_data_by_the_published_downgrade(
    store: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """The older process refuses writes over such data, and starts with a line of information."""
    caplog.set_level(logging.INFO, "autocrud")
    step = rename("title", "headline")
    schema = Schema(2).step(1, 2, step, downgrade=[rename("headline", "title")])
    model = article(headline=(str, ...))
    async with started(store(), OLD) as old, started(store(), model, schema=schema) as new:
        await new.create({"headline": "Emma"}, resource_id="new")
        await old.create({"title": "Persuasion"}, resource_id="old")
        assert (await old.get("new")).data.title == "Emma"
        assert [resource.data.title for resource in (await old.search()).items] == ["Persuasion", "Emma"]
        with pytest.raises(NewerSchema):
            await old.replace("new", {"title": "x"})
        assert (await new.get("old")).data.headline == "Persuasion"
    caplog.clear()
    async with started(store(), OLD, on_change="refuse") as old:
        assert (await old.get("new")).data.title == "Emma"
        record = await message_with(caplog, "has schema version 1, and the store has version 2")
        assert record.levelno == logging.INFO


async def test_version_without_a_downgrade_is_looked_for_seldom(disk: Callable[[], IStorageFactory]) -> None:
    """Reads of data that cannot be downgraded do not read the record each time."""
    schema = Schema(2).step(1, 2, rename("title", "headline"))
    async with started(disk(), article(headline=(str, ...)), schema=schema) as new:
        await new.create({"headline": "Emma"}, resource_id="a")
    async with started(disk(), OLD) as old:
        reads = 0
        records = old.node.storage.schemas
        read = records.read

        async def counted() -> Any:
            nonlocal reads
            reads += 1
            return await read()

        records.read = counted
        for _ in range(10):
            resource = await old.get("a")
            with pytest.raises(NewerSchema):
                _ = resource.data
        assert reads == 1


async def test_versions_below_oldest_that_have_resources_are_named(
    store: Callable[[], IStorageFactory], caplog: pytest.LogCaptureFixture
) -> None:
    """A gap that `oldest` makes."""
    async with started(store(), OLD) as manager:
        await manager.create({"title": "Emma"}, resource_id="a")
    async with started(store(), OLD, schema=Schema(3, oldest=2).step(2, 3)):
        record = await message_with(caplog, "resources of schema versions below 2")
    assert record.levelno == logging.WARNING
    assert "'a'" in record.getMessage()


def test_unknown_reaction_is_refused() -> None:
    """The message names the argument and the values."""
    reaction: Any = "panic"
    with pytest.raises(ConfigurationError, match="on_schema_change='panic' must be one of warn, refuse"):
        AutoCRUD(on_schema_change=reaction)
