"""Objects as files under one folder, durable before a call returns."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import uuid4

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.object_store import ObjectExists, ObjectMissing, ObjectStore

R = TypeVar("R")

_TEMPORARY = ".tmp"
_PIECE = 1024 * 1024
_ABANDONED_AFTER = 3600.0  # seconds; no put takes that long, so its process is gone


class LocalObjectStore(ObjectStore):
    """An object store over a folder of a local file system, which several processes may share.

    A file is written under a temporary name, synced, and then linked to its own, so that nobody, ever, sees part of it.

    Args:
        root: the folder; created if absent.
        threads: how many files may be worked on at once.
    """

    def __init__(self, root: Path, *, threads: int = 4) -> None:
        self._root = root
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None
        self._known_folders: set[Path] = set()

    async def open(self) -> None:
        self._executor = ThreadPoolExecutor(self._threads, "autocrud-files")
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    async def close(self) -> None:
        if self._executor is not None:
            executor, self._executor = self._executor, None
            await asyncio.to_thread(executor.shutdown)

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._run(lambda: self._put(key, data, if_absent))

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return await self._run(lambda: self._get(key, start, end))

    async def put_file(self, key: str, path: Path) -> None:
        await self._run(lambda: self._put_file(key, path))

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        start = 0
        while piece := await self.get(key, start, start + _PIECE):
            yield piece
            start += len(piece)

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        for key in await self._run(lambda: self._keys(prefix, after)):
            yield key

    async def delete(self, key: str) -> None:
        await self._run(lambda: (self._root / key).unlink(missing_ok=True))

    def blocking_exists(self, key: str) -> bool:
        """One system call."""
        return os.access(f"{self._root}/{key}", os.F_OK)  # a Path would cost more than the call, on every read

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        # Who rewrites holds the metadata's write lock, so that no other change can come between.
        await self._run(lambda: self._put(key, edit(self._get(key, 0, None)), False))

    async def _run(self, work: Callable[[], R]) -> R:
        if self._executor is None:
            raise StorageUnavailable(f"The store in {self._root} is not open.")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except OSError as error:
            raise StorageUnavailable(f"{self._root}: {error.strerror}.") from error

    def _open(self) -> None:
        try:
            temporary = self._root / _TEMPORARY
            self._make_folder(temporary)
            probe = temporary / f"probe-{uuid4().hex}"
            probe.touch()
            os.link(probe, probe.with_suffix(".link"))
            probe.with_suffix(".link").unlink()
            probe.unlink()
            self._sweep(temporary)
        except OSError as error:
            raise ConfigurationError(
                f"the directory {self._root} cannot be used: {error.strerror};"
                " it must be writable, and on a file system with hard links.",
                argument="directory",
            ) from error

    def _sweep(self, temporary: Path) -> None:
        for path in temporary.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER:
                    path.unlink()

    def _put(self, key: str, data: bytes, if_absent: bool) -> None:
        self._place(key, lambda file: file.write(data), if_absent)

    def _put_file(self, key: str, path: Path) -> None:
        with path.open("rb") as source:
            self._place(key, lambda file: shutil.copyfileobj(source, file, _PIECE), False)

    def _place(self, key: str, write: Callable[[BinaryIO], object], if_absent: bool) -> None:
        target = self._root / key
        temporary = self._root / _TEMPORARY / uuid4().hex
        self._make_folder(target.parent)
        try:
            with temporary.open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if if_absent:
                os.link(temporary, target)
                temporary.unlink()
            else:
                temporary.replace(target)
        except FileExistsError:
            temporary.unlink()
            raise ObjectExists(key) from None
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def _get(self, key: str, start: int, end: int | None) -> bytes:
        try:
            with (self._root / key).open("rb", buffering=0) as file:
                if end is not None:
                    file.seek(start)
                    return file.read(end - start)
                content = file.read()
        except FileNotFoundError:
            raise ObjectMissing(key) from None
        # Who reads a whole object may act on it, and its writer may have died before its name was durable.
        _sync_folder((self._root / key).parent)
        return content[start:]

    def _keys(self, prefix: str, after: str) -> list[str]:
        folder = self._root / prefix.rpartition("/")[0]
        found = (path.relative_to(self._root).as_posix() for path in folder.rglob("*") if path.is_file())
        return sorted(key for key in found if key.startswith(prefix) and key > after and not key.startswith("."))

    def _make_folder(self, folder: Path) -> None:
        """Create the folder, and make its name in each parent durable."""
        if folder in self._known_folders:
            return
        if not folder.exists():
            self._make_folder(folder.parent)
            folder.mkdir(exist_ok=True)
        # Also where it was there: the process that made it may have died before it was durable.
        _sync_folder(folder.parent)
        self._known_folders.add(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
