"""Records of one model in an object store, one object per batch. Only records of committed transactions count."""

import logging
from collections.abc import AsyncIterator, Sequence

from autocrud.errors import StorageUnavailable
from autocrud.storage.blobs.uploaded_types import types_key
from autocrud.storage.commit_log.locator import blank, parse_locator, read_located
from autocrud.storage.ports.objects import ObjectStore

logger = logging.getLogger(__name__)


class PostgresRecords:
    """`<prefix>/records/<UUIDv7>.ndjson`: one object for each batch, one line for each write.

    Args:
        prefix: the model's own, without a trailing slash. Keys and locators are relative to it.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix

    async def put(self, key: str, content: bytes) -> None:
        """Store a batch's records."""
        await self._objects.put(f"{self._prefix}/{key}", content)

    async def discard(self, key: str) -> None:
        """Remove the records of a rolled-back transaction. Records that cannot be removed have no effect."""
        try:
            await self._objects.delete(f"{self._prefix}/{key}")
        except StorageUnavailable as error:
            logger.warning("%s/%s belongs to no transaction, and could not be removed: %s", self._prefix, key, error)

    async def data(self, locator: str) -> bytes:
        """The bytes that a locator names.

        Raises:
            DataCorrupted: they are not there.
        """
        return await read_located(self._objects, self._prefix, locator)

    async def erase(self, erasures: Sequence[tuple[str, int]]) -> None:
        """Remove objects (step 1), then overwrite their records (2), then others (3); twice does no harm.

        In this order, what a crash leaves can be rebuilt, and leads to the same end.
        """
        for place, step in erasures:
            if step == 1:
                await self._objects.delete(f"{self._prefix}/{types_key(place)}")
                await self._objects.delete(f"{self._prefix}/{place}")
        for current_step in (2, 3):
            spans: dict[str, list[tuple[int, int]]] = {}
            for place, step in erasures:
                if step == current_step:
                    key, offset, length = parse_locator(place)
                    spans.setdefault(key, []).append((offset, length))
            for key in sorted(spans, reverse=True):
                await blank(self._objects, f"{self._prefix}/{key}", spans[key])

    async def blob_keys(self) -> AsyncIterator[str]:
        """The objects that are blobs, by their keys."""
        async for key in self._objects.keys(f"{self._prefix}/blobs/"):
            yield key.removeprefix(f"{self._prefix}/")

    async def lines(self) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All records, object by object in the order of their keys: the place of each, and the line."""
        folder = f"{self._prefix}/records/"
        async for key in self._objects.keys(folder):
            content = await self._objects.get(key)
            short, found, offset = key.removeprefix(f"{self._prefix}/"), [], 0
            for line in content.split(b"\n"):
                if line.strip():
                    found.append((f"{short}:{offset}:{len(line)}", line))
                offset += len(line) + 1
            yield found
