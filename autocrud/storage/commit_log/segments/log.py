"""Commit log over segments, for callers on the event loop."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Protocol, TypeVar

from autocrud.storage.commit_log.port import CommitLog
from autocrud.storage.commit_log.records.entry import Entry, Lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.commit_log.segments.segments import Segments

R = TypeVar("R")


class Runner(Protocol):
    """Runs a blocking function outside the event loop, as `asyncio.to_thread` does."""

    def __call__(self, function: Callable[[], R], /) -> Awaitable[R]:
        """Run the function and return its result."""


class SegmentLog(CommitLog):
    """The commit log of a store in segments.

    `append` raises `StorageUnavailable` if the entry was not appended; after a crash it may be found in the log.

    Args:
        segments: blocking log.
        run: runs blocking calls, one or several at a time.
    """

    def __init__(self, segments: Segments, run: Runner) -> None:
        self._segments = segments
        self._run = run

    async def layout(self, lines: Lines, after: Tail) -> Entry:
        return await self._run(partial(self._segments.layout, lines, after))

    async def append(self, entry: Entry) -> None:
        await self._run(partial(self._segments.append, entry))

    async def entries(self, after: Tail = EMPTY_TAIL) -> AsyncIterator[list[Entry]]:
        groups = self._segments.entries(after)
        while found := await self._run(partial(next, groups, None)):
            yield found

    async def read(self, locator: str) -> bytes:
        return await self._run(partial(self._segments.read, locator))

    async def erase(self, locators: Iterable[str]) -> None:
        await self._run(partial(self._segments.erase, list(locators)))
