"""File operations that fail on command, and forget unsynced bytes at a power cut."""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autocrud.storage.commit_log.segments.files import Files

Change = Callable[[bytearray], None]


@dataclass
class _Inode:
    """Durable content of a file, and changes that were not synced."""

    path: Path
    durable: bytearray = field(default_factory=bytearray)
    changes: list[Change] = field(default_factory=list)
    is_name_durable: bool = False


class FaultyFiles(Files):
    """Operations of the operating system, with faults.

    Attributes:
        fail_write: number of bytes that the next write stores before the disk is full; None for no fault.
        fail_sync: True to fail the next sync. As in Linux, the pages are clean afterwards, and not on the disk.
        fail_truncate: True to fail the next truncation.
    """

    def __init__(self) -> None:
        self.fail_write: int | None = None
        self.fail_sync = False
        self.fail_truncate = False
        self._inodes: dict[int, _Inode] = {}

    def open(self, path: str | Path, flags: int) -> int:
        descriptor = super().open(path, flags)
        inode = os.fstat(descriptor).st_ino
        if inode not in self._inodes:
            self._inodes[inode] = _Inode(Path(path), bytearray(Path(path).read_bytes()), [], not flags & os.O_CREAT)
        return descriptor

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        if self.fail_write is not None:
            if not self.fail_write:
                self.fail_write = None
                raise OSError(errno.ENOSPC, "No space left on device")
            data, self.fail_write = data[: self.fail_write], 0
        content = bytes(data)

        def change(durable: bytearray) -> None:
            durable.extend(bytes(max(0, offset - len(durable))))
            durable[offset : offset + len(content)] = content

        self._inode(descriptor).changes.append(change)
        return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        inode = self._inode(descriptor)
        changes, inode.changes = inode.changes, []
        if self.fail_sync:
            self.fail_sync = False
            raise OSError(errno.EIO, "Input/output error")
        for change in changes:
            change(inode.durable)

    def truncate(self, descriptor: int, length: int) -> None:
        if self.fail_truncate:
            self.fail_truncate = False
            raise OSError(errno.EIO, "Input/output error")

        def change(durable: bytearray) -> None:
            del durable[length:]

        self._inode(descriptor).changes.append(change)
        super().truncate(descriptor, length)

    def sync_folder(self, folder: Path) -> None:
        for inode in self._inodes.values():
            inode.is_name_durable = inode.is_name_durable or inode.path.parent == folder

    def cut_power(self) -> None:
        """Leave on the disk what was synced: contents, and names of files. Open files must not be used afterwards."""
        for inode in self._inodes.values():
            if inode.is_name_durable:
                inode.path.write_bytes(inode.durable)
            else:
                inode.path.unlink(missing_ok=True)
        self._inodes.clear()

    def _inode(self, descriptor: int) -> _Inode:
        return self._inodes[os.fstat(descriptor).st_ino]
