"""PostgreSQL with faults: a TCP proxy before the server, and faults of its COMMIT."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from tests.servers_real import postgres


class Wire:
    """TCP proxy before PostgreSQL. `on_commit` handles the next COMMIT, once."""

    def __init__(self) -> None:
        self.url = ""
        self.on_commit: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]] | None = None
        self._links: set[asyncio.Task[None]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            below, above = await asyncio.open_connection("127.0.0.1", postgres().port)
        except ConnectionError:
            self._links.discard(task)
            writer.close()
            return
        back = asyncio.create_task(_copy(below, writer))
        with suppress(asyncio.CancelledError, ConnectionError):
            while content := await reader.read(65536):

                async def forward(content: bytes = content) -> None:
                    above.write(content)
                    await above.drain()

                if b"COMMIT" in content and self.on_commit is not None:
                    fault, self.on_commit = self.on_commit, None
                    back.cancel()
                    await fault(forward)
                    break
                await forward()
        self._links.discard(task)
        back.cancel()
        above.close()
        writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Wire"]:
        """Run the proxy on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        parts = urlsplit(postgres().url)
        port = server.sockets[0].getsockname()[1]
        self.url = postgres().url.replace(f":{parts.port}/", f":{port}/")
        try:
            yield self
        finally:
            server.close()
            for task in self._links:
                task.cancel()
            if self._links:
                await asyncio.wait(self._links)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until either side ends. A server that was killed resets the connection, and the client must see that."""
    with suppress(asyncio.CancelledError):
        with suppress(ConnectionError):
            while content := await reader.read(65536):
                writer.write(content)
                await writer.drain()
        writer.close()


async def committed(forward: Callable[[], Awaitable[None]]) -> None:
    """Forward the COMMIT and drop its answer."""
    await forward()


async def lost(forward: Callable[[], Awaitable[None]]) -> None:
    """Drop the COMMIT."""
