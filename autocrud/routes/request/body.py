"""Reading a request's body: JSON only, and never more than the limit."""

from fastapi import Request

from autocrud.errors import FieldError, PayloadTooLarge, UnsupportedMediaType


def media_type_of(request: Request) -> str:
    """The media type of the body, without parameters; empty where the client says nothing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json_body(request: Request, limit: int) -> bytes:
    """The body's bytes, not yet parsed.

    Args:
        limit: bytes; reading stops there, whatever the client announced.

    Raises:
        UnsupportedMediaType: the client says that it is not JSON.
        PayloadTooLarge: it is longer than the limit.
    """
    media_type = media_type_of(request) or "application/json"
    if media_type != "application/json" and not media_type.endswith("+json"):
        message = f"{media_type!r} is not application/json"
        raise UnsupportedMediaType("The body must be JSON.", [FieldError("Content-Type", message)])
    return await read_body(request, limit)


async def read_body(request: Request, limit: int) -> bytes:
    """The body's bytes.

    Args:
        limit: bytes; reading stops there, whatever the client announced.

    Raises:
        PayloadTooLarge: it is longer than the limit.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise PayloadTooLarge(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise PayloadTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)
