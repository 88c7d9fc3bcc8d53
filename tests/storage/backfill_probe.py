"""Probe of index backfills: waits for them, and holds them where a test wants."""

import asyncio
from collections.abc import Sequence
from typing import Any

from autocrud.storage.index_backfill.runner import IndexBackfill

_step = IndexBackfill.step


async def wait_until_filled(model: str = "sample") -> None:
    """Return when no backfill runs."""
    tasks = [task for task in asyncio.all_tasks() if task.get_name() == f"filling {model}"]
    if tasks:
        await asyncio.wait(tasks)


class Gate:
    """Gate that lets a given number of batches pass. Replaces `IndexBackfill.step`."""

    def __init__(self) -> None:
        self._tickets = asyncio.Semaphore(0)
        self._is_open = False
        self._waiting = asyncio.Event()

    async def step(self, filling: IndexBackfill, fields: Sequence[Any]) -> bool:
        """Run a batch when the gate lets it pass."""
        if not self._is_open:
            self._waiting.set()
            await self._tickets.acquire()
        return await _step(filling, fields)

    async def let(self, batches: int) -> None:
        """Let this many batches pass, and return when the next one waits."""
        for _ in range(batches):
            await self._waiting.wait()
            self._waiting.clear()
            self._tickets.release()
        await self._waiting.wait()

    def open(self) -> None:
        """Let all batches pass."""
        self._is_open = True
        self._tickets.release()
