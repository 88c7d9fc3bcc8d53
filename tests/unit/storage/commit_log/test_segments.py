"""Commit log in segments: reading back, several processes, damage, and folders that are refused."""

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from autocrud.errors import ConfigurationError, DataCorrupted, StorageUnavailable
from autocrud.resource import CommitKind
from autocrud.storage.commit_log.port import SlotTaken
from autocrud.storage.commit_log.records.entry import Entry, encode_lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.commit_log.segments.files import Files
from autocrud.storage.commit_log.segments.folder import file_system_of
from autocrud.storage.commit_log.segments.segments import Segments
from tests.unit.storage.commit_log.log_samples import STORE, change_of, create_of, entry_of

_DATA = b'{"name":"Ada"}'


def append(log: Segments, after: Tail = EMPTY_TAIL, count: int = 1, data: bytes = _DATA) -> list[Entry]:
    """Append entries of one create each."""
    entries: list[Entry] = []
    for _ in range(count):
        with log.lock():
            entries.append(log.layout(encode_lines([create_of(data)]), after))
            log.append(entries[-1])
        after = entries[-1].tail
    return entries


def read_all(log: Segments, after: Tail = EMPTY_TAIL) -> list[Entry]:
    """Return the entries behind a tail, without a change of the log."""
    return [entry for group in log.entries(after) for entry in group]


def catch_up(log: Segments, after: Tail = EMPTY_TAIL) -> list[Entry]:
    """Return the entries behind a tail, after a repair of the log."""
    with log.lock():
        return [entry for group in log.catch_up(after) for entry in group]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a log, not yet created."""
    return tmp_path / "data" / "log"


@pytest.fixture
def log(folder: Path) -> Iterator[Segments]:
    """Return a log that begins a new segment after about four entries."""
    segments = Segments(folder, STORE, segment_bytes=5000)
    segments.create()
    yield segments
    segments.close()


def test_entries_read_back_from_any_tail(log: Segments, folder: Path) -> None:
    """Segments are named by their first sequence number. Locators find the data in each."""
    assert read_all(log) == []
    entries = append(log, count=10)
    assert read_all(log) == entries
    names = sorted(path.name for path in folder.glob("*.ndjson"))
    assert names == [f"{entry.sequence:012}.ndjson" for entry in entries if not entry.start]
    assert len(names) > 2
    tail = EMPTY_TAIL
    for number, entry in enumerate(entries):
        locator = entry.data_locator(0, create_of(_DATA))
        assert locator is not None
        assert log.read(locator) == _DATA
        assert log.is_behind(tail)
        assert catch_up(log, tail) == entries[number:]
        tail = entry.tail
        log.verify(tail)
    assert not log.is_behind(tail)
    assert catch_up(log, tail) == []


def test_entry_longer_than_a_segment_has_its_own(log: Segments, folder: Path) -> None:
    """The segment after it begins with the next entry."""
    entries = append(log, data=b'"%s"' % (b"x" * 3_000_000))
    entries += append(log, entries[-1].tail)
    assert read_all(log) == entries
    assert len(list(folder.glob("*.ndjson"))) == 2


def test_append_behind_an_old_tail_is_refused(log: Segments, folder: Path) -> None:
    """Another process has appended, between the layout and the append or before both."""
    other = Segments(folder, STORE)
    late = log.layout(encode_lines([create_of()]), EMPTY_TAIL)
    (entry,) = append(other)
    with pytest.raises(SlotTaken):
        log.append(late)
    with pytest.raises(SlotTaken):
        log.layout(encode_lines([create_of()]), EMPTY_TAIL)
    assert catch_up(log) == [entry]
    assert append(log, entry.tail)[0].previous == entry.header_hash


def test_erased_bytes_are_blank_in_place(log: Segments) -> None:
    """A prune blanks the data, a purge the whole line. Other lines stay."""
    entries = append(log, count=6)
    log.erase([entries[0].last_part_locator(0), entries[5].line_locator(0)])
    log.erase([entries[0].last_part_locator(0)])
    states = [(entry.spans[0].has_metadata, entry.spans[0].has_data) for entry in read_all(log)]
    assert states == [(True, False), *[(True, True)] * 4, (False, False)]
    for locator in (entries[0].last_part_locator(0), "1:99999:7", "9:0:1"):
        with pytest.raises(DataCorrupted):
            log.read(locator)
    for locator in ("1:99999:7", "9:0:1", "x"):
        with pytest.raises(DataCorrupted):
            log.erase([locator])


def test_nested_lock_excludes_other_objects(log: Segments, folder: Path) -> None:
    """The message names the lock file."""
    other = Segments(folder, STORE)
    with log.lock(), log.lock():
        pass
    with log.lock():
        with log.lock():
            pass
        with pytest.raises(StorageUnavailable, match=str(folder / "lock")), other.lock(0):
            pass
    with other.lock(0):
        pass


def _append_in_process(folder: Path, count: int) -> None:
    log = Segments(folder, STORE, segment_bytes=5000)
    tail = EMPTY_TAIL
    for _ in range(count):
        with log.lock():
            for group in log.catch_up(tail):
                tail = group[-1].tail
            tail = append(log, tail)[0].tail


def test_processes_append_in_one_order(log: Segments, folder: Path) -> None:
    """Each process catches up under the lock, so no entry is lost or doubled."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_append_in_process, args=(folder, 10)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert [entry.sequence for entry in read_all(log)] == list(range(1, 21))


def test_other_tail_is_refused(log: Segments, folder: Path) -> None:
    """The log is shorter than the tail, or has another entry at its place."""
    entries = append(log, count=3)
    other = entry_of([create_of()]).tail
    with pytest.raises(DataCorrupted, match="another entry 1 at byte 0"):
        log.verify(entries[0].tail._replace(header_hash=other.header_hash))
    with pytest.raises(DataCorrupted, match="does not have entry 1 at byte 1"):
        log.verify(entries[0].tail._replace(start=1))
    path = folder / "000000000001.ndjson"
    os.truncate(path, entries[1].start)
    with pytest.raises(DataCorrupted, match=r"ends at byte .*, the end of entry 2"):
        log.is_behind(entries[1].tail)
    path.unlink()
    with pytest.raises(DataCorrupted, match="was removed or replaced"):
        log.is_behind(entries[0].tail)


def test_exchanged_folder_is_refused_until_it_is_back(log: Segments, folder: Path) -> None:
    """A copy of the folder has equal bytes. The process would go on to write into the folder that was there."""
    tail = append(log, count=3)[-1].tail
    away = folder.with_name("away")
    folder.rename(away)
    shutil.copytree(away, folder)
    for check in (log.is_behind, log.verify, lambda tail: log.layout(encode_lines([create_of()]), tail)):
        with pytest.raises(DataCorrupted, match="Bring back the folder"):
            check(tail)
    shutil.rmtree(folder)
    away.rename(folder)
    log.append(log.layout(encode_lines([create_of()]), tail))


def test_missing_segment_is_refused(log: Segments, folder: Path) -> None:
    """The message names the files on both sides of the gap."""
    entries = append(log, count=12)
    first, second, third = sorted(folder.glob("*.ndjson"))[:3]
    last_of_first = next(entry for entry in reversed(entries) if entry.unit == 1)
    second.unlink()
    with pytest.raises(DataCorrupted, match=f"{first} ends with entry .*, and the next file is {third}"):
        read_all(log)
    with pytest.raises(DataCorrupted, match=f"{second} is missing"):
        log.verify(last_of_first.tail)
    first.unlink()
    for check in (read_all, catch_up):
        with pytest.raises(DataCorrupted, match=f"{first} is missing"):
            check(log)


@pytest.mark.parametrize("change", ["header", "record", "line feed"])
def test_damage_before_a_valid_entry_is_refused(log: Segments, folder: Path, change: str) -> None:
    """Damage is no torn append. The message names file and byte, and the file stays as it is."""
    entries = append(log, count=3)
    path = folder / "000000000001.ndjson"
    content = bytearray(path.read_bytes())
    offset = {"header": 3, "record": entries[1].spans[0].offset + 30, "line feed": len(entries[1].content) - 1}[change]
    content[entries[1].start + offset] ^= 1
    path.write_bytes(content)
    if change == "record":  # may be erased by a later record, so the chain checker judges it
        assert [entry.spans[0].has_metadata for entry in catch_up(log)] == [True, False, True]
        return
    with pytest.raises(DataCorrupted, match=rf"000000000001\.ndjson.* at byte {entries[1].start}.*Restore the file"):
        catch_up(log)
    assert path.read_bytes() == content


def test_entry_of_another_store_at_the_end_is_refused(log: Segments, folder: Path) -> None:
    """A valid entry is no torn append."""
    (entry,) = append(log)
    other = Segments(folder, "another")
    append(other, entry.tail)
    with pytest.raises(DataCorrupted, match="belongs to the store another"):
        catch_up(log)


def test_line_without_data_is_erased_whole(log: Segments) -> None:
    """Blobs and deletes have no data part."""
    with log.lock():
        entry = log.layout(encode_lines([change_of(CommitKind.delete)]), EMPTY_TAIL)
        log.append(entry)
    assert entry.last_part_locator(0) == entry.line_locator(0)


def test_log_without_a_store_only_reads(log: Segments, folder: Path) -> None:
    """A check of the chain does not know the store."""
    entries = append(log)
    reader = Segments(folder, None)
    assert read_all(reader) == entries
    with pytest.raises(ValueError, match="read-only"):
        append(reader, entries[-1].tail)


class _NetworkFiles(Files):
    def mount_table(self) -> str:
        mounts = ("/ rw - ext4 /dev/vda", "/tmp\\040x rw - tmpfs x", "/ rw - nfs4 host:/x")
        return "".join(f"1 0 0:1 / {mount} rw\n" for mount in mounts)


def test_network_file_system_is_refused(folder: Path) -> None:
    """The message names the type of the file system."""
    with pytest.raises(ConfigurationError, match="is on a nfs4 file system"):
        Segments(folder, STORE, files=_NetworkFiles()).create()
    table = _NetworkFiles().mount_table()
    assert file_system_of(Path("/tmp x/a"), table) == "tmpfs"
    assert file_system_of(Path("/tmp xy"), table) == "nfs4"
    assert file_system_of(Path("/a"), "") == ""


def test_folder_in_place_of_a_file_is_refused(folder: Path) -> None:
    """The message names the folder."""
    folder.parent.mkdir()
    folder.write_bytes(b"")
    with pytest.raises(ConfigurationError, match=str(folder)):
        Segments(folder, STORE).create()
