"""File operations of the log: one small object, so that tests can make each operation fail."""

import errno
import os
import threading
from collections import OrderedDict
from pathlib import Path

from autocrud.errors import DataCorrupted
from autocrud.storage.ports.private_files import open_private

_MAX_OPEN = 32  # files
_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class Files:
    """Blocking operations on files, as the operating system has them."""

    def open(self, path: str | Path, flags: int) -> int:
        """Open a file and return its descriptor."""
        return open_private(path, flags)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        """Write bytes at an offset, and return the number of written bytes."""
        return os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        """Make the written bytes and the length of a file durable."""
        _sync_data(descriptor)

    def truncate(self, descriptor: int, length: int) -> None:
        """Cut a file."""
        os.ftruncate(descriptor, length)

    def sync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def mount_table(self) -> str:
        """Return the table of mounted file systems; "" if the operating system has none."""
        try:
            return Path("/proc/self/mountinfo").read_text()
        except FileNotFoundError:
            return ""


class OpenFile:
    """A descriptor that is closed with the last reference, so that a reader never loses the descriptor it uses."""

    def __init__(self, files: Files, path: str | Path, flags: int) -> None:
        self._files = files
        self.descriptor = -1
        self.descriptor = files.open(path, flags)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def status(self) -> os.stat_result:
        """Return size, links and more."""
        return os.fstat(self.descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes at an offset; fewer at the end of the file."""
        pieces: list[bytes] = []
        while length and (piece := os.pread(self.descriptor, length, offset)):
            pieces.append(piece)
            offset += len(piece)
            length -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, data: bytes, offset: int) -> None:
        """Write all bytes at an offset."""
        rest = memoryview(data)
        while rest:
            count = self._files.write(self.descriptor, rest, offset)
            offset += count
            rest = rest[count:]

    def sync(self) -> None:
        """Make the file durable."""
        self._files.sync(self.descriptor)

    def truncate(self, length: int) -> None:
        """Cut the file."""
        self._files.truncate(self.descriptor, length)


class SegmentFiles:
    """The segment files of a folder, opened on demand. Several threads may read."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self._prefix = f"{folder}{os.sep}"
        self._files = files
        self._open_files: OrderedDict[int, OpenFile] = OrderedDict()
        self._mutex = threading.Lock()

    def path(self, unit: int) -> str:
        """Return the path of the segment that begins with this sequence number."""
        return f"{self._prefix}{unit:012}.ndjson"  # a Path would cost as much as the write of an entry

    def exists(self, unit: int) -> bool:
        """Return True if the segment exists, with one system call."""
        return os.access(self.path(unit), os.F_OK)

    def is_in_place(self, unit: int, status: os.stat_result) -> bool:
        """Return True if the path of a segment still leads to the open file with this status.

        If not, the file or its folder was removed or exchanged, and a process that starts now would see another log.
        """
        try:
            found = os.stat(self.path(unit))  # noqa: PTH116 - a Path would cost more than the call
        except FileNotFoundError:
            return False
        return (found.st_ino, found.st_dev) == (status.st_ino, status.st_dev)

    def units(self) -> list[int]:
        """Return the first sequence numbers of all segments, in order."""
        return sorted(int(path.stem) for path in self.folder.glob("*.ndjson") if path.stem.isdigit())

    def file(self, unit: int) -> OpenFile:
        """Return the open segment.

        Raises:
            DataCorrupted: the segment does not exist.
        """
        with self._mutex:
            found = self._open_files.get(unit)
            if found is not None:
                self._open_files.move_to_end(unit)
                return found
        path = self.path(unit)
        try:
            return self._keep(unit, OpenFile(self._files, path, os.O_RDWR))
        except FileNotFoundError:
            raise DataCorrupted(f"{path} is missing.") from None
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
        return self._keep(unit, OpenFile(self._files, path, os.O_RDONLY))

    def create(self, unit: int) -> OpenFile:
        """Return a new segment, or the empty one that a crashed process left. Its name is durable."""
        if self.exists(unit):
            file = self.file(unit)
        else:
            file = self._keep(unit, OpenFile(self._files, self.path(unit), os.O_RDWR | os.O_CREAT | os.O_EXCL))
        self._files.sync_folder(self.folder)
        return file

    def close(self) -> None:
        """Close all segments."""
        with self._mutex:
            self._open_files.clear()

    def _keep(self, unit: int, file: OpenFile) -> OpenFile:
        with self._mutex:
            self._open_files[unit] = file
            if len(self._open_files) > _MAX_OPEN:
                self._open_files.popitem(last=False)
        return file
