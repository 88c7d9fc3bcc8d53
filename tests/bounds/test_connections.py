"""Bounds of connections: long headers are 431, and a connection that sends nothing is closed."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Service, service

_LIMIT = 8192


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service that waits for a client for a second at most."""
    folder: Path = tmp_path_factory.mktemp("connections")
    with service(folder, storage="memory", max_header_bytes=_LIMIT, receive_seconds=1, workers=1) as started:
        yield started


async def _exchange(running: Service, *pieces: bytes) -> bytes:
    """Send pieces on a connection, and return all that the server sends until it closes the connection."""
    host, _, port = running.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /movie HTTP/1.1\r\nHost: a\r\nX: " + b"x" * _LIMIT + b"\r\n\r\n", id="one long header"),
        pytest.param(
            b"GET /movie HTTP/1.1\r\nHost: a\r\n" + b"X-Name: x\r\n" * (_LIMIT // 8) + b"\r\n", id="many headers"
        ),
        pytest.param(b"GET /" + b"x" * _LIMIT + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="long URL"),
        pytest.param(b"GET /movie HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 3 * _LIMIT, id="header without an end"),
    ],
)
async def test_headers_over_the_limit_are_431(running: Service, head: bytes) -> None:
    """The server stops reading at the limit, so headers fill no memory."""
    answer = await _exchange(running, head)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"code":"header_too_large"' in answer


async def test_endless_headers_are_read_to_the_limit_only(running: Service) -> None:
    """A client that sends a hundred megabytes of headers is cut off after a few buffers."""
    host, _, port = running.base.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /movie HTTP/1.1\r\nHost: a\r\n")
    sent, line = 0, b"X-Name: " + b"x" * 65_000 + b"\r\n"
    try:
        while sent < 105_000_000:
            writer.write(line)
            await writer.drain()
            sent += len(line)
    except ConnectionError:
        pass
    writer.close()
    assert sent < 30_000_000  # the buffers of both sockets


async def test_headers_under_the_limit_are_served(running: Service) -> None:
    """Bytes of the body, and those of the next request, do not count."""
    body = b'{"title":"a"' + b" " * 3 * _LIMIT + b"}"
    head = b"POST /movie HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    last = b"GET /movie/count HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = await _exchange(running, head + body + head + body, last)
    assert answer.count(b"HTTP/1.1 201 ") == 2
    assert b'{"count":' in answer


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"GET /movie HT", b"HTTP/1.1 408 ", id="a part of the head"),
        pytest.param(
            b"POST /movie HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
            b"",
            id="a part of the body",
        ),
    ],
)
async def test_connection_that_sends_nothing_is_closed(running: Service, sent: bytes, status: bytes) -> None:
    """The server waits for a head, for the next request, and for the next bytes of a body, for a limited time."""
    answer = await _exchange(running, *([sent] if sent else []))
    assert answer.startswith(status)
