"""Check of the chain: each kind of change is found, and erased parts are accepted."""

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from autocrud.errors import ConfigurationError, DataCorrupted
from autocrud.resource import CommitKind
from autocrud.storage.check_chain import check_disk, check_objects, main
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.records.entry import Entry, encode_lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.commit_log.segments.segments import Segments
from autocrud.storage.objects.memory import MemoryObjectStore
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Item
from tests.servers_real import seaweed
from tests.unit.storage.commit_log.log_samples import STORE, STORE_JSON, change_of, create_of

Change = Callable[[list[bytes]], list[bytes]]  # of the lines of one entry, the header first

_ENTRIES = 5
_PURGED, _PURGE = Position(1, 0), 4  # the line that entry 4 purges


def _batch(sequence: int) -> tuple[list[Item], list[list[Position]]]:
    """Return three creates. Entry 4 purges the first line of entry 1, and prunes the first line of entry 2."""
    if sequence == _PURGE:
        erased = [[_PURGED], [Position(2, 0)]]
        return [change_of(CommitKind.purge), change_of(CommitKind.prune)], erased
    return [create_of(b'"%d-%d"' % (sequence, number)) for number in range(3)], []


def _fill_segments(directory: Path, *, is_erased: bool = True) -> list[Entry]:
    """Append the batches as segments of about two entries, and erase what entry 4 erases."""
    log = Segments(directory / "log", STORE, segment_bytes=5000)
    log.create()
    entries: list[Entry] = []
    tail: Tail = EMPTY_TAIL
    for sequence in range(1, _ENTRIES + 1):
        entries.append(log.layout(encode_lines(*_batch(sequence)), tail))
        log.append(entries[-1])
        tail = entries[-1].tail
    if is_erased:
        log.erase([entries[0].line_locator(0), entries[1].last_part_locator(0)])
    log.close()
    return entries


async def _fill_objects(objects: MemoryObjectStore | S3ObjectStore) -> list[Entry]:
    await objects.open()
    await objects.put("store.json", STORE_JSON)
    log = ObjectLog(objects, STORE)
    entries: list[Entry] = []
    tail: Tail = EMPTY_TAIL
    for sequence in range(1, _ENTRIES + 1):
        entries.append(await log.layout(encode_lines(*_batch(sequence)), tail))
        await log.append(entries[-1])
        tail = entries[-1].tail
    await log.erase([entries[0].line_locator(0), entries[1].last_part_locator(0)])
    return entries


def _swap(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


_CHANGES: dict[str, Change] = {
    "changed": lambda lines: [*lines[:2], lines[2].replace(b'-1"', b'-9"'), *lines[3:]],
    "changed metadata": lambda lines: [*lines[:2], lines[2].replace(b"create", b"update"), *lines[3:]],
    "removed": lambda lines: [*lines[:2], *lines[3:]],
    "reordered": _swap,
    "inserted": lambda lines: [*lines[:2], lines[1], *lines[2:]],
    "blanked": lambda lines: [*lines[:2], b" " * len(lines[2]), *lines[3:]],
    "changed header": lambda lines: [re.sub(rb'"writer":".', b'"writer":"x', lines[0]), *lines[1:]],
}


@pytest.mark.parametrize("sequence", [1, 3, _ENTRIES])
@pytest.mark.parametrize("name", _CHANGES)
async def test_changed_line_is_found_in_objects(name: str, sequence: int) -> None:
    """The message names object and entry. Nothing follows the last header, so only `expected` proves that header."""
    objects = MemoryObjectStore()
    entries = await _fill_objects(objects)
    last = entries[-1]
    key = f"log/000000/{sequence:06}.ndjson"
    changed = b"\n".join(_CHANGES[name](objects.objects[key].split(b"\n")))
    assert changed != objects.objects[key]
    objects.objects[key] = changed
    with pytest.raises(DataCorrupted, match=rf"{key}|follow this entry {sequence}|Entry {sequence}\b"):
        await check_objects(objects, (last.sequence, last.header_hash))


@pytest.mark.parametrize("sequence", [1, 3, _ENTRIES])
@pytest.mark.parametrize("name", _CHANGES)
def test_changed_line_is_found_in_segments(tmp_path: Path, name: str, sequence: int) -> None:
    """The message names file and entry."""
    entries = _fill_segments(tmp_path)
    entry, last = entries[sequence - 1], entries[-1]
    path = Path(entry.source)
    content = path.read_bytes()
    start, end = entry.start, entry.start + len(entry.content)
    changed = b"\n".join(_CHANGES[name](content[start:end].split(b"\n")))
    path.write_bytes(content[:start] + changed + content[end:])
    with pytest.raises(DataCorrupted, match=rf"(entry|Entry) {sequence}\b"):
        asyncio.run(check_disk(tmp_path, (last.sequence, last.header_hash)))


@pytest.mark.parametrize("order", [[1, 3, 2, 4, 5], [1, 3, 4, 5], [2, 3, 4, 5], [1, 2, 2, 3, 4, 5], [1, 2, 3, 5, 4]])
async def test_moved_entries_are_found(tmp_path: Path, order: Sequence[int]) -> None:
    """An entry is removed, repeated or moved, as an object or within a segment."""
    objects = MemoryObjectStore()
    contents = [entry.content for entry in await _fill_objects(objects)]
    objects.objects = {f"log/000000/{place:06}.ndjson": contents[n - 1] for place, n in enumerate(order, start=1)}
    with pytest.raises(DataCorrupted, match=r"log/000000/00000\d\.ndjson holds entry \d"):
        await check_objects(objects)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "000000000001.ndjson").write_bytes(b"".join(contents[number - 1] for number in order))
    with pytest.raises(DataCorrupted, match=r"000000000001\.ndjson: entry \d stands where \d must be"):
        await check_disk(tmp_path)


async def test_missing_file_or_object_is_found(tmp_path: Path) -> None:
    """The message names the missing object, or the files around the gap."""
    objects = MemoryObjectStore()
    await _fill_objects(objects)
    del objects.objects["log/000000/000003.ndjson"]
    with pytest.raises(DataCorrupted, match=r"000003\.ndjson is missing, and log/000000/000004\.ndjson exists"):
        await check_objects(objects)
    _fill_segments(tmp_path)
    paths = sorted((tmp_path / "log").glob("*.ndjson"))
    paths[1].unlink()
    with pytest.raises(DataCorrupted, match=f"the next file is {paths[2]}"):
        await check_disk(tmp_path)
    with pytest.raises(ConfigurationError, match="has no folder log"):
        await check_disk(tmp_path / "log")


async def test_erased_parts_need_a_later_record(tmp_path: Path) -> None:
    """Without the entry that erases them, blank parts are a fault."""
    objects = MemoryObjectStore()
    entries = await _fill_objects(objects)
    assert (await check_objects(objects)).tail == entries[-1].tail
    for sequence in (4, 5):
        del objects.objects[f"log/000000/{sequence:06}.ndjson"]
    with pytest.raises(DataCorrupted, match=r"000001\.ndjson, entry 1, line 2 .* no later record erases it"):
        await check_objects(objects)


def test_command_prints_the_last_entry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A later check proves that the printed entry is there. Half-blank parts are reported, and are no fault."""
    entries = _fill_segments(tmp_path)
    arguments = ["--disk", str(tmp_path)]
    assert main(arguments) == 0
    last = capsys.readouterr().out.strip()
    assert last == f"{_ENTRIES}:{entries[-1].header_hash}"
    assert main([*arguments, "--expect", last]) == 0
    path = Path(entries[0].source)
    content = path.read_bytes()
    span = entries[0].spans[0]
    path.write_bytes(
        content[: span.offset] + entries[0].content[span.offset : span.offset + 9] + content[span.offset + 9 :]
    )
    assert main(arguments) == 0
    assert "1 erased parts are not blank yet" in capsys.readouterr().err
    os.truncate(entries[-1].source, entries[-1].start)
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--expect", last]) == 1
    assert f"The log ends with entry {_ENTRIES - 1}, and entry {_ENTRIES} is expected." in capsys.readouterr().err
    assert main([*arguments, "--expect", f"2:{'0' * 64}"]) == 1
    assert "Entry 2 has the hash" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "--expect", "2"])
    assert "'2' is not sequence:hash" in capsys.readouterr().err


def test_command_checks_a_bucket(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials come from the environment. A changed object is found."""
    server = seaweed()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    location = S3Location("tests", endpoint_url=server.endpoint_url, create_bucket=True, prefix=tmp_path.name)

    async def fill() -> list[Entry]:
        objects = S3ObjectStore(location)
        entries = await _fill_objects(objects)
        await objects.close()
        return entries

    async def change() -> None:
        objects = S3ObjectStore(location)
        await objects.open()
        await objects.rewrite("log/000000/000003.ndjson", lambda content: content.replace(b"3-1", b"3-7"))
        await objects.close()

    entries = asyncio.run(fill())
    arguments = ["--s3-bucket", "tests", "--endpoint-url", server.endpoint_url, "--prefix", tmp_path.name]
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == f"{_ENTRIES}:{entries[-1].header_hash}"
    asyncio.run(change())
    assert main(arguments) == 1
    assert re.search(r"000003\.ndjson, entry 3, line 3 ", capsys.readouterr().err)
