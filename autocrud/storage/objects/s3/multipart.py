"""Multipart uploads of S3: objects that are sent in parts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from autocrud.errors import AutoCRUDError
from autocrud.storage.objects.s3.errors import FAILURES, answer_of, to_storage_error
from autocrud.storage.ports.objects import ObjectMissing, Part

R = TypeVar("R")

PART_BYTES = 8 * 1024 * 1024
_CONCURRENT_PARTS = 2  # parts of one stream
_STREAMED_FROM_BYTES = 1024 * 1024


def request_body(data: bytes) -> bytes | BytesIO:
    """Return the body of a request. A large body is a file, because aiohttp sends files in pieces and bytes at once."""
    return data if len(data) < _STREAMED_FROM_BYTES else BytesIO(data)


async def split_into_parts(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the bytes in parts of equal size. The last part may be shorter."""
    pending: list[bytes] = []
    size = 0
    async for piece in pieces:
        rest = piece
        while size + len(rest) >= PART_BYTES:
            cut = PART_BYTES - size
            part, pending, size = b"".join([*pending, rest[:cut]]), [], 0
            rest = rest[cut:]
            yield part
        pending, size = [*pending, rest], size + len(rest)
    if size:
        yield b"".join(pending)


class S3Parts:
    """Multipart uploads of a store.

    Args:
        bucket, host: bucket for requests, and server for messages.
        client: returns the connected client, whose calls may be repeated.
    """

    def __init__(self, bucket: str, host: str, client: Callable[[], Any]) -> None:
        self._bucket = bucket
        self._host = host
        self._client = client

    async def begin(self, key: str) -> str:
        """Begin an upload. See `ObjectStore.begin_parts`; keys have the store's prefix."""
        answer = await self._call(key, self._client().create_multipart_upload(Bucket=self._bucket, Key=key))
        return str(answer["UploadId"])

    async def put(self, key: str, upload: str, number: int, data: bytes) -> Part:
        target = self._target(key, upload)
        request = self._client().upload_part(**target, PartNumber=number, Body=request_body(data))
        answer = await self._call(key, request)
        return Part(number, len(data), answer["ETag"])

    async def list(self, key: str, upload: str) -> list[Part]:
        found: list[Part] = []
        while True:
            after = found[-1].number if found else 0
            request = self._client().list_parts(**self._target(key, upload), PartNumberMarker=after)
            page = await self._call(key, request)
            # SeaweedFS lists what was sent twice twice, and the later one counts.
            for item in sorted(page.get("Parts", ()), key=lambda item: (item["PartNumber"], item["LastModified"])):
                if found and found[-1].number == item["PartNumber"]:
                    found.pop()
                found.append(Part(item["PartNumber"], item["Size"], item["ETag"]))
            if not page.get("IsTruncated"):
                return found

    async def join(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        listed = [{"PartNumber": part.number, "ETag": part.tag} for part in parts]
        target = self._target(key, upload)
        try:
            request = self._client().complete_multipart_upload(**target, MultipartUpload={"Parts": listed})
            await self._call(key, request)
        except ObjectMissing:
            # A repeated request finds the upload gone because the first one succeeded.
            if await self.size(key) != sum(part.size for part in parts):
                raise

    async def drop(self, key: str, upload: str) -> None:
        with suppress(ObjectMissing):
            await self._call(key, self._client().abort_multipart_upload(**self._target(key, upload)))

    async def size(self, key: str) -> int:
        """The bytes of an object.

        Raises:
            ObjectMissing: there is none.
        """
        answer = await self._call(key, self._client().head_object(Bucket=self._bucket, Key=key))
        return int(answer["ContentLength"])

    async def stream(self, key: str, first: bytes, rest: AsyncIterator[bytes]) -> None:
        """Store an object from parts. Some parts are sent concurrently."""
        upload = await self.begin(key)
        try:
            await self.join(key, upload, await self._send(key, upload, first, rest))
        except BaseException:
            with suppress(AutoCRUDError):
                await self.drop(key, upload)
            raise

    async def _send(self, key: str, upload: str, first: bytes, rest: AsyncIterator[bytes]) -> Sequence[Part]:
        parts: list[Part] = []
        tasks: list[asyncio.Task[Part]] = []
        part = first
        try:
            while part:
                if len(tasks) == _CONCURRENT_PARTS:
                    parts.append(await tasks.pop(0))
                number = len(parts) + len(tasks) + 1
                tasks.append(asyncio.create_task(self.put(key, upload, number, part)))
                part = await anext(rest, b"")
            while tasks:
                parts.append(await tasks.pop(0))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return parts

    def _target(self, key: str, upload: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": key, "UploadId": upload}

    async def _call(self, key: str, request: Awaitable[R]) -> R:
        try:
            return await request
        except ClientError as error:
            if answer_of(error)[1] in ("NoSuchUpload", "InvalidPart", "NoSuchKey", "404"):
                raise ObjectMissing(key) from error
            raise to_storage_error(error, self._host) from error
        except FAILURES as error:
            raise to_storage_error(error, self._host) from error
