"""Faults of the disk: torn ends, failed writes, syncs and truncations, and power cuts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from autocrud.errors import StorageUnavailable
from autocrud.storage.commit_log.records.entry import Entry, encode_lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.commit_log.segments.files import Files
from autocrud.storage.commit_log.segments.segments import Segments
from tests.unit.storage.commit_log.faulty_files import FaultyFiles
from tests.unit.storage.commit_log.log_samples import STORE, create_of
from tests.unit.storage.commit_log.test_segments import append, catch_up, read_all


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a log."""
    return tmp_path / "log"


@pytest.fixture
def files() -> FaultyFiles:
    """Return operations without a fault yet."""
    return FaultyFiles()


@pytest.fixture
def log(folder: Path, files: FaultyFiles) -> Iterator[Segments]:
    """Return a log whose file operations can fail."""
    segments = Segments(folder, STORE, files=files)
    segments.create()
    yield segments
    segments.close()


def _cut_power(log: Segments, files: FaultyFiles) -> None:
    log.close()
    files.cut_power()


def _first_segment(folder: Path) -> Path:
    return folder / "000000000001.ndjson"


class _UnsyncedFiles(Files):
    """Operations without syncs, to save time."""

    def sync(self, descriptor: int) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


@pytest.mark.parametrize("is_first", [True, False])
def test_end_torn_at_any_byte_is_moved_aside(folder: Path, is_first: bool) -> None:
    """The entries before stay, the bytes are kept in `torn/`, and the log goes on."""
    log = Segments(folder, STORE, files=_UnsyncedFiles())
    log.create()
    entries = append(log, count=1 if is_first else 2)
    *kept, torn = entries
    path = _first_segment(folder)
    content = path.read_bytes()
    for length in range(1, len(torn.content), 50 if is_first else 1):
        path.write_bytes(content[: torn.start + length])
        assert catch_up(log) == kept
        assert path.read_bytes() == content[: torn.start]
        (copy,) = (folder / "torn").iterdir()
        assert copy.read_bytes() == torn.content[:length]
        copy.unlink()
    after = kept[-1].tail if kept else EMPTY_TAIL
    assert read_all(log) == kept
    appended = append(log, after)
    assert read_all(log) == [*kept, *appended]


@pytest.mark.parametrize("place", ["salt", "data", "end"])
def test_last_entry_that_does_not_verify_is_torn(log: Segments, folder: Path, place: str) -> None:
    """A power cut can leave zeros inside of an entry of full length. Nothing follows, so no record erases the bytes."""
    kept, torn = append(log, count=2)
    path = _first_segment(folder)
    content = bytearray(path.read_bytes())
    offset = {"salt": torn.spans[0].offset + 20, "data": len(torn.content) - 8, "end": len(torn.content) - 1}[place]
    content[torn.start + offset] = 0
    path.write_bytes(content)
    with log.lock():
        assert catch_up(log, kept.tail) == []
        assert read_all(log) == [kept]
        appended = append(log, kept.tail)
    assert read_all(log) == [kept, *appended]


def test_second_torn_end_at_one_place_keeps_both_copies(log: Segments, folder: Path) -> None:
    """No copy is overwritten."""
    (entry,) = append(log)
    for _ in range(2):
        _first_segment(folder).write_bytes(entry.content[:100])
        assert catch_up(log) == []
    assert sorted(path.name for path in (folder / "torn").iterdir()) == ["000000000001-0-0", "000000000001-0-1"]


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("written", [0, 1, 500])
def test_full_disk_leaves_the_log_as_before(
    log: Segments, folder: Path, files: FaultyFiles, count: int, written: int
) -> None:
    """The append fails half-way. The next append begins a new segment, and another process reads both."""
    entries = append(log, count=count)
    tail = entries[-1].tail if entries else EMPTY_TAIL
    files.fail_write = written
    with pytest.raises(StorageUnavailable, match="No space left on device"):
        append(log, tail)
    assert _first_segment(folder).stat().st_size == tail.end
    entries += append(log, tail)
    assert entries[-1].start == 0
    assert catch_up(Segments(folder, STORE)) == entries


@pytest.mark.parametrize("count", [0, 2])
def test_failed_sync_is_not_trusted_later(log: Segments, folder: Path, files: FaultyFiles, count: int) -> None:
    """The pages count as clean, and never reach the disk. Acknowledged entries survive a power cut."""
    entries = append(log, count=count)
    tail = entries[-1].tail if entries else EMPTY_TAIL
    files.fail_sync = True
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        append(log, tail)
    entries += append(log, tail)
    entries += append(log, entries[-1].tail)
    _cut_power(log, files)
    assert catch_up(Segments(folder, STORE)) == entries


def test_remains_of_a_failed_append_end_at_the_next_segment(log: Segments, folder: Path, files: FaultyFiles) -> None:
    """After a power cut the old segment can have the failed entry again. The next segment has the same number."""
    (first,) = append(log)
    files.fail_sync = True
    failed = log.layout(encode_lines([create_of()]), first.tail)
    with pytest.raises(StorageUnavailable):
        log.append(failed)
    (second,) = append(log, first.tail)
    assert second.unit == second.sequence == failed.sequence
    path = _first_segment(folder)
    path.write_bytes(first.content + failed.content)
    other = Segments(folder, STORE)
    assert catch_up(other) == [first, second]
    assert catch_up(other, first.tail) == [second]
    assert append(other, second.tail)[0].unit == second.unit


def test_failed_truncation_stops_writes_of_the_process(log: Segments, folder: Path, files: FaultyFiles) -> None:
    """Another process applies the entry, after it wrote the bytes once more, or removes the torn end."""
    (first,) = append(log)
    files.fail_sync = files.fail_truncate = True
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        append(log, first.tail)
    for write in (append, catch_up):
        with pytest.raises(StorageUnavailable, match="This process refuses writes"):
            write(log, first.tail)
    assert log.is_behind(first.tail)
    other = Segments(folder, STORE, files=files)
    (second,) = catch_up(other, first.tail)
    _cut_power(other, files)
    assert catch_up(Segments(folder, STORE)) == [first, second]


def test_entry_is_synced_before_another_process_applies_it(log: Segments, folder: Path, files: FaultyFiles) -> None:
    """The writer died between write and sync, in a segment whose name was not durable."""

    class Dying(FaultyFiles):
        def sync(self, descriptor: int) -> None:
            raise _Killed

        def sync_folder(self, folder: Path) -> None:
            pass

    class _Killed(BaseException):
        pass

    dying = Dying()
    writer = Segments(folder, STORE, files=dying)
    with pytest.raises(_Killed):
        append(writer)
    reader = Segments(folder, STORE, files=dying)
    with pytest.raises(_Killed):
        catch_up(reader)
    (entry,) = catch_up(log)
    _cut_power(log, files)
    assert catch_up(Segments(folder, STORE)) == [entry]


@pytest.mark.parametrize("steps", range(1, 40))
def test_power_cut_at_any_operation_keeps_acknowledged_entries(folder: Path, steps: int) -> None:
    """Power fails at the n-th operation. Every acknowledged entry is there, and at most one that was not."""

    class PowerCut(BaseException):
        pass

    class Counting(FaultyFiles):
        operations = 0

        def _count(self) -> None:
            self.operations += 1
            if self.operations == steps:
                raise PowerCut

        def write(self, descriptor: int, data: memoryview, offset: int) -> int:
            self._count()
            return super().write(descriptor, data, offset)

        def sync(self, descriptor: int) -> None:
            self._count()
            super().sync(descriptor)
            self._count()

        def sync_folder(self, folder: Path) -> None:
            self._count()
            super().sync_folder(folder)

    files = Counting()
    log = Segments(folder, STORE, files=files, segment_bytes=2500)
    acknowledged: list[Entry] = []
    tail: Tail = EMPTY_TAIL
    try:
        log.create()
        for _ in range(12):
            acknowledged += append(log, tail)
            tail = acknowledged[-1].tail
    except PowerCut:
        pass
    log.close()
    files.cut_power()
    if not folder.exists():
        return
    found = catch_up(Segments(folder, STORE))
    assert found[: len(acknowledged)] == acknowledged
    assert len(found) <= len(acknowledged) + 1
    after = found[-1].tail if found else EMPTY_TAIL
    reopened = Segments(folder, STORE, segment_bytes=2500)
    assert catch_up(Segments(folder, STORE)) == found
    appended = append(reopened, after)
    assert read_all(reopened) == [*found, *appended]
