"""Scan of segments: entries in order, from any place to the end of the log, in bounded memory."""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from autocrud.errors import DataCorrupted
from autocrud.storage.commit_log.records.chain import ChainChecker
from autocrud.storage.commit_log.records.entry import Entry, decode_entry
from autocrud.storage.commit_log.records.header import MAX_ENTRY_BYTES, PREFIX, PREFIX_BYTES, Tail, parse_length
from autocrud.storage.commit_log.segments.files import OpenFile, SegmentFiles

_CHUNK_BYTES = 1024 * 1024
_GROUP_BYTES, _GROUP_ENTRIES = 4 * 1024 * 1024, 500


class UnreadableEntry(DataCorrupted):
    """Bytes at a place where an entry must be do not form an entry.

    Attributes:
        tail: end of the entry before. `unit` and `end` are the place of the bytes.
    """

    def __init__(self, message: str, tail: Tail) -> None:
        super().__init__(message)
        self.tail = tail


@dataclass(frozen=True, slots=True)
class Place:
    """Place of the next entry.

    Attributes:
        unit: segment; may not exist.
        start: offset in the segment.
        is_end: True if the log has no bytes at the place.
    """

    unit: int
    start: int
    is_end: bool


def place_behind(segments: SegmentFiles, tail: Tail) -> Place:
    """Return the place of the entry that follows `tail`.

    A segment that begins with the sequence number of the next entry ends the segment before. Bytes behind the end are
    the remains of a failed append.

    Raises:
        DataCorrupted: the log ends before the end of the entry, or the file of the entry was removed.
    """
    if not tail.sequence:
        if segments.exists(1):
            return _place_in_next(segments, 1)
        _refuse_missing(segments, 1, segments.units())
        return Place(1, 0, True)
    path = segments.path(tail.unit)
    status = segments.file(tail.unit).status()
    if not segments.is_in_place(tail.unit, status):
        raise DataCorrupted(
            f"{path} was removed or replaced, or its folder was. Bring back the folder that was there; to use the one"
            " that is there now, restart with its own SQLite file."
        )
    if segments.exists(tail.sequence + 1):
        return _place_in_next(segments, tail.sequence + 1)
    if status.st_size < tail.end:
        raise DataCorrupted(
            f"{path} ends at byte {status.st_size}, before byte {tail.end}, the end of entry {tail.sequence} that was"
            " applied. Restore the log; or, to take the log as it is, remove the SQLite file."
        )
    return Place(tail.unit, tail.end, status.st_size == tail.end)


def _place_in_next(segments: SegmentFiles, unit: int) -> Place:
    return Place(unit, 0, segments.file(unit).status().st_size == 0)


def verify_tail(segments: SegmentFiles, tail: Tail) -> None:
    """Check that the log has the entry of the tail at its place, and no gap behind the entry.

    Raises:
        DataCorrupted: the log has another entry there, or none.
    """
    later = [unit for unit in segments.units() if unit > tail.sequence]
    if place_behind(segments, tail).is_end and later and later[0] != tail.sequence + 1:
        raise DataCorrupted(f"{segments.path(tail.sequence + 1)} is missing, and {segments.path(later[0])} exists.")
    if not tail.sequence:
        return
    file, path = segments.file(tail.unit), segments.path(tail.unit)
    try:
        found = decode_entry(file.read(tail.start, tail.end - tail.start), path, store=None, unit=tail.unit)
    except DataCorrupted as error:
        raise DataCorrupted(f"{path} does not have entry {tail.sequence} at byte {tail.start}: {error}") from error
    if (found.sequence, found.header_hash) != (tail.sequence, tail.header_hash):
        raise DataCorrupted(
            f"{path} has another entry {found.sequence} at byte {tail.start} than was applied. Restore the log; or, to"
            " take the log as it is, remove the SQLite file."
        )


def scan(segments: SegmentFiles, store: str | None, tail: Tail) -> Iterator[Entry]:
    """Yield the entries behind a tail, up to the end of the log.

    Raises:
        UnreadableEntry: bytes do not form an entry.
        DataCorrupted: a segment is missing.
    """
    units = segments.units()
    _refuse_missing(segments, tail.unit or 1, units)
    following = [unit for unit in units if unit > tail.unit]
    if tail.unit:
        tail = yield from _scan_segment(segments, store, tail, following[0] if following else None)
    for number, unit in enumerate(following):
        if unit != tail.sequence + 1:
            path, later = segments.path(tail.unit), segments.path(unit)
            raise DataCorrupted(f"{path} ends with entry {tail.sequence}, and the next file is {later}.")
        tail = tail._replace(unit=unit, end=0)
        tail = yield from _scan_segment(segments, store, tail, next(iter(following[number + 1 :]), None))


def group_entries(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Yield entries in lists of bounded size. A fault is raised behind the entries before it."""
    group: list[Entry] = []
    size = 0
    try:
        for entry in entries:
            group.append(entry)
            size += len(entry.content)
            if size >= _GROUP_BYTES or len(group) >= _GROUP_ENTRIES:
                yield group
                group, size = [], 0
    except DataCorrupted:
        if group:
            yield group
        raise
    if group:
        yield group


def find_valid_entry(file: OpenFile, path: str, start: int) -> int | None:
    """Return the offset of the first valid entry at or behind the start of a line; None if there is none."""
    stated = parse_length(file.read(start, PREFIX_BYTES)) or 0
    # The stated end counts, too: the line feed before it may be what is damaged.
    for offset in chain([start, start + stated], _entry_starts(file, start)):
        length = parse_length(file.read(offset, PREFIX_BYTES))
        if length is None or length > MAX_ENTRY_BYTES:
            continue
        try:
            entry = decode_entry(file.read(offset, length), path, store=None, unit=0)
        except DataCorrupted:
            continue
        if offset > start or is_intact(entry):
            return offset
    return None


def is_intact(entry: Entry) -> bool:
    """Return True if all parts have the bytes that were written."""
    return all(span.has_metadata and span.has_data for span in entry.spans)


def is_complete(entry: Entry, before: Tail) -> bool:
    """Return True if all parts of the last entry have their bytes, or are erased by a record of the same entry.

    Args:
        before: end of the entry before.
    """
    if is_intact(entry):
        return True
    checker = ChainChecker(before)
    try:
        checker.add(entry)
    except DataCorrupted:
        return False
    return checker.describe_suspect() is None


def _entry_starts(file: OpenFile, offset: int) -> Iterator[int]:
    """Yield the offsets of bytes that begin like a header. The line feed before them may be lost."""
    pattern = PREFIX
    while len(piece := file.read(offset, _CHUNK_BYTES)) >= len(pattern):
        found = piece.find(pattern)
        while found >= 0:
            yield offset + found
            found = piece.find(pattern, found + 1)
        offset += len(piece) - len(pattern) + 1


def _scan_segment(
    segments: SegmentFiles, store: str | None, tail: Tail, following: int | None
) -> Generator[Entry, None, Tail]:
    """Yield the entries of one segment behind `tail.end`, up to the first entry of the following segment.

    Returns the end of the last entry.
    """
    unit, file, path = tail.unit, segments.file(tail.unit), segments.path(tail.unit)
    size = file.status().st_size
    buffer, base = b"", tail.end
    while tail.end < size and tail.sequence + 1 != following:
        start = tail.end
        if start + PREFIX_BYTES > base + len(buffer):
            buffer, base = file.read(start, _CHUNK_BYTES), start
        length = parse_length(buffer[start - base : start - base + PREFIX_BYTES])
        if length is None or length > MAX_ENTRY_BYTES or start + length > size:
            raise UnreadableEntry(f"{path} has no complete entry {tail.sequence + 1} at byte {start}.", tail)
        if start + length > base + len(buffer):
            buffer, base = file.read(start, max(_CHUNK_BYTES, length)), start
        content = buffer[start - base : start - base + length]
        try:
            entry = decode_entry(content, path, store=store, unit=unit, start=start)
        except DataCorrupted as error:
            raise UnreadableEntry(
                f"{path} has no valid entry {tail.sequence + 1} at byte {start}: {error}", tail
            ) from error
        yield entry
        tail = entry.tail
    return tail


def _refuse_missing(segments: SegmentFiles, unit: int, units: list[int]) -> None:
    if units and unit not in units:
        raise DataCorrupted(f"{segments.path(unit)} is missing.")
