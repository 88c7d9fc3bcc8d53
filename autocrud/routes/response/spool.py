"""Spooled buffer: holds a response for a client that does not read yet, first in memory and then in a file."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiofiles.tempfile import TemporaryFile
from aiofiles.threadpool.binary import AsyncFileIO

R = TypeVar("R")

_IN_MEMORY = 1024 * 1024
_IN_FILE = 256 * 1024**2
_IN_ALL_FILES = 1024**3
_READ_SIZE = 256 * 1024


class SpoolBudget:
    """Bytes that the files of all buffers of a process may have together.

    Attributes:
        used: bytes in files at the moment.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0


_BUDGET = SpoolBudget(_IN_ALL_FILES)


class SpooledBuffer:
    """A queue of bytes between one producer and one consumer.

    Many clients send their whole request before they read the response. A server that stops reading until its response
    is read would deadlock with such a client.

    Args:
        in_memory: maximum size in memory, in bytes; more bytes go to an unnamed file.
        in_file: size of the file, in bytes, from which on `put` waits.
        budget: bytes of all files, from which on `put` waits until the client of this buffer has read its own.
    """

    def __init__(self, *, in_memory: int = _IN_MEMORY, in_file: int = _IN_FILE, budget: SpoolBudget = _BUDGET) -> None:
        self._in_memory, self._in_file = in_memory, in_file
        self._budget = budget
        self._pieces: deque[bytes] = deque()
        self._memory_size = 0
        self._file: AsyncFileIO | None = None
        self._read = self._written = 0  # offsets in the file
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._pending_call: asyncio.Future[Any] | None = None
        self._ended = False

    async def put(self, data: bytes) -> None:
        """Add bytes. Wait while the file is full."""
        async with self._changed:
            await self._changed.wait_for(self._has_room)
        async with self._lock:
            # While the file has unread bytes, new bytes go behind them, to keep the order.
            if self._read == self._written and self._memory_size + len(data) <= self._in_memory:
                self._pieces.append(data)
                self._memory_size += len(data)
            else:
                await self._run_on_file(lambda file: _write(file, data, self._written))
                self._written += len(data)
                self._budget.used += len(data)
        await self._notify()

    async def end(self) -> None:
        """Mark the end: `get` returns no bytes after the last ones."""
        self._ended = True
        await self._notify()

    async def get(self) -> bytes:
        """Return the next bytes as soon as there are any; empty at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._pieces or self._read < self._written or self._ended)
        async with self._lock:
            if self._pieces:
                data = self._pieces.popleft()
                self._memory_size -= len(data)
            elif self._read < self._written:
                size = min(_READ_SIZE, self._written - self._read)
                data = await self._run_on_file(lambda file: _read(file, self._read, size))
                self._read += len(data)
                if self._read == self._written:
                    await self._run_on_file(lambda file: file.truncate(0))
                    self._release()
            else:
                data = b""
        await self._notify()
        return data

    async def close(self) -> None:
        """Close the file, which deletes it."""
        if self._pending_call is not None:
            # The call of a cancelled caller goes on. It must not write to another file with the same descriptor.
            await asyncio.wait([self._pending_call])
        if self._file is not None:
            await self._file.close()
        self._release()

    def _has_room(self) -> bool:
        """Return True if the file may grow. An empty file may, so that each client makes progress."""
        return not self._written or (self._written < self._in_file and self._budget.used < self._budget.limit)

    def _release(self) -> None:
        self._budget.used -= self._written
        self._read = self._written = 0

    async def _run_on_file(self, work: Callable[[AsyncFileIO], Awaitable[R]]) -> R:
        """Run calls on the file, behind those of a cancelled caller. Open the file on first use."""
        if self._pending_call is not None:
            await asyncio.wait([self._pending_call])
        call = self._pending_call = asyncio.ensure_future(self._with_file(work))
        return await asyncio.shield(call)

    async def _with_file(self, work: Callable[[AsyncFileIO], Awaitable[R]]) -> R:
        if self._file is None:
            self._file = await TemporaryFile("w+b", buffering=0)
        return await work(self._file)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _read(file: AsyncFileIO, offset: int, size: int) -> bytes:
    await file.seek(offset)
    return await file.read(size)


async def _write(file: AsyncFileIO, data: bytes, offset: int) -> None:
    """Write all bytes at an offset."""
    await file.seek(offset)
    while data:
        # One call may write fewer bytes than it is given.
        data = data[await file.write(data) :]
