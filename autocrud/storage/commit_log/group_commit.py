"""Group commit: what arrives while a batch is in flight forms the next one, and nobody waits for a timer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class GroupCommit(Generic[T, R]):
    """Hands items over in batches, one batch at a time, in the order in which they arrived.

    Args:
        flush: takes a batch and returns one result per item. What it raises, every item of the batch raises.
        max_items: the most items of one batch.
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
        self._task: asyncio.Task[None] | None = None

    async def submit(self, item: T) -> R:
        """Wait for the item's result. If the caller is cancelled, an item that still waits is not handed over."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.append((item, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def drain(self, seconds: float | None = None) -> None:
        """Return when everything that was submitted has its result, or is given up after this time."""
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
        try:
            results = await self._flush([item for item, _ in batch])
        except BaseException as error:
            # Whatever it is, those who wait must hear of it; a cancellation of the whole loop goes on its way.
            for _, future in batch:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)
