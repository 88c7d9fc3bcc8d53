"""Guard of a store: one line per damage, refused requests, and healing."""

import asyncio
import logging

import pytest

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.identity.guard import StoreGuard


class Comparison:
    """A comparison whose result the test sets.

    Attributes:
        fault: error to raise; None if the store is intact.
    """

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.compared = asyncio.Event()

    async def __call__(self) -> None:
        self.compared.set()
        if self.fault is not None:
            raise self.fault

    async def wait(self, times: int = 2) -> None:
        """Wait for more comparisons. All but the last have ended then."""
        for _ in range(times):
            self.compared.clear()
            await self.compared.wait()


async def test_damage_refuses_requests_until_it_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    """The background comparison finds the damage and its end, and writes one line for each."""
    comparison = Comparison()
    guard = StoreGuard("disk", comparison, interval=0.001)
    guard.open()
    guard.require_intact()
    with caplog.at_level(logging.WARNING):
        comparison.fault = DataCorrupted("store.json is missing.")
        await comparison.wait(5)
        with pytest.raises(StorageUnavailable, match=r"store\.json is missing\."):
            guard.require_intact()
        comparison.fault = None
        await comparison.wait()
        guard.require_intact()
    await guard.close()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "store.json is missing." in caplog.messages[0]


async def test_check_compares_at_once() -> None:
    """The readiness check reports the damage. A store that does not answer proves no damage, and heals none."""
    comparison = Comparison()
    guard = StoreGuard("disk", comparison)
    comparison.fault = StorageUnavailable("no answer")
    with pytest.raises(StorageUnavailable, match="no answer"):
        await guard.check()
    guard.require_intact()
    comparison.fault = DataCorrupted("another store")
    with pytest.raises(StorageUnavailable, match="another store"):
        await guard.check()
    comparison.fault = StorageUnavailable("no answer")
    with pytest.raises(StorageUnavailable, match="no answer"):
        await guard.check()
    with pytest.raises(StorageUnavailable, match="another store"):
        guard.require_intact()


async def test_damage_of_a_request_outlives_an_older_comparison() -> None:
    """The comparison began before the request found the damage."""

    async def compare() -> None:
        guard.refuse(DataCorrupted("garbage in entry 7"))

    guard = StoreGuard("s3", compare)
    await guard.check()
    with pytest.raises(StorageUnavailable, match="garbage in entry 7"):
        guard.require_intact()
