"""Group commit: items submitted during a batch form the next batch. No timer is involved."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Flushes items in batches, in the order of their arrival. Batches never overlap.

    Args:
        flush: takes a batch and returns a result per item. An error is raised for every item of the batch.
        max_items: maximum number of items per batch.
        weight, max_weight: a batch ends where the weights of its items together pass the maximum.
        loop_yields: turns of the event loop between two batches. Callers that were just answered and submit again at
            once are then in the next batch, not in the one after it: half as many batches under load.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        max_items: int = 512,
        weight: Callable[[T], int] = lambda item: 1,
        max_weight: int = 1 << 62,
        loop_yields: int = 0,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._weight = weight
        self._max_weight = max_weight
        self._loop_yields = loop_yields
        self._queue: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._batch_end: asyncio.Future[None] | None = None  # of the batch in flight
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: T, seconds: float | None = None) -> R:
        """Return the item's result. If the caller is cancelled, a waiting item is dropped.

        Args:
            seconds: longest time to wait for the result.

        Raises:
            TimeoutError: there is no result within the time. A waiting item is dropped, and others go on.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._queue.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        if seconds is None:
            return await future
        # `asyncio.timeout` takes three times as long, and every write waits here.
        timer = loop.call_later(seconds, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()

    async def wait_for_pending(self, seconds: float | None = None) -> None:
        """Wait a limited time until the items submitted so far have results. Later items are not waited for."""
        # The callers of a batch in flight may all be cancelled, and the batch goes on.
        futures: list[asyncio.Future[Any]] = [future for _, future in self._queue]
        futures += [] if self._batch_end is None else [self._batch_end]
        if futures:
            await asyncio.wait(futures, timeout=seconds)

    async def drain(self, seconds: float | None = None) -> None:
        """Wait until all items have results. Cancel the task after the given time."""
        if self._task is None:
            return
        task = self._task
        _, unfinished = await asyncio.wait([task], timeout=seconds)
        if unfinished:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        try:
            while self._queue:
                if batch := self._next_batch():
                    await self._run_batch(batch)
                    for _ in range(self._loop_yields):
                        await asyncio.sleep(0)
        finally:
            self._task = None

    def _next_batch(self) -> list[tuple[T, asyncio.Future[R]]]:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        weight = 0
        while self._queue and len(batch) < self._max_items and weight < self._max_weight:
            item, future = self._queue.popleft()
            if not future.done():
                batch.append((item, future))
                weight += self._weight(item)
        return batch

    async def _run_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        end = self._batch_end = asyncio.get_running_loop().create_future()
        try:
            await self._flush_batch(batch)
        finally:
            self._batch_end = None
            end.set_result(None)

    async def _flush_batch(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
        except BaseException as error:
            # Every caller gets the error. A cancellation of the task is raised again.
            for _, future in batch:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


def _expire(future: asyncio.Future[Any]) -> None:
    """End the wait for a result, unless there is one."""
    if not future.done():
        future.set_exception(TimeoutError())
