"""S3 server with faults: a proxy before a real server, controlled by the test."""

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass
class Request:
    """A request as the client sent it."""

    method: str
    path: str
    content: bytes

    @property
    def is_append(self) -> bool:
        """Return True if the request creates a log entry."""
        return self.method == "PUT" and "/log/" in self.path and b"if-none-match: *" in self.content.lower()


class Exchange:
    """A request to answer, or not."""

    def __init__(self, request: Request, client: asyncio.StreamWriter, port: int) -> None:
        self.request = request
        self._client = client
        self._port = port

    async def forward(self) -> bytes:
        """Forward the request to the server and return its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self.request.content)
            return await reader.read(-1)
        finally:
            writer.close()

    async def answer(self, content: bytes) -> None:
        """Answer the client. A client that has left is no error."""
        with suppress(ConnectionError):
            self._client.write(content)
            await self._client.drain()

    def reset(self) -> None:
        """Reset the connection of the client."""
        client = self._client.get_extra_info("socket")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._client.transport.abort()

    async def refuse(self, status: int, code: str) -> None:
        """Answer with an S3 error, without forwarding."""
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>as the test says</Message></Error>"
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
        await self.answer((head + body).encode())


Behaviour = Callable[[Exchange], Awaitable[None]]


async def honest(exchange: Exchange) -> None:
    """Forward the request and answer with the result."""
    await exchange.answer(await exchange.forward())


class Proxy:
    """The proxy. `behave` may be replaced at any time and applies to later requests."""

    def __init__(self, port: int) -> None:
        self.endpoint_url = ""
        self.behave: Behaviour = honest
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # A client that gives up ends its connection, and the test's end all of them.
        with suppress(asyncio.CancelledError, ConnectionError):
            request = await _read(reader)
            if request is not None:
                await self.behave(Exchange(request, writer, self._port))
        self._tasks.discard(task)
        writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Run the proxy on a free port. Pending requests end with it."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    body = await reader.readexactly(int(length[1])) if length else b""
    method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    # One request to a connection: what follows an answer is its end.
    head = re.sub(rb"\r\nconnection:[^\r]*", b"", head, flags=re.IGNORECASE)
    return Request(method, path, head[:-2] + b"Connection: close\r\n\r\n" + body)
