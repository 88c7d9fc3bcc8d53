"""Damage from outside to the bucket of a store: objects taken away and put back, and whole buckets deleted."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioboto3

from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from tests.storage.backends import s3_options

_PIECE_BYTES = 1024 * 1024


class Bucket:
    """The objects of one store, changed without its nodes."""

    def __init__(self, objects: S3ObjectStore) -> None:
        self._objects = objects

    async def take(self, prefix: str = "") -> dict[str, bytes]:
        """Remove the objects, and return them."""
        found = {key: await self._objects.get(key) async for key in self._objects.keys(prefix)}
        for key in found:
            await self._objects.delete(key)
        return found

    async def put(self, objects: Mapping[str, bytes]) -> None:
        """Store objects."""
        for key, content in objects.items():
            await self._objects.put(key, content)

    async def put_garbage(self, key: str, size: int) -> None:
        """Store an object of this size that is no entry."""

        async def pieces() -> AsyncIterator[bytes]:
            for start in range(0, size, _PIECE_BYTES):
                yield b"x" * min(_PIECE_BYTES, size - start)

        await self._objects.put_stream(key, pieces())

    async def read(self, prefix: str = "") -> dict[str, bytes]:
        """Return the objects."""
        return {key: await self._objects.get(key) async for key in self._objects.keys(prefix)}


@asynccontextmanager
async def bucket_at(path: Path, **options: Any) -> AsyncIterator[Bucket]:
    """Yield the objects of the test's store, which has a prefix named like the folder."""
    store = S3ObjectStore(S3Location(**s3_options() | {"prefix": path.name} | options))
    try:
        await store.open()
        yield Bucket(store)
    finally:
        await store.close()


async def delete_bucket(name: str) -> None:
    """Delete a bucket with all of its objects, as an administrator does."""
    options = s3_options()
    client = aioboto3.Session().client(
        "s3",
        endpoint_url=options["endpoint_url"],
        aws_access_key_id=options["access_key"],
        aws_secret_access_key=options["secret_key"],
        region_name="us-east-1",
    )
    async with client as s3:
        await s3.delete_bucket(Bucket=name)
