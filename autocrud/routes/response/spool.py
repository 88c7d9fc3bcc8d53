"""Spool: what is to be sent to a client that does not read yet, in little memory, and then in a file."""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

R = TypeVar("R")

_IN_MEMORY = 1024 * 1024
_IN_FILE = 1024**3
_PIECE = 256 * 1024


class SpooledBuffer:
    """Bytes in order, from one who makes them to one who sends them.

    Many clients send all of a request before they read any of the answer. Who would read no further than they do waits
    for ever for what the client sends only once it can go on.

    Args:
        in_memory: bytes; beyond that they go to a file that has no name.
        in_file: bytes; beyond that whoever makes more has to wait.
    """

    def __init__(self, *, in_memory: int = _IN_MEMORY, in_file: int = _IN_FILE) -> None:
        self._in_memory, self._in_file = in_memory, in_file
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._file: IO[bytes] | None = None
        self._read = self._written = 0  # of the file
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._working: asyncio.Future[Any] | None = None
        self._ended = False

    async def put(self, data: bytes) -> None:
        """Add bytes; waits where there are too many."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._written < self._in_file)
        async with self._lock:
            if self._read == self._written and self._held + len(data) <= self._in_memory:
                self._pieces.append(data)
                self._held += len(data)
            else:
                await self._on_file(lambda file: _write(file, data, self._written))
                self._written += len(data)
        await self._notify()

    async def end(self) -> None:
        """Say that nothing more comes."""
        self._ended = True
        await self._notify()

    async def get(self) -> bytes:
        """The next bytes, when they are there; none at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._pieces or self._read < self._written or self._ended)
        async with self._lock:
            if self._pieces:
                data = self._pieces.popleft()
                self._held -= len(data)
            elif self._read < self._written:
                data = await self._on_file(lambda file: os.pread(file.fileno(), _PIECE, self._read))
                self._read += len(data)
                if self._read == self._written:
                    await self._on_file(lambda file: file.truncate(0))
                    self._read = self._written = 0
            else:
                data = b""
        await self._notify()
        return data

    async def close(self) -> None:
        """Let go of the file."""
        if self._working is not None:
            # A call that was cancelled goes on in its thread, and must not meet another file of the same number.
            await asyncio.wait([self._working])
        if self._file is not None:
            self._file.close()

    async def _on_file(self, work: Callable[[IO[bytes]], R]) -> R:
        if self._file is None:
            self._file = TemporaryFile(buffering=0)  # noqa: SIM115  # closed by `close`
        working = self._working = asyncio.ensure_future(asyncio.to_thread(work, self._file))
        return await asyncio.shield(working)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def _write(file: IO[bytes], data: bytes, place: int) -> None:
    while data:
        written = os.pwrite(file.fileno(), data, place)
        data, place = data[written:], place + written
