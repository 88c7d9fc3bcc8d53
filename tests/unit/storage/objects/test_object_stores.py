"""Object stores: behaviour of all of them, and syncs of the local one."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autocrud.errors import StorageUnavailable
from autocrud.storage.objects.local import LocalObjectStore
from autocrud.storage.objects.memory import MemoryObjectStore
from autocrud.storage.objects.ordered_map.store import MapObjectStore
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore
from examples.dict_backend import DictMap
from tests.storage.backends import s3_options


@pytest.fixture(params=["memory", "local", "ordered_map", "s3"])
async def objects(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """Yield each store in turn, open."""
    stores: dict[str, Callable[[], ObjectStore]] = {
        "memory": MemoryObjectStore,
        "ordered_map": lambda: MapObjectStore(DictMap()),
        "local": lambda: LocalObjectStore(tmp_path),
        "s3": lambda: S3ObjectStore(S3Location(**s3_options(), prefix=tmp_path.name)),
    }
    store = stores[request.param]()
    await store.open()
    yield store
    await store.close()


async def test_object_reads_back_in_full_and_in_part(objects: ObjectStore) -> None:
    """By key, from start to end."""
    await objects.put("a/b/c", b"0123456789")
    assert await objects.get("a/b/c") == b"0123456789"
    assert await objects.get("a/b/c", 2, 5) == b"234"
    assert await objects.get("a/b/c", 8) == b"89"
    assert await objects.get("a/b/c", 8, 20) == b"89"
    for read in (objects.get("a/b/d"), objects.rewrite("a/b/d", bytes.upper)):
        with pytest.raises(ObjectMissing):
            await read


async def test_keys_lists_a_prefix_in_order(objects: ObjectStore) -> None:
    """From behind a key. Deleting a missing key has no effect."""
    for key in ("a/2", "a/10", "b/1", "a/b/c"):
        await objects.put(key, b"x")
    assert [key async for key in objects.keys("a/")] == ["a/10", "a/2", "a/b/c"]
    assert [key async for key in objects.keys("a/", "a/10")] == ["a/2", "a/b/c"]
    await objects.delete("a/2")
    await objects.delete("a/2")
    assert [key async for key in objects.keys("")] == ["a/10", "a/b/c", "b/1"]


@pytest.mark.parametrize("size", [0, 10, 20_000_000])
async def test_file_of_any_size_reads_back(objects: ObjectStore, tmp_path: Path, size: int) -> None:
    """Put files and read them in pieces."""
    content = os.urandom(size)
    path = tmp_path / "file"
    await asyncio.to_thread(path.write_bytes, content)
    await objects.put_file("large/one", path)
    await objects.put_file("large/one", path)
    pieces = [piece async for piece in objects.stream("large/one")]
    assert b"".join(pieces) == content
    with pytest.raises(ObjectMissing):
        await anext(aiter(objects.stream("large/two")))


async def test_concurrent_conditional_puts_accept_exactly_one(objects: ObjectStore) -> None:
    """The winner's bytes stay. An undecided put leaves the outcome open."""
    puts = (objects.put("key", b"%d" % number, if_absent=True) for number in range(5))
    results = await asyncio.gather(*puts, return_exceptions=True)
    winner = results[int(await objects.get("key"))]
    losers = [result for result in results if result is not winner]
    assert winner is None or isinstance(winner, StorageUnavailable)
    assert all(isinstance(result, ObjectExists | StorageUnavailable) for result in losers)


async def test_rewrites_at_the_same_moment_are_all_kept(objects: ObjectStore) -> None:
    await objects.put("key", b"")
    await asyncio.gather(*(objects.rewrite("key", partial(_append, number)) for number in range(5)))
    assert sorted(await objects.get("key")) == list(range(5))


async def test_put_and_rewrite_replace_all_bytes(objects: ObjectStore) -> None:
    """No rest of a longer object stays."""
    await objects.put("key", b"long and longer")
    await objects.put("key", b"short")
    assert await objects.get("key") == b"short"
    await objects.rewrite("key", bytes.upper)
    assert await objects.get("key") == b"SHORT"


async def test_1_local_put_syncs_bytes_then_name_then_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power cut could leave a name without bytes, or lose an acknowledged name."""
    store, told = LocalObjectStore(tmp_path), list[str]()
    await store.open()
    await store.put("log/first", b"makes the folder")
    fsync, link = os.fsync, os.link

    def telling_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        told.append(f"sync {'folder ' + path.name if path.is_dir() else 'file'}")
        fsync(descriptor)

    def telling_link(source: Any, target: Any) -> None:
        told.append("link")
        link(source, target)

    monkeypatch.setattr(os, "fsync", telling_fsync)
    monkeypatch.setattr(os, "link", telling_link)
    await store.put("log/entry", b"bytes", if_absent=True)
    assert told == ["sync file", "link", "sync folder log"]
    told.clear()
    await store.put("new/deep/entry", b"bytes", if_absent=True)
    assert told == [f"sync folder {tmp_path.name}", "sync folder new", "sync file", "link", "sync folder deep"]
    await store.close()
    assert list((tmp_path / ".tmp").iterdir()) == []


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield the bytes to store."""
    for part in parts:
        yield part


MEGABYTE = 1024 * 1024


@pytest.mark.parametrize("count", [0, 1, 5, 21])
async def test_stream_reads_back_in_full_and_in_part(objects: ObjectStore, count: int) -> None:
    """Check any size, and ranges up to a place or to the end."""
    parts = [os.urandom(MEGABYTE) for _ in range(count)] + [b"end"]
    content = b"".join(parts)
    await objects.put("one", b"what was there")
    await objects.put_stream("one", pieces(*parts))
    assert await objects.size("one") == len(content)
    middle = len(content) // 2
    for start, end in ((0, None), (0, len(content)), (middle, None), (middle, middle + 1), (1, len(content) - 1)):
        found = b"".join([piece async for piece in objects.stream("one", start, end)])
        assert found == content[start:end]
    for read in (objects.size("two"), anext(aiter(objects.stream("two", 1, 2)))):
        with pytest.raises(ObjectMissing):
            await read


@pytest.mark.parametrize("count", [1, 12])
async def test_interrupted_stream_leaves_the_old_object(objects: ObjectStore, count: int) -> None:
    """Check before and after the first bytes were sent."""

    async def failing() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield b"x" * MEGABYTE
        raise ConnectionError

    await objects.put("there", b"kept")
    for key in ("there", "new"):
        with pytest.raises(ConnectionError):
            await objects.put_stream(key, failing())
    assert await objects.get("there") == b"kept"
    assert [key async for key in objects.keys("")] == ["there"]


async def test_parts_in_any_order_become_one_object(objects: ObjectStore) -> None:
    """There is no object before the join, and no upload after it."""
    first, second, last = b"1" * 5 * MEGABYTE, b"2" * 5 * MEGABYTE, b"3"
    upload = await objects.begin_parts("whole")
    assert await objects.parts("whole", upload) == []
    # SeaweedFS does not tell which of two parts of one number, sent within a second, is the later one.
    for number, data in ((3, last), (1, first), (2, second), (1, first)):
        await objects.put_part("whole", upload, number, data)
    parts = await objects.parts("whole", upload)
    assert [(part.number, part.size) for part in parts] == [(1, len(first)), (2, len(second)), (3, 1)]
    with pytest.raises(ObjectMissing):
        await objects.size("whole")
    await objects.join_parts("whole", upload, parts)
    assert await objects.get("whole") == first + second + last
    with suppress(ObjectMissing):
        await objects.join_parts("whole", upload, parts)
    for call in (objects.parts, lambda key, name: objects.put_part(key, name, 1, first)):
        with pytest.raises(ObjectMissing):
            await call("whole", upload)
    await objects.drop_parts("whole", upload)
    assert [key async for key in objects.keys("")] == ["whole"]
    assert await objects.size("whole") == len(first + second + last)


async def test_concurrent_joins_make_one_object(objects: ObjectStore) -> None:
    """The object is complete, and the later joins find no upload at worst."""
    content = os.urandom(6 * MEGABYTE)
    for attempt in range(5):
        upload = await objects.begin_parts(f"whole-{attempt}")
        await objects.put_part(f"whole-{attempt}", upload, 1, content)
        parts = await objects.parts(f"whole-{attempt}", upload)
        joins = (objects.join_parts(f"whole-{attempt}", upload, parts) for _ in range(8))
        results = await asyncio.gather(*joins, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), ObjectMissing}
        assert await objects.get(f"whole-{attempt}") == content


async def test_dropped_parts_are_erased(objects: ObjectStore) -> None:
    """Drop once and twice. A replaced part is never used."""
    upload, other = await objects.begin_parts("whole"), await objects.begin_parts("whole")
    for name in (upload, other):
        await objects.put_part("whole", name, 1, b"part")
    for _ in range(2):
        await objects.drop_parts("whole", upload)
    with pytest.raises(ObjectMissing):
        await objects.parts("whole", upload)
    parts = await objects.parts("whole", other)
    await objects.put_part("whole", other, 1, b"trap")
    try:
        await objects.join_parts("whole", other, parts)
    except ObjectMissing:
        await objects.join_parts("whole", other, await objects.parts("whole", other))
        assert await objects.get("whole") == b"trap"
    else:  # SeaweedFS keeps both
        assert await objects.get("whole") == b"part"


def _append(number: int, content: bytes) -> bytes:
    return content + bytes([number])
