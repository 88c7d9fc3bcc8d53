"""Objects in a bucket of an S3 server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import cache, partial
from typing import Any, TypeVar

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.objects.s3.errors import (
    FAILURES,
    answer_of,
    reason_of,
    to_configuration_error,
    to_storage_error,
    was_not_sent,
)
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.multipart import PART_BYTES, S3Parts, request_body, split_into_parts
from autocrud.storage.objects.s3.signed_requests import RequestTarget, SignedRequests
from autocrud.storage.ports.not_open import StorageNotOpen
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, Part, PutUndecided

R = TypeVar("R")

_CONNECTIONS = 64
_CONNECT_TIMEOUT_S = 2.0
_ATTEMPTS = 3
_PIECE_BYTES = 4 * 1024 * 1024  # of a download; memory holds two pieces


@cache
def _session() -> Any:
    """Return the cached session, with the S3 API and the environment's credentials."""
    return aioboto3.Session()


def _send_at_once(params: dict[str, Any], **_: Any) -> None:
    """Remove the header `Expect: 100-continue` of botocore, because its round trip delays every commit."""
    params["headers"].pop("Expect", None)


class _RangeBeyondEnd(Exception):
    """The object ends before the requested span."""


class S3ObjectStore(ObjectStore):
    """Object store over a bucket of an S3 server, or over the part of the bucket under a prefix."""

    def __init__(self, location: S3Location) -> None:
        prefix = location.prefix.strip("/")
        self.bucket = location.bucket
        self.name = f"s3 bucket {location.bucket}"
        self.host = (location.endpoint_url or "AWS").rpartition("://")[2].rstrip("/")
        self._location = location
        self._prefix = f"{prefix}/" if prefix else ""
        self._stack = AsyncExitStack()
        self._client: Any = None  # retries failed calls, which is harmless for most
        # Without retries: the repetition of a conditional PUT would be refused because of the first attempt.
        self._no_retry_client: Any = None
        self._signing_client: Any = None  # signs links and connects to nothing
        self._target = RequestTarget(location.bucket)
        # Reads and puts have connections of their own, so that a put never waits for reads.
        self._signed_reads: SignedRequests | None = None
        self._signed_puts: SignedRequests | None = None
        self._parts = S3Parts(self.bucket, self.host, lambda: self._require_open(self._client))

    async def open(self) -> None:
        if self._client is not None:
            return
        try:
            self._client = await self._connect(_ATTEMPTS)
            self._no_retry_client = await self._connect(1)
            self._signing_client = await self._connect(1, self._location.public_url)
            self._no_retry_client.meta.events.register("before-send.s3.ListObjectsV2", self._target.learn)
            await self._require_bucket()
            self._signed_reads = SignedRequests(self._client, self._target)
            self._signed_puts = SignedRequests(self._no_retry_client, self._target)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._client = self._no_retry_client = self._signing_client = None
        self._signed_reads = self._signed_puts = None
        await self._stack.aclose()

    async def check(self) -> None:
        """Check the connection to the bucket.

        Raises:
            StorageUnavailable: the bucket does not answer, or refuses the credentials.
        """
        await self._call(lambda: self._require_open(self._no_retry_client).head_bucket(Bucket=self.bucket))

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        if not if_absent:
            target = {"Bucket": self.bucket, "Key": self._prefix + key}
            await self._call(lambda: self._require_open(self._client).put_object(**target, Body=request_body(data)))
            return
        puts = self._require_open(self._signed_puts)
        try:
            await puts.put(self._prefix + key, request_body(data), {"If-None-Match": "*"})
        except ClientError as error:
            status, code = answer_of(error)
            if status == 412:
                raise ObjectExists(key) from error
            if status == 501:
                raise ConfigurationError(
                    f"S3 at {self.host} has no conditional PUT", argument="endpoint_url"
                ) from error
            # 409 decides nothing, and neither does a server in trouble.
            if status in (409, 429) or status >= 500:
                raise PutUndecided(f"S3 at {self.host} answered {status} {code}.") from error
            raise to_storage_error(error, self.host) from error
        except FAILURES as error:
            if was_not_sent(error):
                raise to_storage_error(error, self.host) from error
            raise PutUndecided(f"S3 at {self.host} did not answer: {reason_of(error)}.") from error

    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        parts = split_into_parts(pieces)
        first = await anext(parts, b"")
        if len(first) < PART_BYTES:
            await self.put(key, first)
        else:
            await self._parts.stream(self._prefix + key, first, parts)

    async def begin_parts(self, key: str) -> str:
        return await self._parts.begin(self._prefix + key)

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        await self._parts.put(self._prefix + key, upload, number, data)

    async def parts(self, key: str, upload: str) -> list[Part]:
        return await self._parts.list(self._prefix + key, upload)

    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        await self._parts.join(self._prefix + key, upload, parts)

    async def drop_parts(self, key: str, upload: str) -> None:
        await self._parts.drop(self._prefix + key, upload)

    async def size(self, key: str) -> int:
        return await self._parts.size(self._prefix + key)

    async def link(self, key: str, seconds: int, headers: Mapping[str, str]) -> str | None:
        names = {"content-type": "ResponseContentType", "content-disposition": "ResponseContentDisposition"}
        overrides = {names[name]: value for name, value in headers.items() if name in names}
        url: str = await self._require_open(self._signing_client).generate_presigned_url(
            "get_object", {"Bucket": self.bucket, "Key": self._prefix + key, **overrides}, ExpiresIn=seconds
        )
        return url

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b""
        span = {} if end is None and start == 0 else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        signed: bytes | None = await self._require_open(self._signed_reads).get(self._prefix + key, span)
        if signed is not None:
            return signed
        try:
            content, _ = await self._read(key, span)  # which repeats a failed request
        except _RangeBeyondEnd:
            return b""
        return content

    async def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        content, size = await self._read_piece(key, start, end)
        end = size if end is None else min(end, size)
        while content:
            start += len(content)
            next_piece = asyncio.create_task(self._read_piece(key, start, end)) if start < end else None
            try:
                yield content
                content = (await next_piece)[0] if next_piece else b""
            finally:
                if next_piece:
                    next_piece.cancel()

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        start = {"StartAfter": self._prefix + after} if after else {}
        while True:
            request = {"Bucket": self.bucket, "Prefix": self._prefix + prefix, **start}
            page = await self._call(partial(self._require_open(self._client).list_objects_v2, **request))
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(self._prefix)
            if not page.get("IsTruncated"):
                return
            start = {"StartAfter": page["Contents"][-1]["Key"]}

    async def delete(self, key: str) -> None:
        await self._call(
            lambda: self._require_open(self._client).delete_object(Bucket=self.bucket, Key=self._prefix + key)
        )

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        while True:
            before, answer = await self._read(key, {})
            after = edit(before)
            if after == before:
                return
            try:
                condition = {"If-Match": answer["ETag"]}
                await self._require_open(self._signed_puts).put(self._prefix + key, request_body(after), condition)
            except ClientError as error:
                # 412 and 409: somebody else changed it meanwhile.
                if answer_of(error)[0] not in (409, 412):
                    raise to_storage_error(error, self.host) from error
            except FAILURES as error:
                raise to_storage_error(error, self.host) from error
            else:
                return

    async def _read_piece(self, key: str, start: int, end: int | None) -> tuple[bytes, int]:
        """Some bytes from there on, and the size of the whole."""
        stop = start + _PIECE_BYTES if end is None else min(start + _PIECE_BYTES, end)
        if stop <= start:
            return b"", start
        try:
            content, answer = await self._read(key, {"Range": f"bytes={start}-{stop - 1}"})
        except _RangeBeyondEnd:
            return b"", start
        return content, int(answer["ContentRange"].rpartition("/")[2])

    async def _read(self, key: str, span: dict[str, str]) -> tuple[bytes, dict[str, Any]]:
        """Return the bytes of an object and the answer. Repeat the request after a truncated body."""
        for attempt in range(1, _ATTEMPTS + 1):
            answer = await self._get_object(key, span)
            try:
                async with answer["Body"] as body:
                    content = await body.read()
                if len(content) == answer["ContentLength"]:
                    return content, answer
            except FAILURES as error:
                if attempt == _ATTEMPTS:
                    raise to_storage_error(error, self.host) from error
        raise StorageUnavailable(f"S3 at {self.host} cuts {key} short.")

    async def _get_object(self, key: str, span: dict[str, str]) -> dict[str, Any]:
        try:
            request = self._require_open(self._client).get_object(Bucket=self.bucket, Key=self._prefix + key, **span)
            answer: dict[str, Any] = await request
        except ClientError as error:
            if answer_of(error)[1] in ("NoSuchKey", "404"):
                raise ObjectMissing(key) from error
            if answer_of(error)[0] == 416:
                raise _RangeBeyondEnd(key) from error
            raise to_storage_error(error, self.host) from error
        except FAILURES as error:
            raise to_storage_error(error, self.host) from error
        return answer

    async def _call(self, request: Callable[[], Awaitable[R]]) -> R:
        try:
            return await request()
        except (ClientError, *FAILURES) as error:
            raise to_storage_error(error, self.host) from error

    async def _connect(self, attempts: int, endpoint_url: str | None = None) -> Any:
        location = self._location
        config = Config(
            connect_timeout=_CONNECT_TIMEOUT_S,
            read_timeout=location.timeout,
            signature_version="s3v4",
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            # Not every S3 server knows the checksums that botocore adds; the log has its own.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            # The virtual-host style needs a DNS name per bucket, which self-hosted servers rarely have.
            s3={"addressing_style": "path"} if location.endpoint_url else {},
        )
        url = endpoint_url or location.endpoint_url
        try:
            client = _session().client(
                "s3",
                config=config,
                endpoint_url=url,
                # Plain HTTP has no certificates. To load those of all authorities takes 20 ms of each client.
                verify=False if (url or "").startswith("http://") else None,
                region_name=location.region,
                aws_access_key_id=location.access_key,
                aws_secret_access_key=location.secret_key,
            )
            client = await self._stack.enter_async_context(client)
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"S3 cannot be used: {error}", argument="endpoint_url") from error
        client.meta.events.register_last("before-call.s3", _send_at_once)
        return client

    async def _require_bucket(self) -> None:
        try:
            await self._no_retry_client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        except ClientError as error:
            if answer_of(error)[1] == "NoSuchBucket" and self._location.create_bucket:
                await self._create_bucket()
                return
            raise to_configuration_error(error, self.host, self.bucket) from error
        except (BotoCoreError, *FAILURES) as error:
            raise to_configuration_error(error, self.host, self.bucket) from error

    async def _create_bucket(self) -> None:
        region = self._no_retry_client.meta.region_name
        configuration = {} if region in (None, "us-east-1", "aws-global") else {"LocationConstraint": region}
        request = {"Bucket": self.bucket} | ({"CreateBucketConfiguration": configuration} if configuration else {})
        try:
            await self._no_retry_client.create_bucket(**request)
        except ClientError as error:
            # Another node was faster.
            if answer_of(error)[1] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise to_configuration_error(error, self.host, self.bucket) from error

    def _require_open(self, client: Any) -> Any:
        if client is None:
            raise StorageNotOpen
        return client
