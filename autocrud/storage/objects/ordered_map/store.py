"""Object store in an ordered map: a header for each object, and chunks with its bytes."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from uuid import uuid4

from pydantic import TypeAdapter
from pydantic_core import to_json

from autocrud.storage.objects.ordered_map.chunks import (
    Changes,
    Segment,
    deletions_of,
    drop_all_unfinished,
    drop_unfinished,
    read_segments,
    store_bytes,
    store_stream,
)
from autocrud.storage.objects.ordered_map.keys import end_of, key_of, last_part, prefix_of, scan
from autocrud.storage.ports.not_open import refuse_unless_open
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, Part
from autocrud.storage.ports.ordered_map import ABSENT, Item, MapConflict, OrderedMap

_SEGMENTS = TypeAdapter(tuple[Segment, ...])
_SEGMENT = TypeAdapter(Segment)


@refuse_unless_open(ObjectStore)
class MapObjectStore(ObjectStore):
    """Objects in an ordered map. The engine of the same map opens and closes the map."""

    is_open = False

    def __init__(self, ordered_map: OrderedMap) -> None:
        self._map = ordered_map

    async def open(self) -> None:
        await drop_all_unfinished(self._map)
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        await self._put_segment(key, *await store_bytes(self._map, data), if_absent)

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        while True:
            segments, header = await self._require_header(key)
            try:
                return b"".join([piece async for piece in self._read(segments, start, end)])
            except ObjectMissing:
                if (await self._header(key)) == header:
                    raise

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        await self._put_segment(key, *await store_stream(self._map, pieces), False)

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        segments, _ = await self._require_header(key)
        async for piece in self._read(segments, start, end):
            yield piece

    async def size(self, key: str) -> int:
        segments, _ = await self._require_header(key)
        return sum(segment.size for segment in segments)

    async def begin_parts(self, key: str) -> str:
        upload = uuid4().hex
        await self._map.commit({}, {key_of("upload", upload): key.encode()})
        return upload

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        await self._require_upload(upload)
        segment, changes = await store_bytes(self._map, data)
        part_key = key_of("part", upload, number)
        while True:
            before = await self._item(part_key)
            header = await self._require_upload(upload)
            expected = {part_key: before.version if before else ABSENT, key_of("upload", upload): header.version}
            replaced = deletions_of([_SEGMENT.validate_json(before.value)]) if before else {}
            try:
                await self._map.commit(expected, replaced | changes | {part_key: to_json(segment)})
            except MapConflict:
                continue
            return

    async def parts(self, key: str, upload: str) -> list[Part]:
        await self._require_upload(upload)
        return [Part(number, segment.size, segment.name) for number, segment in await self._stored_parts(upload)]

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        while True:
            header = await self._require_upload(upload)
            stored = dict(await self._stored_parts(upload))
            segments = [Segment(part.tag, part.size) for part in parts]
            if any(stored.get(part.number) != segment for part, segment in zip(parts, segments, strict=True)):
                raise ObjectMissing(key)
            unused = deletions_of(set(stored.values()) - set(segments))
            changes = unused | dict.fromkeys((key_of("upload", upload), *_part_keys(upload, stored)))
            try:
                await self._put_header(key, segments, changes, {key_of("upload", upload): header.version})
            except MapConflict:
                continue
            return

    async def drop_parts(self, key: str, upload: str) -> None:
        stored = dict(await self._stored_parts(upload))
        changes = deletions_of(stored.values()) | dict.fromkeys((key_of("upload", upload), *_part_keys(upload, stored)))
        await self._map.commit({}, changes)

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        start = max(prefix_of("object") + prefix.encode(), object_key(after) + b"\0" if after else b"")
        async for key, _ in scan(self._map, start, end_of(prefix_of("object"))):
            name = last_part(key)
            if not name.startswith(prefix):
                return
            yield name

    async def delete(self, key: str) -> None:
        while (header := await self._header(key)) is not None:
            try:
                await self._map.commit({object_key(key): header.version}, object_deletion(key, header.value))
            except MapConflict:
                continue
            return

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        while True:
            segments, header = await self._require_header(key)
            try:
                content = b"".join([piece async for piece in self._read(segments, 0, None)])
                segment, changes = await store_bytes(self._map, edit(content))
                await self._put_header(
                    key, [segment], changes | deletions_of(segments), {object_key(key): header.version}
                )
            except (MapConflict, ObjectMissing):
                continue
            return

    async def _put_segment(self, key: str, segment: Segment, changes: Changes, if_absent: bool) -> None:
        """Give a stored segment to an object; delete the segment if the object cannot have it."""
        while True:
            header = await self._header(key)
            if if_absent and header is not None:
                await drop_unfinished(self._map, segment.name)
                raise ObjectExists(key)
            replaced = {} if header is None else deletions_of(_SEGMENTS.validate_json(header.value))
            try:
                version = ABSENT if header is None else header.version
                await self._put_header(key, [segment], replaced | changes, {object_key(key): version})
            except MapConflict:
                continue
            return

    async def _put_header(
        self, key: str, segments: Sequence[Segment], changes: Changes, expected: dict[bytes, int]
    ) -> None:
        await self._map.commit(expected, changes | {object_key(key): to_json(segments)})

    def _read(self, segments: Sequence[Segment], start: int, end: int | None) -> AsyncIterator[bytes]:
        size = sum(segment.size for segment in segments)
        return read_segments(self._map, segments, start, size if end is None else min(end, size))

    async def _require_header(self, key: str) -> tuple[Sequence[Segment], Item]:
        header = await self._header(key)
        if header is None:
            raise ObjectMissing(key)
        return _SEGMENTS.validate_json(header.value), header

    async def _header(self, key: str) -> Item | None:
        return await self._item(object_key(key))

    async def _require_upload(self, upload: str) -> Item:
        header = await self._item(key_of("upload", upload))
        if header is None:
            raise ObjectMissing(upload)
        return header

    async def _stored_parts(self, upload: str) -> list[tuple[int, Segment]]:
        prefix = prefix_of("part", upload)
        return [
            (int(last_part(key), 16), _SEGMENT.validate_json(item.value))
            async for key, item in scan(self._map, prefix, end_of(prefix))
        ]

    async def _item(self, key: bytes) -> Item | None:
        return (await self._map.get([key])).get(key)


def object_key(key: str) -> bytes:
    """Return the key of an object's header in the map."""
    return key_of("object", key)


def object_deletion(key: str, header: bytes) -> Changes:
    """Return the changes of the map that delete an object with this header."""
    return {object_key(key): None} | deletions_of(_SEGMENTS.validate_json(header))


def _part_keys(upload: str, numbers: Iterable[int]) -> list[bytes]:
    return [key_of("part", upload, number) for number in numbers]
