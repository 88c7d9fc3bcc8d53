"""Archive of a SQLite file: round trip, and archives that would fill memory or disk."""

import os
from pathlib import Path

import pytest
import zstandard

from autocrud.errors import DataCorrupted
from autocrud.storage.metadata.sqlite.snapshot_archive import pack, unpack

_ZEROS = bytes(1024 * 1024)


def _bomb(path: Path, mebibytes: int, *, size: int = -1) -> int:
    """Write an archive of zeros, and return its size."""
    compressor = zstandard.ZstdCompressor().compressobj(size=size)
    with path.open("wb") as file:
        for _ in range(mebibytes):
            file.write(compressor.compress(_ZEROS))
        file.write(compressor.flush())
    return path.stat().st_size


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
async def test_file_is_unpacked_as_packed(tmp_path: Path, size: int) -> None:
    """The archive states the size."""
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    await pack(tmp_path / "file", tmp_path / "archive")
    await unpack(tmp_path / "archive", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == content


async def test_archive_beyond_its_limit_is_not_unpacked(tmp_path: Path) -> None:
    """The stated size is compared with the compressed size before a byte is written."""
    compressed = _bomb(tmp_path / "archive", 512, size=512 * len(_ZEROS))
    assert compressed < 100_000
    with pytest.raises(DataCorrupted, match=f"states {512 * len(_ZEROS)} bytes, and its compressed size allows"):
        await unpack(tmp_path / "archive", tmp_path / "target")
    assert not (tmp_path / "target").exists()


async def test_archive_without_size_is_not_unpacked(tmp_path: Path) -> None:
    """Nobody can say how long it would take."""
    _bomb(tmp_path / "archive", 1)
    with pytest.raises(DataCorrupted, match="does not state its size"):
        await unpack(tmp_path / "archive", tmp_path / "target")


@pytest.mark.parametrize("damage", ["cut", "garbage"])
async def test_damaged_archive_is_refused(tmp_path: Path, damage: str) -> None:
    """The archive ends too early, or is none."""
    (tmp_path / "file").write_bytes(os.urandom(100_000))
    await pack(tmp_path / "file", tmp_path / "archive")
    content = (tmp_path / "archive").read_bytes()
    (tmp_path / "archive").write_bytes(content[:-10] if damage == "cut" else b"x" + content)
    with pytest.raises(DataCorrupted):
        await unpack(tmp_path / "archive", tmp_path / "target")


async def test_archive_of_two_frames_is_cut(tmp_path: Path) -> None:
    """What follows the first frame is not unpacked beyond the stated size."""
    (tmp_path / "file").write_bytes(b"x" * 1000)
    await pack(tmp_path / "file", tmp_path / "archive")
    (tmp_path / "archive").write_bytes((tmp_path / "archive").read_bytes() * 2)
    await unpack(tmp_path / "archive", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"x" * 1000
