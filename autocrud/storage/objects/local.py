"""Objects as files under one folder, durable before a call returns."""

import asyncio
import fcntl
import os
import shutil
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import aiofiles
from aiofiles import os as files
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.ports.not_open import StorageNotOpen
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, Part
from autocrud.storage.ports.private_files import FOLDER_MODE, open_private

R = TypeVar("R")

_TEMPORARY = ".tmp"
_PARTS = ".parts"
_REWRITE_LOCK = ".rewrite-lock"
_THREADS = 4  # concurrent file operations
_PIECE_BYTES = 1024 * 1024
_ABANDONED_AFTER_S = 3600.0  # seconds; a put never takes as long, so its process is dead


class LocalObjectStore(ObjectStore):
    """Object store over a folder of a local file system. Several processes may share the folder.

    A file is written under a temporary name, synced, and then linked to its name. So no reader sees a part of a file.

    Args:
        root: folder; created if absent.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._executor: ThreadPoolExecutor | None = None
        self._known_folders: set[Path] = set()

    async def open(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, "autocrud-files")
        try:
            temporary = self._root / _TEMPORARY
            await files.wrap(self._make_folder)(temporary, executor=self._pool)
            await self._probe_links(temporary / f"probe-{uuid4().hex}")
            await self._remove_abandoned_files(temporary)
        except OSError as error:
            raise ConfigurationError(
                f"the directory {self._root} cannot be used: {error.strerror};"
                " it must be writable, and on a file system with hard links.",
                argument="directory",
            ) from error

    async def close(self) -> None:
        if self._executor is not None:
            executor, self._executor = self._executor, None
            await asyncio.to_thread(executor.shutdown)

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._run(lambda: self._put(key, data, if_absent))

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None:
            return await self._run(lambda: self._read_span(key, start, end))
        with self._translate_errors(), _translate_missing(key):
            async with aiofiles.open(self._root / key, "rb", buffering=0, executor=self._pool) as file:
                content = await file.read()
            # Who reads a whole object may act on it, and its writer may have died before its name was durable.
            await files.wrap(_sync_folder)((self._root / key).parent, executor=self._pool)
        return content[start:]

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        target, temporary = self._root / key, self._root / _TEMPORARY / uuid4().hex
        async with self._temporary_file(temporary) as file:
            async for piece in pieces:  # errors of the pieces stay as they are
                with self._translate_errors():
                    await file.write(piece)
            with self._translate_errors():
                await files.wrap(self._make_folder)(target.parent, executor=self._pool)
                await self._publish(file, temporary, target)

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        with self._translate_errors(), _translate_missing(key):
            file = await aiofiles.open(self._root / key, "rb", buffering=0, executor=self._pool)
        try:
            with self._translate_errors():
                await file.seek(start)
            remaining = sys.maxsize if end is None else end - start
            while True:
                with self._translate_errors():
                    piece = await file.read(min(_PIECE_BYTES, remaining))
                if not piece:
                    return
                remaining -= len(piece)
                yield piece
        finally:
            await file.close()

    async def size(self, key: str) -> int:
        with self._translate_errors(), _translate_missing(key):
            return (await files.stat(self._root / key, executor=self._pool)).st_size

    async def begin_parts(self, key: str) -> str:
        upload = uuid4().hex
        with self._translate_errors():
            await files.wrap(self._make_folder)(self._folder_of(upload), executor=self._pool)
        return upload

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        folder, temporary = self._folder_of(upload), self._root / _TEMPORARY / uuid4().hex
        with self._translate_errors(), _translate_missing(upload):
            await files.stat(folder, executor=self._pool)
            async with self._temporary_file(temporary) as file:
                await file.write(data)
                # The folder is not made again: the upload may be dropped meanwhile.
                await self._publish(file, temporary, folder / f"{number:06}")

    async def parts(self, key: str, upload: str) -> list[Part]:
        with self._translate_errors(), _translate_missing(upload):
            return await files.wrap(_list_parts)(self._folder_of(upload), executor=self._pool)

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        if not set(parts) <= set(await self.parts(key, upload)):
            raise ObjectMissing(key)
        with self._translate_errors(), _translate_missing(key):
            async with aclosing(self._pieces_of(upload, parts)) as pieces:
                await self.put_stream(key, pieces)
        await self.drop_parts(key, upload)

    async def drop_parts(self, key: str, upload: str) -> None:
        await files.wrap(shutil.rmtree)(self._folder_of(upload), ignore_errors=True, executor=self._pool)
        self._known_folders.discard(self._folder_of(upload))

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        with self._translate_errors():
            found = await files.wrap(self._keys)(prefix, after, executor=self._pool)
        for key in found:
            yield key

    async def folders(self) -> set[str]:
        with self._translate_errors():
            return await files.wrap(_list_folders)(self._root, executor=self._pool)

    async def delete(self, key: str) -> None:
        with self._translate_errors(), suppress(FileNotFoundError):
            await files.unlink(self._root / key, executor=self._pool)

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        await self._run(lambda: self._rewrite(key, edit))

    @property
    def _pool(self) -> ThreadPoolExecutor:
        """Thread pool for all work on files, also by aiofiles."""
        if self._executor is None:
            raise StorageNotOpen
        return self._executor

    async def _run(self, work: Callable[[], R]) -> R:
        """Run several system calls in a single hop. aiofiles needs a hop per call (docs/adr/0038)."""
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except OSError as error:
            raise self._unavailable(error) from error

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: OSError) -> StorageUnavailable:
        return StorageUnavailable(f"{self._root}: {error.strerror}.")

    async def _probe_links(self, path: Path) -> None:
        async with aiofiles.open(path, "xb", executor=self._pool, opener=open_private):
            pass
        link = path.with_suffix(".link")
        await files.link(path, link, executor=self._pool)
        for name in (link, path):
            await files.unlink(name, executor=self._pool)

    async def _remove_abandoned_files(self, temporary: Path) -> None:
        for name in await files.listdir(temporary, executor=self._pool):
            path = temporary / name
            with suppress(FileNotFoundError):
                status = await files.stat(path, executor=self._pool)
                if time.time() - status.st_mtime > _ABANDONED_AFTER_S:
                    await files.unlink(path, executor=self._pool)

    @asynccontextmanager
    async def _temporary_file(self, path: Path) -> AsyncIterator[AsyncBufferedIOBase]:
        """Yield a new file, and remove it on any error."""
        with self._translate_errors():
            file = await aiofiles.open(path, "xb", executor=self._pool, opener=open_private)
        try:
            yield file
        except BaseException:
            with suppress(OSError):
                await file.close()
            with suppress(OSError):
                await files.unlink(path, executor=self._pool)
            raise

    async def _publish(self, file: AsyncBufferedIOBase, temporary: Path, target: Path) -> None:
        """Make the file durable, and then the object."""
        await file.flush()
        await files.wrap(os.fsync)(file.fileno(), executor=self._pool)
        await file.close()
        await files.replace(temporary, target, executor=self._pool)
        await files.wrap(_sync_folder)(target.parent, executor=self._pool)

    async def _pieces_of(self, upload: str, parts: Sequence[Part]) -> AsyncGenerator[bytes, None]:
        for part in parts:
            path = self._folder_of(upload) / f"{part.number:06}"
            async with aiofiles.open(path, "rb", buffering=0, executor=self._pool) as file:
                while piece := await file.read(_PIECE_BYTES):
                    yield piece

    def _folder_of(self, upload: str) -> Path:
        return self._root / _PARTS / upload

    def _put(self, key: str, data: bytes, if_absent: bool) -> None:
        target, temporary = self._root / key, self._root / _TEMPORARY / uuid4().hex
        try:
            with open(temporary, "xb", opener=open_private) as file:
                file.write(data)
                self._make_folder(target.parent)
                file.flush()
                os.fsync(file.fileno())
            if if_absent:
                _link(temporary, target, key)
                temporary.unlink()
            else:
                temporary.replace(target)
        except (OSError, ObjectExists):
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)

    def _rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        # Without the lock, the last of two rewrites would undo the first. Threads open the file each for itself,
        # so that the lock holds between them, too. One function on one thread, because a cancelled caller must not
        # release the lock before the object is replaced.
        with open(self._root / _REWRITE_LOCK, "wb", opener=open_private) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with _translate_missing(key):
                content = (self._root / key).read_bytes()
            _sync_folder((self._root / key).parent)
            self._put(key, edit(content), False)

    def _read_span(self, key: str, start: int, end: int) -> bytes:
        with _translate_missing(key), (self._root / key).open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(end - start)

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
            folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
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


def _link(temporary: Path, target: Path, key: str) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise ObjectExists(key) from None


def _list_parts(folder: Path) -> list[Part]:
    found = [(path, path.stat()) for path in sorted(folder.iterdir())]
    return [Part(int(path.name), status.st_size, str(status.st_mtime_ns)) for path, status in found]


def _list_folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
