"""Segments: the blocking commit log in files. `fdatasync` of an append is the commit point.

The thread that commits holds the lock from `catch_up` to the commit of its index:

    with segments.lock():
        for entries in segments.catch_up(tail): ...    # apply what other processes appended
        entry = segments.layout(lines, tail)           # locators are final
        segments.append(entry)
        ...                                            # commit the index
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from autocrud.errors import StorageUnavailable
from autocrud.storage.commit_log.port import SlotTaken
from autocrud.storage.commit_log.records.builder import EntryBuilder
from autocrud.storage.commit_log.records.entry import Entry, Lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.commit_log.records.locators import parse_locator, require_data, spans_by_unit
from autocrud.storage.commit_log.segments.files import Files, SegmentFiles
from autocrud.storage.commit_log.segments.folder import LOCK_TIMEOUT_S, FolderLock, create_folder
from autocrud.storage.commit_log.segments.scan import (
    Place,
    UnreadableEntry,
    group_entries,
    is_complete,
    place_behind,
    scan,
    verify_tail,
)
from autocrud.storage.commit_log.segments.torn import remove_torn_end

SEGMENT_BYTES = 64 * 1024 * 1024


class Segments:
    """The files `000000000001.ndjson` of a folder, each named by its first sequence number.

    Methods block. Every method raises `StorageUnavailable` if a file operation fails.

    Args:
        folder: folder of the log.
        store: id of the store; None to read the log of any store.
        files: file operations.
        segment_bytes: size from which a new segment begins.
    """

    def __init__(
        self, folder: Path, store: str | None, *, files: Files | None = None, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._store = store
        self._files = files or Files()
        self._segment_bytes = segment_bytes
        self._segments = SegmentFiles(folder, self._files)
        self._lock = FolderLock(folder, self._files)
        self._errors = _TranslatedErrors(folder)
        self._builder = EntryBuilder(store)
        self._laid_out: tuple[str, Tail] | None = None
        self._known_place: tuple[Tail, Place] | None = None  # valid while the lock is held
        self._failed_unit = 0
        self._refusal = ""

    def create(self) -> None:
        """Create the folder durably.

        Raises:
            ConfigurationError: the folder cannot be written, or is on a network file system.
        """
        create_folder(self._folder, self._files)

    def close(self) -> None:
        """Close all files. Idempotent; a later call opens them again."""
        self._segments.close()
        self._lock.close()

    @contextmanager
    def lock(self, timeout: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the lock of the log, which excludes all other processes and objects. The same thread may nest it.

        Raises:
            StorageUnavailable: another process holds the lock for longer than the timeout.
        """
        with self._lock.hold(timeout):
            try:
                yield
            finally:
                self._known_place = None

    def verify(self, tail: Tail) -> None:
        """Check that the log has the entry of the tail at its place. Call this at a start.

        Raises:
            DataCorrupted: the log has another entry there, or none, or a segment is missing.
        """
        with self._errors:
            verify_tail(self._segments, tail)

    def is_behind(self, tail: Tail) -> bool:
        """Return True if the log goes on behind the tail, with two system calls.

        Raises:
            DataCorrupted: the log ends before the tail.
        """
        with self._errors:
            return not place_behind(self._segments, tail).is_end

    def catch_up(self, tail: Tail) -> Iterator[list[Entry]]:
        """Yield the entries behind the tail that the index has applied. The caller holds the lock.

        A torn end is moved to `torn/`. The last entry is written once more and synced before it is yielded, because its
        writer may have died before its sync.

        Raises:
            DataCorrupted: the log is damaged, or ends before the tail.
        """
        if not self._place_behind(tail).is_end:
            self._require_writable()
            self._known_place = None
            with self._errors:
                yield from group_entries(self._recover(tail))

    def layout(self, lines: Lines, after: Tail) -> Entry:
        """Return the entry that would follow `after`, with its final place and locators. Nothing is stored.

        Raises:
            PayloadTooLarge: the entry is longer than the log accepts.
            SlotTaken: the log goes on behind `after`.
        """
        entry = self._builder.build(lines, after)
        place = self._next_place(after)
        unit, start = place.unit, place.start
        is_full = start + len(entry.content) > self._segment_bytes
        if start and (is_full or unit == self._failed_unit):
            unit, start = entry.sequence, 0
        self._laid_out = (entry.nonce, after)
        return entry.place(self._segments.path(unit), unit, start)

    def append(self, entry: Entry) -> None:
        """Write the entry that was laid out last, and sync it.

        After a failed write or sync the file is cut to its old length, and the next entry begins a new segment: the
        kernel marks pages as clean although their sync failed.

        Raises:
            SlotTaken: the log has gone on since the layout.
            StorageUnavailable: the entry was not appended. After a crash it may be found in the log.
        """
        if self._laid_out is None or self._laid_out[0] != entry.nonce:
            raise ValueError("an entry is laid out before it is appended")
        with self.lock():
            self._next_place(self._laid_out[1])
            self._laid_out = self._known_place = None
            with self._errors:
                file = self._segments.file(entry.unit) if entry.start else self._segments.create(entry.unit)
                try:
                    file.write(entry.content, entry.start)
                    file.sync()
                except OSError:
                    self._failed_unit = entry.unit
                    self._cut(entry)
                    raise

    def entries(self, after: Tail = EMPTY_TAIL) -> Iterator[list[Entry]]:
        """Yield the entries behind a tail, without changing the log. Other processes may append meanwhile.

        Raises:
            DataCorrupted: bytes do not form an entry. The message names file and byte.
        """
        with self._errors:
            yield from group_entries(self._read_only(after))

    def read(self, locator: str) -> bytes:
        """Return the bytes of a locator.

        Raises:
            DataCorrupted: the bytes are missing or blank.
        """
        unit, offset, length = parse_locator(locator)
        with self._errors:
            data = self._segments.file(unit).read(offset, length)
        return require_data(data, length, self._segments.path(unit), offset)

    def erase(self, locators: Iterable[str]) -> None:
        """Overwrite the bytes of locators by blanks, in place and durably. Idempotent.

        Raises:
            DataCorrupted: a segment is missing, or ends before the bytes.
        """
        with self._errors:
            for unit, spans in spans_by_unit(locators).items():
                file = self._segments.file(unit)
                size = file.status().st_size
                for offset, length in spans:
                    require_data(b"x" * min(length, size - offset), length, self._segments.path(unit), offset)
                    file.write(b" " * length, offset)
                file.sync()

    def _next_place(self, after: Tail) -> Place:
        self._require_writable()
        place = self._place_behind(after)
        if not place.is_end:
            raise SlotTaken(f"{self._segments.path(place.unit)} goes on behind entry {after.sequence}.")
        return place

    def _place_behind(self, tail: Tail) -> Place:
        """Return the place behind a tail, from memory if the thread has looked since it took the lock."""
        is_held, memory = self._lock.is_held, self._known_place
        if is_held and memory is not None and memory[0] == tail:
            return memory[1]
        with self._errors:
            place = place_behind(self._segments, tail)
        self._known_place = (tail, place) if is_held else None
        return place

    def _recover(self, tail: Tail) -> Iterator[Entry]:
        last: Entry | None = None
        before = tail
        try:
            for entry in scan(self._segments, self._store, tail):
                if last is not None:
                    yield last
                    before = last.tail
                last = entry
        except UnreadableEntry as error:
            remove_torn_end(self._segments, self._files, error.tail, str(error))
        else:
            if last is not None and not is_complete(last, before):
                # Nothing follows, so no other record erases a part of the entry.
                start = last.tail._replace(end=last.start)
                remove_torn_end(self._segments, self._files, start, f"{last.describe_line(0)} does not verify.")
                return
        if last is not None:
            self._make_durable(last)
            yield last

    def _make_durable(self, entry: Entry) -> None:
        # After a failed sync the pages are clean and not on the disk. Writing the same bytes makes them dirty.
        file = self._segments.file(entry.unit)
        file.write(entry.content, entry.start)
        file.sync()
        if not entry.start:
            self._files.sync_folder(self._folder)

    def _read_only(self, tail: Tail) -> Iterator[Entry]:
        unreadable: Tail | None = None
        while True:
            try:
                for entry in scan(self._segments, self._store, tail):
                    yield entry
                    tail = entry.tail
                return
            except UnreadableEntry as error:
                if unreadable == error.tail:
                    raise
                unreadable = error.tail
            with self._lock.hold():
                pass  # An append that was under way has ended.

    def _cut(self, entry: Entry) -> None:
        """Cut the bytes of a failed append. If this fails, too, the process refuses writes."""
        try:
            self._segments.file(entry.unit).truncate(entry.start)
        except OSError as error:
            self._refusal = (
                f"{entry.source} could not be cut to {entry.start} bytes after a failed append: {error.strerror}."
                " This process refuses writes. Repair the disk, and restart the process."
            )

    def _require_writable(self) -> None:
        if self._refusal:
            raise StorageUnavailable(self._refusal)


class _TranslatedErrors(AbstractContextManager[None]):
    """Raises `StorageUnavailable` in place of an error of the operating system. It may be nested."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, OSError):
            raise StorageUnavailable(f"The log {self._folder} cannot be used: {error.strerror}.") from error
