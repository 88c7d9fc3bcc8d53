"""Chunks: bytes of any size in an ordered map, as values of at most 1 MiB."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import NamedTuple
from uuid import uuid4

from autocrud.resource import timestamp
from autocrud.storage.objects.ordered_map.keys import end_of, key_of, last_part, prefix_of, scan
from autocrud.storage.ports.objects import ObjectMissing
from autocrud.storage.ports.ordered_map import OrderedMap

Changes = dict[bytes, bytes | None]

CHUNK_BYTES = 1024 * 1024

_UNFINISHED_LIFETIME = timedelta(days=2)
_DELETES_PER_COMMIT = 1000


class Segment(NamedTuple):
    """Chunks that were stored together.

    Attributes:
        name: never used again for other bytes.
    """

    name: str
    size: int

    def keys(self) -> list[bytes]:
        """Return the keys of the chunks, in order."""
        return [_chunk_key(self.name, number) for number in range(-(-self.size // CHUNK_BYTES))]


async def store_bytes(ordered_map: OrderedMap, data: bytes) -> tuple[Segment, Changes]:
    """Store bytes as `store_stream` does. Bytes of one chunk are stored by the returned changes alone."""
    if len(data) > CHUNK_BYTES:
        return await store_stream(ordered_map, _single_piece(data))
    segment = Segment(uuid4().hex, len(data))
    return segment, dict.fromkeys(segment.keys(), data)


async def store_stream(ordered_map: OrderedMap, pieces: AsyncIterator[bytes]) -> tuple[Segment, Changes]:
    """Store bytes chunk by chunk. Return them, with the changes for the commit that gives them to an object."""
    name, size, number = uuid4().hex, 0, 0
    await ordered_map.commit({}, {_unfinished_key(name): timestamp(datetime.now(UTC)).encode()})
    try:
        async for chunk in _chunks_of(pieces):
            await ordered_map.commit({}, {_chunk_key(name, number): chunk})
            size, number = size + len(chunk), number + 1
    except BaseException:
        await drop_unfinished(ordered_map, name)
        raise
    return Segment(name, size), {_unfinished_key(name): None}


def deletions_of(segments: Iterable[Segment]) -> Changes:
    """Return the changes of the map that delete segments."""
    return dict.fromkeys(chain.from_iterable(segment.keys() for segment in segments))


async def drop_unfinished(ordered_map: OrderedMap, name: str) -> None:
    """Delete the chunks of a segment that no object has."""
    prefix = prefix_of("chunk", name)
    await _delete(ordered_map, [key async for key, _ in scan(ordered_map, prefix, end_of(prefix), page_size=8)])
    await ordered_map.commit({}, {_unfinished_key(name): None})


async def drop_all_unfinished(ordered_map: OrderedMap) -> None:
    """Delete the segments of crashed processes. A process finishes a segment within two days, or never."""
    before = timestamp(datetime.now(UTC) - _UNFINISHED_LIFETIME).encode()
    prefix = prefix_of("unfinished")
    expired = [key async for key, item in scan(ordered_map, prefix, end_of(prefix)) if item.value < before]
    for key in expired:
        await drop_unfinished(ordered_map, last_part(key))


async def read_segments(
    ordered_map: OrderedMap, segments: Sequence[Segment], start: int, end: int
) -> AsyncIterator[bytes]:
    """Yield the bytes of joined segments from `start` up to `end`, chunk by chunk.

    Raises:
        ObjectMissing: a chunk does not exist; the object was deleted or replaced meanwhile.
    """
    for segment in segments:
        first = max(start, 0) // CHUNK_BYTES
        offset = first * CHUNK_BYTES
        for key in segment.keys()[first:] if start < segment.size else ():
            if offset >= end:
                return
            item = (await ordered_map.get([key])).get(key)
            if item is None:
                raise ObjectMissing(segment.name)
            if piece := item.value[max(start - offset, 0) : end - offset]:
                yield piece
            offset += CHUNK_BYTES
        start, end = start - segment.size, end - segment.size


async def _delete(ordered_map: OrderedMap, keys: Iterable[bytes]) -> None:
    remaining = iter(keys)
    while batch := list(islice(remaining, _DELETES_PER_COMMIT)):
        await ordered_map.commit({}, dict.fromkeys(batch))


async def _single_piece(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _chunks_of(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    buffer = bytearray()
    async for piece in pieces:
        buffer += piece
        for chunk in _cut_full_chunks(buffer):
            yield chunk
    if buffer:
        yield bytes(buffer)


def _cut_full_chunks(buffer: bytearray) -> Iterator[bytes]:
    while len(buffer) >= CHUNK_BYTES:
        yield bytes(buffer[:CHUNK_BYTES])
        del buffer[:CHUNK_BYTES]


def _chunk_key(name: str, number: int) -> bytes:
    return key_of("chunk", name, number)


def _unfinished_key(name: str) -> bytes:
    return key_of("unfinished", name)
