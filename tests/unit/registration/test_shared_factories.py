"""Storage factories that several registries of one process share."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.registration.shared_factories import opened_factory
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports import IStorageFactory


class Pen(BaseModel):
    """A pen."""

    color: str = ""


class Ink(BaseModel):
    """Ink."""


@pytest.mark.parametrize("factory_at", [lambda _: MemoryStorageFactory(), DiskStorageFactory], ids=["memory", "disk"])
async def test_registry_that_ends_leaves_the_factory_of_another_open(
    factory_at: Callable[[Path], IStorageFactory], tmp_path: Path
) -> None:
    """As two applications of one process do, one of which stops."""
    factory = factory_at(tmp_path)
    first, second = AutoCRUD(storage_factory=factory), AutoCRUD(storage_factory=factory)
    first.add_model(Pen)
    second.add_model(Ink)
    async with first.running():
        async with second.running():
            await second.manager(Ink).create({})
        await first.manager(Pen).create({"color": "red"}, resource_id="p")
    async with first.running():
        assert (await first.manager(Pen).get("p")).data.color == "red"


async def test_registry_opens_the_factory_after_a_failed_start_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it waited for the other one."""
    factory, calls = MemoryStorageFactory(), list[str]()

    async def open_second() -> None:
        calls.append("open")
        await asyncio.sleep(0)
        if len(calls) == 1:
            raise RuntimeError

    async def close() -> None:
        calls.append("close")

    monkeypatch.setattr(factory, "open", open_second)
    monkeypatch.setattr(factory, "close", close)

    async def use() -> None:
        async with opened_factory(factory):
            calls.append("use")

    outcomes = await asyncio.gather(use(), use(), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError, type(None)]
    assert calls == ["open", "close", "open", "use", "close"]
