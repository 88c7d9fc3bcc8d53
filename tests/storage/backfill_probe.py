"""Watches index fields that are being filled, and holds the filling where a test wants it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from autocrud.storage.index_backfill.runner import IndexBackfill

_step = IndexBackfill.step


async def filled(model: str = "sample") -> None:
    """Return when nothing is being filled any more."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == f"filling {model}"]
    if tasks:
        await asyncio.wait(tasks)


class Gate:
    """Lets batches through, as many as it is told; takes the place of `Filling.step`."""

    def __init__(self) -> None:
        self._tickets = asyncio.Semaphore(0)
        self._is_open = False
        self._waiting = asyncio.Event()

    async def step(self, filling: IndexBackfill, fields: Sequence[Any]) -> bool:
        """One batch, when it may."""
        if not self._is_open:
            self._waiting.set()
            await self._tickets.acquire()
        return await _step(filling, fields)

    async def let(self, batches: int) -> None:
        """Let so many batches through, and return when the next one waits."""
        for _ in range(batches):
            await self._waiting.wait()
            self._waiting.clear()
            self._tickets.release()
        await self._waiting.wait()

    def open(self) -> None:
        """Let all of them through."""
        self._is_open = True
        self._tickets.release()
