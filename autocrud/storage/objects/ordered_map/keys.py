"""Keys in an ordered map: names of tables and their parts, joined so that keys sort like their parts."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from autocrud.storage.ports.ordered_map import Item, OrderedMap
from autocrud.storage.ports.time_slice import TimeSlice

_SEPARATOR = b"\0"
_PAGE_SIZE = 100


def key_of(table: str, *parts: str | int) -> bytes:
    """Return the key of a row in a table. Numbers are not negative."""
    return _SEPARATOR.join((table.encode(), *map(_encode, parts)))


def prefix_of(table: str, *parts: str | int) -> bytes:
    """Return the beginning of all keys that have these parts and at least one part more."""
    return key_of(table, *parts) + _SEPARATOR


def end_of(prefix: bytes) -> bytes:
    """Return the first key behind all keys with a prefix."""
    return prefix[:-1] + b"\1"


def last_part(key: bytes) -> str:
    """Return the last part of a key."""
    return _decode(key.rpartition(_SEPARATOR)[2])


def parts_of(key: bytes) -> list[str]:
    """Return all parts of a key behind its table, as texts."""
    return [_decode(part) for part in key.split(_SEPARATOR)[1:]]


async def scan(
    ordered_map: OrderedMap, start: bytes, end: bytes, *, limit: int | None = None, page_size: int = _PAGE_SIZE
) -> AsyncIterator[tuple[bytes, Item]]:
    """Yield the items from `start` up to `end`, at most `limit`. They are read page by page."""
    remaining, time_slice = limit, TimeSlice()
    while remaining is None or remaining > 0:
        size = page_size if remaining is None else min(page_size, remaining)
        count = 0
        page: Any = ordered_map.range(start, end, size)
        async with aclosing(page):
            async for key, item in page:
                count, start = count + 1, key + _SEPARATOR
                yield key, item
        if count < size:
            return
        await time_slice.check()
        remaining = None if remaining is None else remaining - count


def _encode(part: str | int) -> bytes:
    """Return a part without a separator. Parts that begin alike stay in order."""
    if isinstance(part, int):
        return b"%016x" % part
    return part.encode().replace(b"\1", b"\1\2").replace(b"\0", b"\1\1")


def _decode(part: bytes) -> str:
    return part.replace(b"\1\1", b"\0").replace(b"\1\2", b"\1").decode()
