"""Shared looks: each caller is served by a look that began after its call, and looks overlap."""

import asyncio

import pytest

from autocrud.storage.commit_log import shared_looks
from autocrud.storage.commit_log.shared_looks import SharedLooks


class Log:
    """Looks that end when the test says so."""

    def __init__(self) -> None:
        self.looks: list[asyncio.Future[None]] = []
        self.shared = SharedLooks(self._look)

    async def _look(self) -> None:
        self.looks.append(asyncio.get_running_loop().create_future())
        await self.looks[-1]

    async def call(self, count: int = 1) -> list[asyncio.Task[None]]:
        """Return calls that wait, after the looks that are due have begun."""
        calls = [asyncio.ensure_future(self.shared.wait()) for _ in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        return calls


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Return a log whose looks may begin at once."""
    monkeypatch.setattr(shared_looks, "_LEAST_GAP_S", 0.0)
    return Log()


async def test_look_serves_all_calls_that_wait_when_it_begins(log: Log) -> None:
    """Calls that arrive later wait for another look, also if the first look ends after it."""
    early = await log.call(5)
    late = await log.call(1)
    assert len(log.looks) == 2
    log.looks[1].set_result(None)
    await asyncio.gather(*late)
    assert not any(call.done() for call in early)
    log.looks[0].set_result(None)
    await asyncio.gather(*early)
    await log.shared.drain()


async def test_looks_overlap_up_to_three_at_once(log: Log) -> None:
    """The fourth look begins when one of the three ends, and serves all that wait."""
    begun = [await log.call() for _ in range(3)]
    waiting = await log.call(10)
    assert len(log.looks) == 3
    log.looks[2].set_result(None)
    await asyncio.gather(*begun[2])
    await log.call(0)
    assert len(log.looks) == 4
    log.looks[3].set_result(None)
    await asyncio.gather(*waiting)
    log.looks[0].set_result(None)
    log.looks[1].set_result(None)
    await log.shared.drain()
    assert all(call.done() for calls in begun for call in calls)


async def test_calls_within_the_gap_share_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for the end of the gap, or of the look under way."""
    monkeypatch.setattr(shared_looks, "_LEAST_GAP_S", 3600.0)
    log = Log()
    first = await log.call()
    others = [*await log.call(), *await log.call()]
    assert len(log.looks) == 1
    log.looks[0].set_result(None)
    await asyncio.gather(*first)
    await log.call(0)
    assert len(log.looks) == 2
    log.looks[1].set_result(None)
    await asyncio.gather(*others)
    await log.shared.drain()


async def test_error_of_a_look_reaches_its_calls_only(log: Log) -> None:
    """A cancelled call does not affect the others."""
    cancelled, other = await log.call(2)
    later = await log.call()
    cancelled.cancel()
    log.looks[0].set_exception(LookupError("damaged"))
    with pytest.raises(LookupError):
        await other
    log.looks[1].set_result(None)
    await asyncio.gather(*later)
    await log.shared.drain()
    assert cancelled.cancelled()
