"""Hashing of byte streams, and keys of blob objects."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from uuid import uuid4

_BLOCK_BYTES = 1024 * 1024


def new_key() -> str:
    """Return a new random key. No blob ever had the key."""
    name = uuid4().hex
    return f"{name[:2]}/{name}"


def blob_object_key(folder: str, key: str) -> str:
    """Return the key of the object of a blob.

    Args:
        folder: folder of the model.
        key: key of the blob (`Blob.key`), or of its uploaded types.
    """
    return f"blobs/{folder}/{key}"


class Digest:
    """SHA-256 and length of a stream. Hashing runs in a thread, concurrently with the consumer of the stream."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = sha256()

    @property
    def file_id(self) -> str:
        """Hash of the complete stream, hexadecimal."""
        return self._hash.hexdigest()

    async def hash_stream(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the bytes of the stream, in blocks of about a megabyte."""
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
    """Yield larger blocks, because a hop to a thread costs as much as hashing some ten kilobytes."""
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
