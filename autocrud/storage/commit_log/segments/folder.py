"""Folder of the log: created durably, refused on network file systems, and locked by the process that commits."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.commit_log.segments.files import Files, OpenFile
from autocrud.storage.ports.private_files import FOLDER_MODE

LOCK_TIMEOUT_S = 5.0
_LOCK_POLL_S = 0.001
_NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p"})


class FolderLock:
    """The exclusive lock of the folder, `lock`, by flock. The thread that holds the lock may take the lock again.

    Processes and `FolderLock` objects exclude each other. The operating system releases the lock of a dead process.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self._path = folder / "lock"
        self._files = files
        self._file: OpenFile | None = None
        self._thread = threading.RLock()
        self._depth = 0
        self._owner = 0

    @property
    def is_held(self) -> bool:
        """True if the calling thread holds the lock."""
        return self._owner == threading.get_ident()

    @contextmanager
    def hold(self, timeout: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the lock for a block.

        Raises:
            StorageUnavailable: another process holds the lock for longer than the timeout.
        """
        if not self._thread.acquire(timeout=timeout):
            raise self._timeout_error(timeout)
        try:
            if not self._depth:
                self._lock(timeout)
                self._owner = threading.get_ident()
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth and self._file is not None:
                    self._owner = 0
                    fcntl.flock(self._file.descriptor, fcntl.LOCK_UN)
        finally:
            self._thread.release()

    def close(self) -> None:
        """Close the lock file."""
        self._file = None

    def _lock(self, timeout: float) -> None:
        try:
            self._file = self._file or OpenFile(self._files, self._path, os.O_RDONLY | os.O_CREAT)
        except OSError as error:
            raise StorageUnavailable(f"{self._path} cannot be opened: {error.strerror}.") from error
        deadline = time.monotonic() + timeout
        while True:
            try:
                return fcntl.flock(self._file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self._timeout_error(timeout) from None
            time.sleep(_LOCK_POLL_S)

    def _timeout_error(self, timeout: float) -> StorageUnavailable:
        return StorageUnavailable(f"Another process holds {self._path} for longer than {timeout:g} s.")


def create_folder(folder: Path, files: Files) -> None:
    """Create the folder of a log durably.

    Raises:
        ConfigurationError: the folder cannot be written, or is on a network file system.
    """
    try:
        create_durably(folder, files)
        kind = file_system_of(folder.resolve(), files.mount_table())
        is_writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise ConfigurationError(
            f"the folder {folder} cannot be used: {error.strerror}", argument="directory"
        ) from error
    if not is_writable:
        raise ConfigurationError(f"the folder {folder} is not writable", argument="directory")
    if kind in _NETWORK_FILE_SYSTEMS:
        raise ConfigurationError(
            f"the folder {folder} is on a {kind} file system, whose locks and syncs are not reliable; use a local disk",
            argument="directory",
        )


def file_system_of(path: Path, mount_table: str) -> str:
    """Return the type of the file system of an absolute path; "" if the table does not tell.

    Args:
        mount_table: content of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
    """
    found, longest = "", -1
    for line in mount_table.splitlines():
        mount, separator, system = line.partition(" - ")
        if not separator:
            continue
        # Spaces, tabs, line feeds and backslashes are octal numbers.
        point = Path(os.fsdecode(mount.split()[4].encode().decode("unicode_escape").encode("latin-1")))
        # Of two mounts on one point, the later one is visible.
        if path.is_relative_to(point) and len(point.parts) >= longest:
            found, longest = system.split()[0], len(point.parts)
    return found


def create_durably(folder: Path, files: Files) -> None:
    """Create a folder and its parents, and make their names durable."""
    if not folder.parent.exists():
        create_durably(folder.parent, files)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    # Also if the folder exists: the process that created it may have died before the name was durable.
    files.sync_folder(folder.parent)
