"""Log over an object store: entries, checks, and lost answers."""

from typing import Any

import pytest

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.commit_log.locator import parse_locator
from autocrud.storage.commit_log.log import EMPTY, Log, SlotTaken
from autocrud.storage.objects.memory import MemoryObjectStore


@pytest.fixture
async def objects() -> MemoryObjectStore:
    """Return an open object store."""
    store = MemoryObjectStore()
    await store.open()
    return store


async def test_entry_names_the_entry_before_it(objects: MemoryObjectStore) -> None:
    """Reading past the end returns None, and a locator finds its bytes."""
    log = Log(objects, "movie")
    first = log.entry(EMPTY, [b'{"a":1}', b'{"b":22}'])
    await log.append(first)
    second = log.entry(first.tail, [b"{}"])
    await log.append(second)
    read = await log.read(1)
    assert read is not None
    assert (read.key, read.lines) == ("movie/log/000000/000001.ndjson", first.lines)
    following = await log.read(2)
    assert following is not None
    assert (following.previous, following.tail) == (first.tail.nonce, second.tail)
    assert await log.read(3) is None
    offset, line = first.lines[1]
    assert line is not None
    assert await log.data(log.locator(first, offset, len(line))) == b'{"b":22}'


async def test_keys_sort_like_their_entries() -> None:
    """Check beyond a million entries."""
    log = Log(MemoryObjectStore(), "m")
    keys = [log._key(number) for number in (1, 42, 999_999, 1_000_000, 123_456_789)]
    assert keys == sorted(keys)
    assert keys[1] == "m/log/000000/000042.ndjson"
    assert keys[4] == "m/log/000123/456789.ndjson"


async def test_slot_is_taken_once(objects: MemoryObjectStore) -> None:
    """The second append is refused; the same entry again succeeds, as after a lost answer."""
    log = Log(objects, "m")
    mine, theirs = log.entry(EMPTY, [b"{}"]), log.entry(EMPTY, [b"[]"])
    await log.append(mine)
    await log.append(mine)
    with pytest.raises(SlotTaken):
        await log.append(theirs)


async def test_repeated_append_settles_a_lost_answer() -> None:
    """The entry was created although the store reported an outage."""

    class Losing(MemoryObjectStore):
        async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
            await super().put(key, data, if_absent=if_absent)
            raise StorageUnavailable("timed out")

    store = Losing()
    await store.open()
    log = Log(store, "m")
    entry = log.entry(EMPTY, [b"{}"])
    with pytest.raises(StorageUnavailable):
        await log.append(entry)
    await log.append(entry)


async def test_erased_line_differs_from_a_damaged_line(objects: MemoryObjectStore) -> None:
    """A blank line is erased. Any other mismatch is damage, and is named."""
    log = Log(objects, "m")
    entry = log.entry(EMPTY, [b'{"a":1}', b'{"b":2}'])
    await log.append(entry)
    offset, line = entry.lines[0]
    assert line is not None
    for _ in range(2):
        await log.erase([(1, offset, len(line))])
        read = await log.read(1)
        assert read is not None
        assert [text for _, text in read.lines] == [None, b'{"b":2}']
    with pytest.raises(DataCorrupted):
        await log.data(log.locator(entry, offset, len(line)))
    objects.objects[entry.key] = objects.objects[entry.key].replace(b'{"b":2}', b'{"b":3}')
    with pytest.raises(DataCorrupted, match=r"000001\.ndjson is damaged at byte"):
        await log.read(1)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"[]", b"{}", b'{"autocrud":2}', b"\xff", b'{"autocrud":1,"sequence":7}']
)
async def test_foreign_file_in_a_slot_is_refused(objects: MemoryObjectStore, content: bytes) -> None:
    """Put a foreign file in place of an entry."""
    objects.objects["m/log/000000/000001.ndjson"] = content
    with pytest.raises(DataCorrupted, match=r"000001\.ndjson"):
        await Log(objects, "m").read(1)


@pytest.mark.parametrize("locator", ["", "key", "key:1", "key:a:b", "a:b:1:2"])
def test_invalid_locator_is_refused(locator: Any) -> None:
    """The locator is never used as a path."""
    with pytest.raises(DataCorrupted):
        parse_locator(locator)
