"""Objects as files under one folder, durable before a call returns."""

import asyncio
import fcntl
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, TypeVar
from uuid import uuid4

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.ports.not_open import StorageNotOpen
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, Part

R = TypeVar("R")

_TEMPORARY = ".tmp"
_PARTS = ".parts"
_REWRITE_LOCK = ".rewrite-lock"
_THREADS = 4  # files that are worked on at once
_PIECE_BYTES = 1024 * 1024
_ABANDONED_AFTER_S = 3600.0  # seconds; no put takes that long, so its process is gone


class LocalObjectStore(ObjectStore):
    """An object store over a folder of a local file system, which several processes may share.

    A file is written under a temporary name, synced, and then linked to its own, so that nobody, ever, sees part of it.

    Args:
        root: the folder; created if absent.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._executor: ThreadPoolExecutor | None = None
        self._known_folders: set[Path] = set()

    async def open(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, "autocrud-files")
        await asyncio.get_running_loop().run_in_executor(self._executor, self._open)

    async def close(self) -> None:
        if self._executor is not None:
            executor, self._executor = self._executor, None
            await asyncio.to_thread(executor.shutdown)

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._run(lambda: self._put(key, data, if_absent))

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return await self._run(lambda: self._get(key, start, end))

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        temporary = self._root / _TEMPORARY / uuid4().hex
        file = await self._run(lambda: temporary.open("xb"))
        try:
            async for piece in pieces:
                await self._run(partial(file.write, piece))
            await self._run(lambda: self._publish(file, temporary, key))
        except BaseException:
            await self._run(lambda: _abandon(file, temporary))
            raise

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        file = await self._run(lambda: self._open_object(key, start))
        try:
            remaining = sys.maxsize if end is None else end - start
            while piece := await self._run(partial(file.read, min(_PIECE_BYTES, remaining))):
                remaining -= len(piece)
                yield piece
        finally:
            file.close()

    async def size(self, key: str) -> int:
        return await self._run(lambda: self._size(key))

    async def begin_parts(self, key: str) -> str:
        upload = uuid4().hex
        await self._run(lambda: self._make_folder(self._root / _PARTS / upload))
        return upload

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        await self._run(lambda: self._put_part(upload, number, data))

    async def parts(self, key: str, upload: str) -> list[Part]:
        return await self._run(lambda: self._parts(upload))

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        await self._run(lambda: self._join(key, upload, parts))

    async def drop_parts(self, key: str, upload: str) -> None:
        await self._run(lambda: self._drop(upload))

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        for key in await self._run(lambda: self._keys(prefix, after)):
            yield key

    async def folders(self) -> set[str]:
        return await self._run(lambda: {path.name for path in self._root.iterdir() if path.is_dir()})

    async def delete(self, key: str) -> None:
        await self._run(lambda: (self._root / key).unlink(missing_ok=True))

    def blocking_exists(self, key: str) -> bool:
        """Return True if the object exists, with one system call."""
        return os.access(f"{self._root}/{key}", os.F_OK)  # a Path would cost more than the call, on every read

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        await self._run(lambda: self._rewrite(key, edit))

    async def _run(self, work: Callable[[], R]) -> R:
        if self._executor is None:
            raise StorageNotOpen
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
            self._remove_abandoned_files(temporary)
        except OSError as error:
            raise ConfigurationError(
                f"the directory {self._root} cannot be used: {error.strerror};"
                " it must be writable, and on a file system with hard links.",
                argument="directory",
            ) from error

    def _remove_abandoned_files(self, temporary: Path) -> None:
        for path in temporary.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                    path.unlink()

    def _put(self, key: str, data: bytes, if_absent: bool) -> None:
        temporary = self._root / _TEMPORARY / uuid4().hex
        file = temporary.open("xb")
        try:
            file.write(data)
            self._publish(file, temporary, key, if_absent)
        except (OSError, ObjectExists):
            _abandon(file, temporary)
            raise

    def _rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        # Without the lock, the last of two rewrites would undo the first. Threads open the file each for itself,
        # so that the lock holds between them, too.
        with (self._root / _REWRITE_LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._put(key, edit(self._get(key, 0, None)), False)

    def _publish(self, file: BinaryIO, temporary: Path, key: str, if_absent: bool = False) -> None:
        """Make the file durable, and then the object."""
        target = self._root / key
        self._make_folder(target.parent)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        if if_absent:
            try:
                os.link(temporary, target)
            except FileExistsError:
                raise ObjectExists(key) from None
            temporary.unlink()
        else:
            temporary.replace(target)
        _sync_folder(target.parent)

    def _size(self, key: str) -> int:
        try:
            return (self._root / key).stat().st_size
        except FileNotFoundError:
            raise ObjectMissing(key) from None

    def _open_object(self, key: str, start: int) -> BinaryIO:
        try:
            file = (self._root / key).open("rb", buffering=0)
        except FileNotFoundError:
            raise ObjectMissing(key) from None
        file.seek(start)
        return file

    def _folder_of(self, upload: str) -> Path:
        folder = self._root / _PARTS / upload
        if not folder.is_dir():
            raise ObjectMissing(upload)
        return folder

    def _parts(self, upload: str) -> list[Part]:
        with _translate_missing(upload):
            found = [(path, path.stat()) for path in sorted(self._folder_of(upload).iterdir())]
        return [Part(int(path.name), status.st_size, str(status.st_mtime_ns)) for path, status in found]

    def _put_part(self, upload: str, number: int, data: bytes) -> None:
        with _translate_missing(upload):
            self._folder_of(upload)
            self._put(f"{_PARTS}/{upload}/{number:06}", data, False)

    def _join(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        folder, temporary = self._folder_of(upload), self._root / _TEMPORARY / uuid4().hex
        if not set(parts) <= set(self._parts(upload)):
            raise ObjectMissing(key)
        file = temporary.open("xb")
        try:
            for part in parts:
                with _translate_missing(key), (folder / f"{part.number:06}").open("rb") as source:
                    shutil.copyfileobj(source, file, _PIECE_BYTES)
            self._publish(file, temporary, key)
        except (OSError, ObjectMissing):
            _abandon(file, temporary)
            raise
        self._drop(upload)

    def _drop(self, upload: str) -> None:
        shutil.rmtree(self._root / _PARTS / upload, ignore_errors=True)
        self._known_folders.discard(self._root / _PARTS / upload)

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


@contextmanager
def _translate_missing(name: str) -> Iterator[None]:
    """Raise `ObjectMissing` if the file is missing, or is removed meanwhile."""
    try:
        yield
    except FileNotFoundError:
        raise ObjectMissing(name) from None


def _abandon(file: BinaryIO, temporary: Path) -> None:
    file.close()
    temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
