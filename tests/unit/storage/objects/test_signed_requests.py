"""Signed requests on S3: location and signature of a bucket, special keys, and temporary credentials."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aioboto3
import pytest
from aiohttp import web
from botocore.awsrequest import AWSPreparedRequest

from autocrud.errors import ConfigurationError
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.signed_requests import RequestTarget
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.objects import ObjectExists
from tests.storage.backends import s3_options


def _request(url: str, authorization: str) -> AWSPreparedRequest:
    return AWSPreparedRequest("GET", url, {"Authorization": authorization.encode()}, None, False)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://photos.s3.eu-central-1.amazonaws.com/?list-type=2", "https://photos.s3.eu-central-1.amazonaws.com"),
        ("http://127.0.0.1:9000/photos?list-type=2&max-keys=1", "http://127.0.0.1:9000/photos"),
    ],
)
def test_request_target_is_learned_from_both_addressing_styles(url: str, expected: str) -> None:
    """The URL has the bucket in its host or in its path. The region is that of the signature."""
    target = RequestTarget("photos")
    target.learn(_request(url, "AWS4-HMAC-SHA256 Credential=key/20261201/eu-central-1/s3/aws4_request, Signature=0"))
    assert (target.url, target.region) == (expected, "eu-central-1")


@pytest.mark.parametrize("scope", ["AWS4-HMAC-SHA256 Credential=key/20261201/us-east-1/s3express/aws4_request", ""])
def test_request_target_with_another_signature_is_refused(scope: str) -> None:
    """Directory buckets cannot hold a log, and requests without credentials cannot write."""
    with pytest.raises(ConfigurationError, match="another signature"):
        RequestTarget("photos").learn(_request("https://photos.example/", scope))


async def test_key_with_special_characters_is_signed_as_it_is_sent(tmp_path: Path) -> None:
    """The server compares the signature with the path that it receives."""
    store = S3ObjectStore(S3Location(**s3_options(), prefix=f"{tmp_path.name}/ä b+~(1)%20"))
    await store.open()
    try:
        await store.put("a=1&b", b"one", if_absent=True)
        with pytest.raises(ObjectExists):
            await store.put("a=1&b", b"two", if_absent=True)
        await store.rewrite("a=1&b", bytes.upper)
        assert await store.get("a=1&b", 0, 2) == b"ON"
        assert [key async for key in store.keys("")] == ["a=1&b"]
    finally:
        await store.close()


@asynccontextmanager
async def _recording_server(requests: list[web.BaseRequest]) -> AsyncIterator[str]:
    """Run a server that answers each request with success."""

    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        requests.append(request)
        return web.Response(text="<ListBucketResult></ListBucketResult>")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_temporary_credentials_sign_each_request_with_their_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is in the request and in its signature, for puts as for the requests of botocore."""
    for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("SESSION_TOKEN", "token")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setattr("autocrud.storage.objects.s3.store._session", aioboto3.Session)
    requests: list[web.BaseRequest] = []
    async with _recording_server(requests) as url:
        store = S3ObjectStore(S3Location("photos", endpoint_url=url, region="eu-central-1"))
        await store.open()
        await store.put("key", b"data", if_absent=True)
        await store.get("key")
        await store.close()
    assert [request.method for request in requests] == ["GET", "PUT", "GET"]
    for request in requests:
        assert request.headers["X-Amz-Security-Token"] == "token"
        assert "/eu-central-1/s3/aws4_request" in request.headers["Authorization"]
        assert "x-amz-security-token" in request.headers["Authorization"]
    assert requests[1].headers["If-None-Match"] == "*"
    assert "if-none-match" in requests[1].headers["Authorization"]
    assert requests[1].path == "/photos/key"
