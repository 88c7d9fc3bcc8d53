"""Repair of a torn end: the bytes of an append that a crash cut short. The append was never acknowledged."""

import logging
import os
from pathlib import Path

from autocrud.errors import DataCorrupted
from autocrud.storage.commit_log.records.header import Tail
from autocrud.storage.commit_log.segments.files import Files, OpenFile, SegmentFiles
from autocrud.storage.commit_log.segments.folder import create_durably
from autocrud.storage.commit_log.segments.scan import find_valid_entry

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1024 * 1024


def remove_torn_end(segments: SegmentFiles, files: Files, tail: Tail, reason: str) -> None:
    """Copy the bytes behind an entry to `torn/`, then cut them off. The caller holds the lock.

    Args:
        tail: end of the last valid entry. `unit` and `end` are the place of the bytes.
        reason: fault of the bytes, for messages.

    Raises:
        DataCorrupted: a valid entry follows, so the bytes are damage, and no torn append.
    """
    file, path = segments.file(tail.unit), segments.path(tail.unit)
    later = [unit for unit in segments.units() if unit > tail.unit]
    valid = find_valid_entry(file, path, tail.end)
    if later or valid is not None:
        place = f"byte {valid} of the file" if valid is not None else segments.path(later[0])
        raise DataCorrupted(f"{reason} The log is damaged, because it goes on at {place}. Restore the file.")
    copy = _copy(file, files, segments.folder / "torn", f"{tail.unit:012}-{tail.end}", tail.end)
    file.truncate(tail.end)
    file.sync()
    logger.warning("%s A crash cut an append short. The bytes were moved to %s.", reason, copy)


def _copy(file: OpenFile, files: Files, folder: Path, name: str, offset: int) -> Path:
    """Copy the end of a file to a new file, durably."""
    create_durably(folder, files)
    number = len(list(folder.glob(f"{name}-*")))
    path = folder / f"{name}-{number}"
    target = OpenFile(files, path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    written = 0
    while piece := file.read(offset + written, _CHUNK_BYTES):
        target.write(piece, written)
        written += len(piece)
    target.sync()
    files.sync_folder(folder)
    return path
