"""Objects in a bucket of an S3 server. botocore's errors are told apart here and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import aioboto3
from aiohttp import ClientError as HttpError
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from autocrud.errors import ConfigurationError, StorageUnavailable
from autocrud.storage.object_store import ObjectExists, ObjectMissing, ObjectStore, PutUndecided

R = TypeVar("R")

_CONNECTIONS = 64
_CONNECT_SECONDS = 2.0
_ATTEMPTS = 3
_PIECE = 1024 * 1024

_CREDENTIALS_REFUSED = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "InvalidToken",
    "ExpiredToken",
    "403",
}
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_NOT_SENT = (EndpointConnectionError, ConnectTimeoutError, NoCredentialsError, PartialCredentialsError)
_FAILURES = (BotoCoreError, HTTPClientError, HttpError, OSError, TimeoutError)


@cache
def _session() -> Any:
    """What knows the S3 API, which takes a while to read, and the credentials that the environment has."""
    return aioboto3.Session()


def _send_at_once(params: dict[str, Any], **_: Any) -> None:
    """To ask whether a body is welcome, as botocore does, costs a round trip on every commit."""
    params["headers"].pop("Expect", None)


class _PastTheEnd(Exception):
    """The object ends before the span that was asked for."""


class S3ObjectStore(ObjectStore):
    """An object store over a bucket, or over the part of it under a prefix.

    Args:
        endpoint_url: of an S3 server; that of AWS if None.
        access_key, secret_key: if None, botocore looks in the environment, the profile and the instance's role.
        create_bucket: make the bucket where there is none.
        timeout: seconds to wait for an answer.
    """

    def __init__(
        self,
        bucket: str,
        *,
        endpoint_url: str | None = None,
        prefix: str = "",
        region: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        create_bucket: bool = False,
        timeout: float = 5.0,
    ) -> None:
        self.bucket = bucket
        self.name = f"s3 bucket {bucket}"
        self.host = (endpoint_url or "AWS").rpartition("://")[2].rstrip("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._create_bucket = create_bucket
        self._timeout = timeout
        self._where = {
            "endpoint_url": endpoint_url,
            "region_name": region,
            "aws_access_key_id": access_key,
            "aws_secret_access_key": secret_key,
        }
        self._stack = AsyncExitStack()
        self._client: Any = None  # repeats what failed, which for most calls does no harm
        self._once: Any = None  # does not: a repeated conditional PUT is refused because of itself

    async def open(self) -> None:
        if self._client is not None:
            return
        try:
            self._client = await self._connect(_ATTEMPTS)
            self._once = await self._connect(1)
            await self._find_bucket()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._client = self._once = None
        await self._stack.aclose()

    async def check(self) -> None:
        """Say whether the bucket can be reached now.

        Raises:
            StorageUnavailable: it cannot.
        """
        await self._call(lambda: self._ready(self._once).head_bucket(Bucket=self.bucket))

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        target = {"Bucket": self.bucket, "Key": self._prefix + key}
        if not if_absent:
            await self._call(lambda: self._ready(self._client).put_object(**target, Body=data))
            return
        try:
            await self._ready(self._once).put_object(**target, Body=data, IfNoneMatch="*")
        except ClientError as error:
            status, code = _answer(error)
            if status == 412:
                raise ObjectExists(key) from error
            if status == 501:
                raise ConfigurationError(
                    f"S3 at {self.host} has no conditional PUT", argument="endpoint_url"
                ) from error
            # 409 decides nothing, and neither does a server in trouble.
            if status in (409, 429) or status >= 500:
                raise PutUndecided(f"S3 at {self.host} answered {status} {code}.") from error
            raise self._translated(error) from error
        except _NOT_SENT as error:
            raise self._translated(error) from error
        except _FAILURES as error:
            raise PutUndecided(f"S3 at {self.host} did not answer: {_reason(error)}.") from error

    async def put_file(self, key: str, path: Path) -> None:
        with await asyncio.to_thread(path.open, "rb") as file:
            await self._call(lambda: self._ready(self._client).upload_fileobj(file, self.bucket, self._prefix + key))

    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b""
        span = {} if end is None and start == 0 else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        try:
            content, _ = await self._read(key, span)
        except _PastTheEnd:
            return b""
        return content

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        done = 0
        size = 1
        while done < size:
            end = done + 8 * _PIECE - 1
            try:
                content, answer = await self._read(key, {"Range": f"bytes={done}-{end}"})
            except _PastTheEnd:
                return
            size = int(answer["ContentRange"].rpartition("/")[2])
            done += len(content)
            yield content

    async def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        start = {"StartAfter": self._prefix + after} if after else {}
        while True:
            request = {"Bucket": self.bucket, "Prefix": self._prefix + prefix, **start}
            page = await self._call(partial(self._ready(self._client).list_objects_v2, **request))
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(self._prefix)
            if not page.get("IsTruncated"):
                return
            start = {"StartAfter": page["Contents"][-1]["Key"]}

    async def delete(self, key: str) -> None:
        await self._call(lambda: self._ready(self._client).delete_object(Bucket=self.bucket, Key=self._prefix + key))

    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        while True:
            before, answer = await self._read(key, {})
            after = edit(before)
            if after == before:
                return
            try:
                await self._ready(self._once).put_object(
                    Bucket=self.bucket, Key=self._prefix + key, Body=after, IfMatch=answer["ETag"]
                )
            except ClientError as error:
                # 412 and 409: somebody else changed it meanwhile.
                if _answer(error)[0] not in (409, 412):
                    raise self._translated(error) from error
            except _FAILURES as error:
                raise self._translated(error) from error
            else:
                return

    async def _read(self, key: str, span: dict[str, str]) -> tuple[bytes, dict[str, Any]]:
        """An object's bytes and the answer that they came with; again where the body was cut short."""
        for attempt in range(1, _ATTEMPTS + 1):
            answer = await self._get_object(key, span)
            try:
                async with answer["Body"] as body:
                    content = await body.read()
                if len(content) == answer["ContentLength"]:
                    return content, answer
            except _FAILURES as error:
                if attempt == _ATTEMPTS:
                    raise self._translated(error) from error
        raise StorageUnavailable(f"S3 at {self.host} cuts {key} short.")

    async def _get_object(self, key: str, span: dict[str, str]) -> dict[str, Any]:
        try:
            request = self._ready(self._client).get_object(Bucket=self.bucket, Key=self._prefix + key, **span)
            answer: dict[str, Any] = await request
        except ClientError as error:
            if _answer(error)[1] in ("NoSuchKey", "404"):
                raise ObjectMissing(key) from error
            if _answer(error)[0] == 416:
                raise _PastTheEnd(key) from error
            raise self._translated(error) from error
        except _FAILURES as error:
            raise self._translated(error) from error
        return answer

    async def _call(self, request: Callable[[], Awaitable[R]]) -> R:
        try:
            return await request()
        except (ClientError, *_FAILURES) as error:
            raise self._translated(error) from error

    async def _connect(self, attempts: int) -> Any:
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=self._timeout,
            max_pool_connections=_CONNECTIONS,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            # Not every S3 server knows the checksums that botocore adds; the log has its own.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"} if self._where["endpoint_url"] else {},
        )
        try:
            client = _session().client("s3", config=config, **self._where)
            connected = await self._stack.enter_async_context(client)
        except (BotoCoreError, ValueError) as error:
            raise ConfigurationError(f"S3 cannot be used: {error}", argument="endpoint_url") from error
        connected.meta.events.register_last("before-call.s3", _send_at_once)
        return connected

    async def _find_bucket(self) -> None:
        try:
            await self._once.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        except ClientError as error:
            if _answer(error)[1] == "NoSuchBucket" and self._create_bucket:
                await self._make_bucket()
                return
            raise self._diagnosed(error) from error
        except (BotoCoreError, *_FAILURES) as error:
            raise self._diagnosed(error) from error

    async def _make_bucket(self) -> None:
        region = self._once.meta.region_name
        where = {} if region in (None, "us-east-1", "aws-global") else {"LocationConstraint": region}
        request = {"Bucket": self.bucket} | ({"CreateBucketConfiguration": where} if where else {})
        try:
            await self._once.create_bucket(**request)
        except ClientError as error:
            # Another node was faster.
            if _answer(error)[1] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise self._diagnosed(error) from error

    def _diagnosed(self, error: Exception) -> ConfigurationError:
        """What is wrong with the settings, with the argument at fault."""
        status, code = _answer(error)
        where = f"S3 at {self.host}"
        if code == "NoSuchBucket":
            return ConfigurationError(f"{where} has no bucket {self.bucket!r}", argument="bucket")
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return ConfigurationError(f"no credentials for {where} were found", argument="access_key")
        if code in _CREDENTIALS_REFUSED:
            argument = "access_key" if code == "InvalidAccessKeyId" else "secret_key"
            return ConfigurationError(
                f"{where} refuses the credentials for {self.bucket!r} ({code})", argument=argument
            )
        if code in _WRONG_REGION or status == 301:
            return ConfigurationError(f"the bucket {self.bucket!r} is not in this region ({code})", argument="region")
        if isinstance(error, ClientError):
            return ConfigurationError(f"{where} answered {status} {code} for {self.bucket!r}", argument="bucket")
        return ConfigurationError(f"{where} cannot be reached: {_reason(error)}", argument="endpoint_url")

    def _translated(self, error: Exception) -> StorageUnavailable:
        status, code = _answer(error)
        said = f"answered {status} {code}" if status else f"cannot be reached: {_reason(error)}"
        return StorageUnavailable(f"S3 at {self.host} {said}.")

    def _ready(self, client: Any) -> Any:
        if client is None:
            raise StorageUnavailable(f"The store in {self.bucket} is not open.")
        return client


def _answer(error: Exception) -> tuple[int, str]:
    """Status and code of what the server said; (0, "") where it said nothing."""
    if not isinstance(error, ClientError):
        return 0, ""
    response: Any = error.response
    return int(response["ResponseMetadata"].get("HTTPStatusCode", 0)), str(response.get("Error", {}).get("Code", ""))


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__
