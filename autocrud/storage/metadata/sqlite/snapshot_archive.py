"""Archive of a SQLite file: packed with zstandard, and unpacked in bounded memory and disk space."""

import hashlib
import shutil
from pathlib import Path

import zstandard

from autocrud.errors import DataCorrupted

_PIECE_BYTES = 1024 * 1024
_HEADER_BYTES = 18  # longest frame header
_MAX_WINDOW_BYTES = 16 * 1024 * 1024  # memory of the decompressor; `pack` needs less
# Rows have random ids and hashes, which do not shrink. A row of 16 KiB of equal bytes shrinks about 300 times.
_MAX_RATIO = 1000
_MIN_BYTES = 16 * 1024 * 1024  # always accepted


def pack(source: Path, archive: Path) -> str:
    """Compress a file, and return the SHA-256 of the archive. The archive states the size of the file."""
    digest = hashlib.sha256()
    compressor = zstandard.ZstdCompressor(level=1)
    with source.open("rb") as file, archive.open("wb") as output:
        size = source.stat().st_size
        for piece in compressor.read_to_iter(file, size=size, read_size=_PIECE_BYTES, write_size=_PIECE_BYTES):
            digest.update(piece)
            output.write(piece)
    return digest.hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """Decompress an archive. The target may be left incomplete after an error.

    Raises:
        DataCorrupted: the archive is damaged, or larger than its compressed size allows, or larger than the free space.
    """
    try:
        size = _stated_size(archive)
        decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        written = 0
        with archive.open("rb") as file, target.open("wb") as output:
            for piece in decompressor.read_to_iter(file, read_size=_PIECE_BYTES, write_size=_PIECE_BYTES):
                written += len(piece)
                if written > size:
                    break
                output.write(piece)
    except zstandard.ZstdError as error:
        raise DataCorrupted(f"it cannot be decompressed: {error}") from error
    if written != size:
        raise DataCorrupted(f"it states {size} bytes, and has {'more' if written > size else written}")


def _stated_size(archive: Path) -> int:
    with archive.open("rb") as file:
        size = zstandard.frame_content_size(file.read(_HEADER_BYTES))
    limit = max(archive.stat().st_size * _MAX_RATIO, _MIN_BYTES)
    free = shutil.disk_usage(archive.parent).free
    if size < 0:
        raise DataCorrupted("it does not state its size")
    if size > limit:
        raise DataCorrupted(f"it states {size} bytes, and its compressed size allows {limit}")
    if size > free:
        raise DataCorrupted(f"it has {size} bytes, and the disk has {free}")
    return size
