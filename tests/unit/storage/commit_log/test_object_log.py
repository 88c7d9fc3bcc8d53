"""Commit log in an object store: entries, foreign objects, erasure, and lost answers."""

import asyncio
from collections.abc import Sequence

import pytest

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.commit_log import object_log
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.port import SlotTaken
from autocrud.storage.commit_log.records.entry import Entry, encode_lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, MAX_ENTRY_BYTES, Tail
from autocrud.storage.objects.memory import MemoryObjectStore
from autocrud.storage.ports.objects import PutUndecided
from tests.unit.storage.commit_log.log_samples import STORE, STORE_JSON, create_of, entry_of

_KEY = "log/000000/000001.ndjson"


@pytest.fixture
async def objects() -> MemoryObjectStore:
    """Return an open object store."""
    store = MemoryObjectStore()
    await store.open()
    store.objects["store.json"] = STORE_JSON
    return store


async def _append(log: ObjectLog, count: int, after: Tail = EMPTY_TAIL) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(count):
        entries.append(await log.layout(encode_lines([create_of(b'{"number":%d}' % number)]), after))
        after = entries[-1].tail
        await log.append(entries[-1])
    return entries


async def _read_all(log: ObjectLog) -> list[Entry]:
    return [entry async for entries in log.entries() for entry in entries]


@pytest.mark.parametrize("count", [0, 1, 2, 40])
async def test_entries_read_back_in_order(objects: MemoryObjectStore, count: int) -> None:
    """Reading ahead changes nothing. A locator finds the data."""
    log = ObjectLog(objects, STORE)
    entries = await _append(log, count)
    assert await _read_all(log) == entries
    for number, entry in enumerate(entries):
        locator = entry.data_locator(0, create_of(b'{"number":%d}' % number))
        assert locator is not None
        assert await log.read(locator) == b'{"number":%d}' % number


async def test_read_ahead_of_long_entries_is_bounded(
    objects: MemoryObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next entries are read one by one if each is as long as the limit. The rest of an entry is a second read."""
    monkeypatch.setattr(object_log, "_READ_AHEAD_BYTES", 100)
    monkeypatch.setattr(object_log, "_FIRST_READ_BYTES", 64)
    log = ObjectLog(objects, STORE)
    entries = await _append(log, 5)
    assert [len(found) async for found in log.entries()] == [1] * 5
    assert await _read_all(log) == entries


def test_keys_sort_like_their_entries() -> None:
    """Check beyond a million entries."""
    log = ObjectLog(MemoryObjectStore(), STORE)
    keys = [log.key(number) for number in (1, 42, 999_999, 1_000_000, 123_456_789)]
    assert keys == sorted(keys)
    assert (keys[1], keys[4]) == ("log/000000/000042.ndjson", "log/000123/456789.ndjson")


async def test_slot_is_taken_once(objects: MemoryObjectStore) -> None:
    """The second append is refused; the same entry again succeeds, as after a lost answer."""
    log = ObjectLog(objects, STORE)
    own, other = [await log.layout(encode_lines([create_of()]), EMPTY_TAIL) for _ in range(2)]
    await log.append(own)
    await log.append(own)
    with pytest.raises(SlotTaken):
        await log.append(other)


async def test_undecided_put_is_repeated_until_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry was created although the answers were lost."""
    monkeypatch.setattr(object_log, "_FIRST_DELAY_S", 0.001)

    class Losing(MemoryObjectStore):
        puts: Sequence[bytes] = ()

        async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
            self.puts = [*self.puts, data]
            if len(self.puts) == 2:
                await super().put(key, data, if_absent=if_absent)
            if len(self.puts) < 4:
                raise PutUndecided("no answer")
            await super().put(key, data, if_absent=if_absent)

    store = Losing()
    await store.open()
    store.objects["store.json"] = STORE_JSON
    log = ObjectLog(store, STORE)
    (entry,) = await _append(log, 1)
    assert set(store.puts) == {entry.content}
    assert await _read_all(log) == [entry]


async def test_refused_put_is_not_repeated(objects: MemoryObjectStore) -> None:
    """A put that did not take effect leaves nothing behind."""

    class Refusing(MemoryObjectStore):
        async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
            raise StorageUnavailable("not sent")

    store = Refusing()
    await store.open()
    store.objects["store.json"] = STORE_JSON
    with pytest.raises(StorageUnavailable, match="not sent"):
        await _append(ObjectLog(store, STORE), 1)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff" * 100, b'{"autocrud":1,"length":99999999999 ,'])
async def test_foreign_object_in_a_slot_is_refused(objects: MemoryObjectStore, content: bytes) -> None:
    """Reads and appends name the object and the remedy. The log goes on when the object is removed."""
    objects.objects[_KEY] = content
    log = ObjectLog(objects, STORE)
    with pytest.raises(DataCorrupted, match=rf"Restore the object {_KEY}; remove it"):
        await log.read_entry(1)
    with pytest.raises(DataCorrupted, match=_KEY):
        await _append(log, 1)
    del objects.objects[_KEY]
    await _append(log, 1)


@pytest.mark.parametrize("start", [b"garbage", b'{"autocrud":1,"length":%d,' % (300 << 20), entry_of([]).content])
async def test_huge_foreign_object_is_not_read_in_full(start: bytes) -> None:
    """The size of the object does not matter."""

    class Huge(MemoryObjectStore):
        bytes_read = 0

        async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
            assert end is not None
            self.bytes_read += end - start
            return (content + b" " * (end - len(content)))[start:end]

    content = start
    store = Huge()
    with pytest.raises(DataCorrupted, match=_KEY):
        await ObjectLog(store, STORE).read_entry(1)
    assert store.bytes_read <= 1024 * 1024 < MAX_ENTRY_BYTES


async def test_entry_under_another_key_is_refused(objects: MemoryObjectStore) -> None:
    """The message names the key and the sequence number."""
    log = ObjectLog(objects, STORE)
    (entry,) = await _append(log, 1)
    objects.objects["log/000000/000002.ndjson"] = entry.content
    with pytest.raises(DataCorrupted, match=r"000002\.ndjson holds entry 1"):
        await _read_all(log)


async def test_fault_behind_the_end_of_the_log_is_ignored(objects: MemoryObjectStore) -> None:
    """Reading ahead may meet a foreign object that no entry precedes."""
    log = ObjectLog(objects, STORE)
    entries = await _append(log, 4)
    objects.objects[log.key(7)] = b"garbage"
    assert await _read_all(log) == entries


async def test_erased_line_cannot_be_read(objects: MemoryObjectStore) -> None:
    """Erasing twice is no error. A missing object is one."""
    log = ObjectLog(objects, STORE)
    (entry,) = await _append(log, 1)
    for _ in range(2):
        await log.erase([entry.line_locator(0)])
    (read,) = await _read_all(log)
    assert (read.spans[0].has_metadata, read.spans[0].has_data) == (False, False)
    with pytest.raises(DataCorrupted, match="does not hold the data"):
        await log.read(entry.line_locator(0))
    for locator in ("7:0:1", "x"):
        with pytest.raises(DataCorrupted):
            await log.read(locator)
        with pytest.raises(DataCorrupted):
            await log.erase([locator])


@pytest.mark.parametrize("is_own", [True, False])
async def test_put_without_an_answer_is_decided_by_a_look(monkeypatch: pytest.MonkeyPatch, is_own: bool) -> None:
    """The stored object tells if the entry was committed, or if another entry has the slot."""
    monkeypatch.setattr(object_log, "_SLOW_PUT_S", 0.001)

    class Silent(MemoryObjectStore):
        async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
            await super().put(key, data if is_own else entry_of([create_of()]).content, if_absent=if_absent)
            await asyncio.Event().wait()

    store = Silent()
    await store.open()
    store.objects["store.json"] = STORE_JSON
    log = ObjectLog(store, STORE)
    entry = await log.layout(encode_lines([create_of()]), EMPTY_TAIL)
    if is_own:
        await log.append(entry)
    else:
        with pytest.raises(SlotTaken):
            await log.append(entry)


@pytest.mark.parametrize("content", [None, STORE_JSON.replace(STORE.encode(), b"6" * 32), b"{}"])
async def test_append_to_another_store_is_not_acknowledged(objects: MemoryObjectStore, content: bytes | None) -> None:
    """The bucket was deleted or exchanged since the start. The message names `store.json`."""
    log = ObjectLog(objects, STORE)
    (entry,) = await _append(log, 1)
    del objects.objects["store.json"]
    if content is not None:
        objects.objects["store.json"] = content
    with pytest.raises(DataCorrupted, match=r"store\.json"):
        await log.append(await log.layout(encode_lines([create_of()]), entry.tail))


async def test_missing_or_other_entry_is_found(objects: MemoryObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header of an entry is compared, however long it is."""
    monkeypatch.setattr(object_log, "_HEADER_READ_BYTES", 64)
    log = ObjectLog(objects, STORE)
    _, second = await _append(log, 2)
    await log.erase([second.line_locator(0)])
    await log.check_entry(2, second.header_hash)
    with pytest.raises(DataCorrupted, match=r"000001\.ndjson is another entry"):
        await log.check_entry(1, second.header_hash)
    del objects.objects[log.key(2)]
    with pytest.raises(DataCorrupted, match=r"000002\.ndjson is missing"):
        await log.check_entry(2, second.header_hash)
