"""Snapshots: compressed copies of a SQLite file in an object store, from which another node starts.

`<prefix>/snapshots/<sequence>-<hash>.sqlite.zst`, immutable: SQLite as of that log entry, and the SHA-256 of the
compressed bytes. A snapshot saves time and nothing else: the log can do without.
"""

import asyncio
import hashlib
import logging
import re
import sqlite3
from pathlib import Path
from shutil import disk_usage

import aiofiles
import aiosqlite
from aiofiles import os as files
from aiofiles.tempfile import TemporaryDirectory

from autocrud.errors import AutoCRUDError, DataCorrupted, StorageUnavailable
from autocrud.storage.metadata.sqlite.connection import read_once
from autocrud.storage.metadata.sqlite.engine.store_tables import read_tail
from autocrud.storage.metadata.sqlite.snapshot_archive import pack, unpack
from autocrud.storage.ports.objects import ObjectMissing, ObjectStore
from autocrud.storage.ports.private_files import open_private

logger = logging.getLogger(__name__)

# A snapshot costs more for a larger file, and a replay for more entries. So a snapshot is due after one entry
# for each of these bytes of the file, or after a growth by a quarter. Snapshots then cost a fixed share of the work.
_BYTES_PER_ENTRY = 100_000
_GROWTH, _MIN_GROWTH = 1.25, 16 * 1024 * 1024
_SIZE_CHECK_INTERVAL = 64  # entries between two looks at how far it has grown
_MAX_SNAPSHOTS = 2
_NAME = re.compile(r"(?P<sequence>\d{9,})-(?P<hash>[0-9a-f]{64})\.sqlite\.zst")
_PROGRESS_BYTES = 64 * 1024 * 1024


class Snapshots:
    """Snapshots of a store.

    Args:
        objects: object store of the snapshots.
        every: log entries between two snapshots, at least.
    """

    def __init__(self, objects: ObjectStore, *, every: int) -> None:
        self._objects = objects
        self._prefix = "snapshots/"
        self._every = every
        self._newest = 0
        self._size = 0  # of the file, when the newest snapshot was made or seen
        self._task: asyncio.Task[None] | None = None

    async def restore(self, path: Path) -> None:
        """Prepare a file before its first use.

        A file that is damaged, or far behind the newest snapshot, is replaced by the newest intact snapshot. Without a
        snapshot, a damaged file is removed.
        """
        await self._restore(path, await self._last_entry(path))
        if self._newest:
            self._size = await _size_of(path)

    async def _restore(self, path: Path, applied_sequence: int) -> None:
        for name in reversed(await self._names()):
            self._newest = max(self._newest, _sequence(name))
            if _sequence(name) <= applied_sequence + (self._every if applied_sequence else 0):
                return
            logger.info("restoring %s%s", self._prefix, name)
            if await self._download(name, path):
                return

    def consider(self, path: Path, sequence: int) -> None:
        """Make a snapshot in the background if due. The file holds the entry with this sequence number."""
        if self._task is None and (sequence - self._newest >= self._every or sequence % _SIZE_CHECK_INTERVAL == 0):
            self._task = asyncio.create_task(self._make_if_due(path, sequence))

    async def supersede(self, path: Path, sequence: int) -> None:
        """Replace the snapshots older than an entry. The file holds the entry."""
        await self.drain()
        if any(_sequence(name) < sequence for name in await self._names()):
            await self._make(path)
            # Listed after the new one is there: other nodes may have put older ones meanwhile, and those that come
            # later are removed by their makers, who see the new one.
            for name in await self._names():
                if _sequence(name) < sequence:
                    await self._objects.delete(self._prefix + name)

    async def drain(self) -> None:
        """Return when no snapshot is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _last_entry(self, path: Path) -> int:
        """Return the number of the last applied entry of a file; 0 without a file. Remove a damaged file."""
        if not await files.path.exists(path):
            return 0
        try:
            return await read_once(path, self._check_file)
        except (DataCorrupted, StorageUnavailable) as error:
            logger.error("%s is damaged (%s), and is built again", path, error.__cause__ or error)
        await files.wrap(remove_file)(path)
        return 0

    def _check_file(self, db: sqlite3.Connection) -> int:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DataCorrupted(verdict)
        return read_tail(db).sequence

    async def _make_if_due(self, path: Path, sequence: int) -> None:
        try:
            size = await _size_of(path)
            if not self._is_due(size, sequence):
                return
            newest = max(map(_sequence, await self._names()), default=0)
            if newest > self._newest:
                self._newest, self._size = newest, size  # another node was there
            if self._is_due(size, sequence):
                made = await self._make(path)
                self._size = size
                names = await self._names()
                # Another node may have erased data since, and removed the snapshots that hold it.
                is_superseded = _sequence(names[-1]) > _sequence(made) if names else False
                for name in [*names[:-_MAX_SNAPSHOTS], *([made] if is_superseded else [])]:
                    await self._objects.delete(self._prefix + name)
        except (AutoCRUDError, OSError, sqlite3.Error) as error:
            logger.warning("no snapshot of %s at entry %d: %s", path.name, sequence, error)
        finally:
            self._task = None

    def _is_due(self, size: int, sequence: int) -> bool:
        grown = size >= max(self._size * _GROWTH, self._size + _MIN_GROWTH)
        return grown or sequence - self._newest >= max(self._every, size // _BYTES_PER_ENTRY)

    async def _make(self, path: Path) -> str:
        """Put a snapshot of the file, and return its name."""
        async with TemporaryDirectory(dir=path.parent, prefix="snapshot-") as folder:
            copy, archive = Path(folder) / "copy", Path(folder) / "packed"
            source_address = f"file:{path}?mode=ro"
            async with aiosqlite.connect(source_address, uri=True) as source, aiosqlite.connect(copy) as target:
                await source.backup(target)  # the file as it is at one moment
            sequence = await read_once(copy, lambda db: read_tail(db).sequence)
            digest = await pack(copy, archive)
            name = f"{sequence:09}-{digest}.sqlite.zst"
            await self._objects.put_file(f"{self._prefix}{name}", archive)
        self._newest = max(self._newest, sequence)
        logger.info("%s: snapshot at entry %d", path.name, sequence)
        return name

    async def _download(self, name: str, path: Path) -> bool:
        """Unpack a snapshot beside the file. Replace the file if the hash matches the name.

        A damaged snapshot, or a snapshot larger than the free disk space, is ignored, because the log has everything.
        """
        archive, new_file = path.with_suffix(".packed"), path.with_suffix(".restoring")
        try:
            if f"-{await self._fetch(name, archive)}." not in name:
                raise DataCorrupted("Its hash is not the one in its name.")
            await unpack(archive, new_file)
            await files.wrap(_replace)(path, new_file)
        except ObjectMissing:
            return False
        except DataCorrupted as error:
            key = self._prefix + name
            logger.error("The log is replayed without the snapshot %s. %s Remove the object.", key, error)
            return False
        finally:
            for file in (archive, new_file):
                await files.wrap(file.unlink)(missing_ok=True)
        return True

    async def _fetch(self, name: str, archive: Path) -> str:
        """Copy a snapshot to a file, and return the hash of its bytes."""
        digest, received = hashlib.sha256(), 0
        size, free = await self._objects.size(self._prefix + name), await files.wrap(disk_usage)(archive.parent)
        if size > free.free:
            raise DataCorrupted(f"It has {size} bytes, and the disk has {free.free}.")
        async with aiofiles.open(archive, "wb", opener=open_private) as file:
            async for piece in self._objects.stream(self._prefix + name):
                digest.update(piece)
                await file.write(piece)
                if (received + len(piece)) // _PROGRESS_BYTES > received // _PROGRESS_BYTES:
                    logger.info("%s%s: %d MiB so far", self._prefix, name, (received + len(piece)) // 2**20)
                received += len(piece)
        return digest.hexdigest()

    async def _names(self) -> list[str]:
        """Return the names of the stored snapshots, oldest first."""
        found = [key.removeprefix(self._prefix) async for key in self._objects.keys(self._prefix)]
        return sorted(filter(_NAME.fullmatch, found), key=_sequence)


def remove_file(path: Path) -> None:
    """Remove a SQLite file with its write-ahead log. Otherwise SQLite would apply the log to the next file."""
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _replace(path: Path, new_file: Path) -> None:
    remove_file(path)
    new_file.replace(path)


async def _size_of(path: Path) -> int:
    return (await files.stat(path)).st_size if await files.path.exists(path) else 0


def _sequence(name: str) -> int:
    return int(name.partition("-")[0])
