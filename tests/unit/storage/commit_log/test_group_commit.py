"""Group commit: writes that arrive while a batch is in flight form the next batch."""

import asyncio
from collections.abc import Sequence

import pytest

from autocrud.storage.commit_log.group_commit import GroupCommit


class Recorder:
    """A flush that can be held, and records its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.begun = asyncio.Event()

    async def flush(self, items: Sequence[int]) -> list[int]:
        """Return the doubled items once the gate is open."""
        self.batches.append(list(items))
        self.begun.set()
        await self.gate.wait()
        if 13 in items:
            raise LookupError("unlucky")
        return [item * 2 for item in items]


async def test_waiting_items_form_the_next_batch() -> None:
    """The first item goes alone; later items go together and in order."""
    recorder = Recorder()
    batcher: GroupCommit[int, int] = GroupCommit(recorder.flush)
    recorder.gate.clear()
    first = asyncio.ensure_future(batcher.submit(1))
    await recorder.begun.wait()
    rest = [asyncio.ensure_future(batcher.submit(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    recorder.gate.set()
    assert await asyncio.gather(first, *rest) == [2, 4, 6, 8]
    assert recorder.batches == [[1], [2, 3, 4]]


async def test_batch_is_bounded_by_number_and_weight() -> None:
    """An item heavier than a batch goes alone."""
    recorder = Recorder()
    batcher: GroupCommit[int, int] = GroupCommit(recorder.flush, max_items=3, weight=lambda item: item, max_weight=10)
    await asyncio.gather(*(batcher.submit(item) for item in (1, 1, 1, 1, 9, 5, 100, 1)))
    assert recorder.batches == [[1, 1, 1], [1, 9], [5, 100], [1]]


async def test_flush_error_reaches_every_item_of_its_batch() -> None:
    """The next batch is not affected."""
    recorder = Recorder()
    batcher: GroupCommit[int, int] = GroupCommit(recorder.flush, max_items=2)
    results = await asyncio.gather(*(batcher.submit(item) for item in (12, 13, 14)), return_exceptions=True)
    assert [type(result) for result in results] == [LookupError, LookupError, int]


async def test_cancelled_submit_does_not_affect_others() -> None:
    """The item is flushed all the same, and the others get their results."""
    recorder = Recorder()
    batcher: GroupCommit[int, int] = GroupCommit(recorder.flush)
    recorder.gate.clear()
    submitted = [asyncio.ensure_future(batcher.submit(number)) for number in (1, 2)]
    await recorder.begun.wait()
    submitted[0].cancel()
    recorder.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await submitted[0]
    assert await submitted[1] == 4
    assert recorder.batches == [[1, 2]]


async def test_drain_waits_for_all_items() -> None:
    """Include items that arrive meanwhile. Return at once if there are none."""
    recorder = Recorder()
    batcher: GroupCommit[int, int] = GroupCommit(recorder.flush, max_items=1)
    await batcher.drain()
    submitted = [asyncio.ensure_future(batcher.submit(number)) for number in range(5)]
    await asyncio.sleep(0)
    await batcher.drain()
    assert all(future.done() for future in submitted)


async def test_wait_for_pending_waits_for_the_items_so_far_and_cancels_nothing() -> None:
    """Also for a batch whose callers are cancelled. Items that arrive meanwhile are not waited for."""
    recorder = Recorder()
    batcher: GroupCommit[int, int] = GroupCommit(recorder.flush, max_items=1)
    await batcher.wait_for_pending()
    recorder.gate.clear()
    cancelled = asyncio.ensure_future(batcher.submit(1))
    await recorder.begun.wait()
    cancelled.cancel()
    queued = asyncio.ensure_future(batcher.submit(2))
    await asyncio.sleep(0)
    waiting = asyncio.ensure_future(batcher.wait_for_pending())
    await asyncio.sleep(0)
    later = asyncio.ensure_future(batcher.submit(3))
    assert not waiting.done()
    await batcher.wait_for_pending(0.01)
    recorder.gate.set()
    await waiting
    assert queued.done()
    assert await later == 6
    assert recorder.batches == [[1], [2], [3]]
