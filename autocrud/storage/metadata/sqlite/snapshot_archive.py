"""Archive of a SQLite file: packed with zstandard, and unpacked in bounded memory and disk space."""

import asyncio
import hashlib
import shutil
from pathlib import Path

import aiofiles
import zstandard
from aiofiles import os as files

from autocrud.errors import DataCorrupted
from autocrud.storage.ports.private_files import open_private

_PIECE_BYTES = 1024 * 1024
_HEADER_BYTES = 18  # longest frame header
_MAX_WINDOW_BYTES = 16 * 1024 * 1024  # memory of the decompressor; `pack` needs less
# Rows have random ids and hashes, which do not shrink. A row of 16 KiB of equal bytes shrinks about 300 times.
_MAX_RATIO = 1000
_MIN_BYTES = 16 * 1024 * 1024  # always accepted


async def pack(source: Path, archive: Path) -> str:
    """Compress a file, and return the SHA-256 of the archive. The archive states the size of the file."""
    size = (await files.stat(source)).st_size
    digest, compressor = hashlib.sha256(), zstandard.ZstdCompressor(level=1).compressobj(size=size)

    def add(packed: bytes) -> bytes:
        digest.update(packed)
        return packed

    async with aiofiles.open(source, "rb") as file, aiofiles.open(archive, "wb", opener=open_private) as output:
        while piece := await file.read(_PIECE_BYTES):
            await output.write(await asyncio.to_thread(lambda data: add(compressor.compress(data)), piece))
        await output.write(await asyncio.to_thread(lambda: add(compressor.flush())))
    return digest.hexdigest()


async def unpack(archive: Path, target: Path) -> None:
    """Decompress an archive. The target may be left incomplete after an error.

    Raises:
        DataCorrupted: the archive is damaged, or larger than its compressed size allows, or larger than the free space.
    """
    await files.wrap(_unpack)(archive, target)


def _unpack(archive: Path, target: Path) -> None:
    written = 0
    try:
        size = _stated_size(archive)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        with archive.open("rb") as file, open(target, "wb", opener=open_private) as output:
            # Pieces of bounded size, whatever the archive does.
            for piece in decompressor.read_to_iter(file, read_size=_PIECE_BYTES, write_size=_PIECE_BYTES):
                written += len(piece)
                if written > size:
                    break
                output.write(piece)
    except zstandard.ZstdError as error:
        raise DataCorrupted(f"It cannot be decompressed: {error}.") from error
    if written != size:
        raise DataCorrupted(f"It states {size} bytes, and has {'more' if written > size else written}.")


def _stated_size(archive: Path) -> int:
    with archive.open("rb") as file:
        size = zstandard.frame_content_size(file.read(_HEADER_BYTES))
    limit = max(archive.stat().st_size * _MAX_RATIO, _MIN_BYTES)
    free = shutil.disk_usage(archive.parent).free
    if size < 0:
        raise DataCorrupted("It does not state its size.")
    if size > limit:
        raise DataCorrupted(f"It states {size} bytes, and its compressed size allows {limit}.")
    if size > free:
        raise DataCorrupted(f"It has {size} bytes, and the disk has {free}.")
    return size
