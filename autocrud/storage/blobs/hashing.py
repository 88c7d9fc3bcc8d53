"""The hash of bytes that pass, and the names of objects that are called by it."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import uuid4

_BLOCK_BYTES = 1024 * 1024


def new_key() -> str:
    """A key that no other blob has, or ever had."""
    name = uuid4().hex
    return f"blobs/{name[:2]}/{name}"


class Digest:
    """The SHA-256 and the length of what passes; hashing goes on in a thread, beside what is done with them."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = sha256()

    @property
    def file_id(self) -> str:
        """The hash, once all has passed."""
        return self._hash.hexdigest()

    async def hash_stream(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same bytes, in blocks of a megabyte or what the pieces have."""
        hashing: asyncio.Future[None] | None = None
        async for block in _gather_blocks(pieces):
            if hashing is not None:
                await hashing
            self.size += len(block)
            hashing = asyncio.get_running_loop().run_in_executor(None, self._hash.update, block)
            yield block
        if hashing is not None:
            await hashing


async def _gather_blocks(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Small pieces gathered: a step to a thread costs as much as some ten kilobytes."""
    gathered: list[bytes] = []
    size = 0
    async for piece in pieces:
        gathered.append(piece)
        size += len(piece)
        if size >= _BLOCK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if size:
        yield b"".join(gathered)
