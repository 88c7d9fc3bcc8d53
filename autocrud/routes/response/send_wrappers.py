"""Wrappers of ASGI's `send` that change the headers or the body of every answer of a route."""

from starlette.types import Message, Send


def without_body(send: Send) -> Send:
    """Return a `send` that drops the body and keeps its headers (RFC 9110, 9.3.2)."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def with_vary(send: Send) -> Send:
    """Return a `send` that adds `Vary: Accept`, also to problems, because caches may keep them (RFC 9110, 12.5.5)."""

    async def send_varied(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"vary", b"Accept")]}
        await send(message)

    return send_varied
