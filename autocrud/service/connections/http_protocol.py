"""HTTP protocol of the server: uvicorn's, with limits for headers and for connections that send nothing."""

import asyncio
from functools import cache
from typing import Any

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from autocrud.service.connections.settings import ConnectionLimits

_REASONS = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


@cache
def _limits() -> ConnectionLimits:
    return ConnectionLimits()


class BoundedHttpProtocol(HttpToolsProtocol):
    """Refuses long headers with 431, and closes a connection that sends nothing while the server waits for it.

    Give the class to uvicorn: `uvicorn.run(app, http=BoundedHttpProtocol)`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._limits = _limits()
        self._is_in_head = True
        self._head_size = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting."""
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes of a request. Refuse a request whose headers are over the limit."""
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._await_head()
            self._head_size += len(data)
        super().data_received(data)
        # Bytes after the headers are those of the body, which has limits of its own.
        limit = self._limits.max_header_bytes
        if self._is_in_head and self._head_size > limit:
            self._refuse(431, "header_too_large", f"The headers are over the limit of {limit} bytes.")
        elif self._body_timer is not None:
            self._await_body()

    def on_message_begin(self) -> None:
        """Begin the headers of a request."""
        super().on_message_begin()
        self._is_in_head = True

    def on_headers_complete(self) -> None:
        """Serve the request, unless its headers are over the limit. A single piece of data may hold all of them."""
        self._is_in_head, self._head_size = False, 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.max_header_bytes:
            self._is_in_head, self._head_size = True, size
            return
        super().on_headers_complete()
        self._await_body()

    def on_body(self, body: bytes) -> None:
        """Pass on bytes of the body."""
        if not self._is_in_head:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        if self._is_in_head:
            return
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
        super().on_message_complete()
        self._is_in_head = True

    @property
    def _is_answering(self) -> bool:
        """True if a request of the connection is in progress."""
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _await_head(self) -> None:
        """Wait for the end of the headers. The time does not begin again with each byte."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._limits.receive_seconds, self._end_head)

    def _await_body(self) -> None:
        """Wait for the next bytes of the body."""
        if self._body_timer is not None:
            self._body_timer.cancel()
        self._body_timer = self.loop.call_later(self._limits.receive_seconds, self._end_body)

    def _end_head(self) -> None:
        self._head_timer = None
        if self._is_answering:
            return  # the client has a request in progress, and waits for its answer
        if self._head_size:
            self._refuse(408, "request_timeout", "The headers did not arrive in time.")
        else:
            self.transport.close()

    def _end_body(self) -> None:
        """Close the connection, unless the server itself has stopped to read."""
        self._body_timer = None
        if self.flow.read_paused:
            self._await_body()
        elif self._is_answering and self.cycle.more_body:
            self.transport.close()

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Send a problem in place of an answer, and close the connection. Nothing of the request was served."""
        self._stop_timers()
        title = _REASONS[status]
        body = to_json({"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail})
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        if not self._is_answering:
            self.transport.write(head.encode() + body)
        self.transport.close()

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._body_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._body_timer = None
