"""Wrappers of ASGI's `send` that change the headers or the body of every answer of a route."""

from starlette.types import Message, Send


def without_body(send: Send) -> Send:
    """Return a `send` that drops the body and keeps its headers (RFC 9110, 9.3.2)."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


CACHE_CONTROL = "private, no-cache"
_CACHE_HEADER = (b"cache-control", CACHE_CONTROL.encode())


def with_cache_headers(send: Send, varying: bytes) -> Send:
    """Return a `send` that adds `Cache-Control` unless it is set, and `Vary`, also to problems.

    Clients may keep answers, and ask each time if they are current. Shared caches keep none (RFC 9111, 5.2.2).

    Args:
        varying: names of request headers for `Vary` (RFC 9110, 12.5.5).
    """

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_CACHE_HEADER)
            if varying:
                headers.append((b"vary", varying))
            message = {**message, "headers": headers}
        await send(message)

    return send_with_headers
