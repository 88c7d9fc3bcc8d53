"""Reads the body of a request: JSON only, up to a size limit."""

from fastapi import Request

from autocrud.errors import FieldError, PayloadTooLarge, UnsupportedMediaType


def media_type_of(request: Request) -> str:
    """Return the media type of the body without parameters; empty without a `Content-Type` header."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_json_body(request: Request, limit: int) -> bytes:
    """Return the bytes of a JSON body, not yet parsed. A body without `Content-Type` counts as JSON.

    Args:
        limit: maximum size, in bytes.

    Raises:
        UnsupportedMediaType: the `Content-Type` is not JSON.
        PayloadTooLarge: the body is longer than the limit.
    """
    media_type = media_type_of(request) or "application/json"
    if media_type != "application/json" and not media_type.endswith("+json"):
        message = f"{media_type!r} is not application/json"
        raise UnsupportedMediaType("The body must be JSON.", [FieldError("Content-Type", message)])
    return await read_body(request, limit)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the bytes of the body.

    Args:
        limit: maximum size, in bytes.

    Raises:
        PayloadTooLarge: the body is longer than the limit.
    """
    announced_size = request.headers.get("content-length", "")
    if announced_size.isdecimal() and int(announced_size) > limit:
        raise PayloadTooLarge(limit)
    chunks, size = [], 0
    # A chunked body announces no size, and a client may announce a wrong one.
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise PayloadTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)
