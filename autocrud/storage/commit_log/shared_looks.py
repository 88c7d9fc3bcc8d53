"""Looks at a log that callers share. Looks may overlap, so that a caller does not wait for a whole look to end."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic

_MOST_LOOKS = 3  # at once
# Seconds between the starts of two looks at once. A fast server answers before, so that its looks do not overlap.
_LEAST_GAP_S = 0.008


class SharedLooks:
    """Runs looks. A look serves all callers that waited when it began.

    A look begins at once if no other look is under way. Otherwise it begins a third of the last look's duration after
    the start of the one before, so that many callers share few looks.

    Args:
        look: an error is raised for each caller that the look serves.
    """

    def __init__(self, look: Callable[[], Awaitable[None]]) -> None:
        self._look = look
        self._waiting: list[asyncio.Future[None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_beginning = False  # a look begins in the next turn of the event loop, and serves all calls until then
        self._began_at = -inf  # of the last look
        self._gap = _LEAST_GAP_S

    async def wait(self) -> None:
        """Return after a look that began after this call."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._begin_if_due()
        await future

    async def drain(self) -> None:
        """Wait until no caller waits, and no look is under way."""
        while self._running:
            await asyncio.wait(self._running)

    def _begin_if_due(self) -> None:
        is_next_look_set = self._is_beginning or self._timer is not None
        if not self._waiting or is_next_look_set or len(self._running) >= _MOST_LOOKS:
            return
        delay = self._began_at + self._gap - monotonic() if self._running else 0
        if delay > 0:
            self._timer = asyncio.get_running_loop().call_later(delay, self._end_of_gap)
            return
        self._is_beginning = True
        task = asyncio.create_task(self._run())
        self._running.add(task)
        task.add_done_callback(self._finish)

    def _end_of_gap(self) -> None:
        self._timer = None
        self._begin_if_due()

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._running and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._begin_if_due()

    async def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._is_beginning = False
        began_at = self._began_at = monotonic()
        try:
            await self._look()
        except BaseException as error:
            # Every caller gets the error. A cancellation of the task is raised again.
            for future in waiting:
                if not future.done():
                    future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
            if not isinstance(error, Exception):
                raise
            return
        self._gap = max(_LEAST_GAP_S, (monotonic() - began_at) / _MOST_LOOKS)
        for future in waiting:
            if not future.done():
                future.set_result(None)
