"""Folders for what can be fetched again: each belongs to one process at a time."""

import fcntl
import hashlib
import shutil
import tempfile
from pathlib import Path

import aiofiles
from aiofiles import os as files
from aiofiles.threadpool.text import AsyncTextIOWrapper

from autocrud.errors import ConfigurationError
from autocrud.storage.ports.private_files import make_private_folder, open_private

_MAX_SLOTS = 1024


class CacheFolder:
    """A folder of this process alone under a directory that processes share; who comes next finds what is in it.

    Args:
        directory: created if absent; if None, a temporary one that is removed in the end.
        belongs_to: what is cached, so that nothing else is taken for it.
    """

    def __init__(self, directory: Path | None, *belongs_to: str) -> None:
        self._directory = directory
        self._name = hashlib.sha256("\0".join(belongs_to).encode()).hexdigest()[:16]
        self._lock: AsyncTextIOWrapper | None = None
        self._temporary: str | None = None
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """The folder, from `claim` to `release`."""
        if self._path is None:
            raise RuntimeError("the cache is not open")
        return self._path

    async def claim(self) -> None:
        """Take the first folder that no living process has.

        Raises:
            ConfigurationError: the directory cannot be used.
        """
        if self._path is not None:
            return
        if self._directory is None:
            self._temporary = await files.wrap(tempfile.mkdtemp)(prefix="autocrud-")
            self._path = Path(self._temporary)
            return
        try:
            for number in range(_MAX_SLOTS):
                folder = self._directory / self._name / str(number)
                await files.wrap(make_private_folder)(folder)
                if await self._try_lock(folder / "lock"):
                    self._path = folder
                    return
        except OSError as error:
            message = f"the directory {self._directory} cannot be used: {error.strerror}"
            raise ConfigurationError(message, argument="cache_dir") from error
        raise ConfigurationError(f"{_MAX_SLOTS} processes use {self._directory} already", argument="cache_dir")

    async def release(self) -> None:
        """Leave the folder to the next process. May be called twice."""
        self._path = None
        if self._lock is not None:
            lock, self._lock = self._lock, None
            await lock.close()
        if self._temporary is not None:
            temporary, self._temporary = self._temporary, None
            await files.wrap(shutil.rmtree)(temporary, ignore_errors=True)

    async def _try_lock(self, path: Path) -> bool:
        lock = await aiofiles.open(path, "a", opener=open_private)
        try:
            # Held by the open file, so that it ends with the process, however that ends.
            await files.wrap(fcntl.flock)(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await lock.close()
            return False
        self._lock = lock
        return True
