"""Reads the body of a request: JSON only, up to a size limit."""

from codecs import BOM_UTF8
from collections.abc import AsyncIterator

from fastapi import Request

from autocrud.errors import FieldError, PayloadTooLarge, UnsupportedMediaType

_MAX_SIZE_DIGITS = 18


def media_type_of(request: Request) -> str:
    """Return the media type of the body without parameters; empty without a `Content-Type` header."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def body_stream(request: Request) -> AsyncIterator[bytes]:
    """Return the bytes of the body as they arrive.

    Raises:
        UnsupportedMediaType: the body is compressed. Servers announce this by 415 (RFC 9110, 15.5.16).
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        error = FieldError("Content-Encoding", f"{encoding!r} is not supported; send the body uncompressed")
        raise UnsupportedMediaType("The body must not be compressed.", [error], ("Accept-Encoding", "identity"))
    return request.stream()


async def skip_bom(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a text stream without the byte order mark at its begin, which some programs write (RFC 8259, 8.1)."""
    begin = b""
    async for chunk in stream:
        begin += chunk
        if len(begin) >= len(BOM_UTF8) or not BOM_UTF8.startswith(begin):
            yield begin.removeprefix(BOM_UTF8)
            break
    else:
        if begin:
            yield begin
    async for chunk in stream:
        yield chunk


async def read_json_body(request: Request, limit: int) -> bytes:
    """Return the bytes of a JSON body, not yet parsed.

    A body without `Content-Type` is refused, because a web page of any origin may send such a body without asking.

    Args:
        limit: maximum size, in bytes.

    Raises:
        UnsupportedMediaType: the `Content-Type` is not JSON.
        PayloadTooLarge: the body is longer than the limit.
    """
    media_type = media_type_of(request)
    if media_type != "application/json" and not media_type.endswith("+json"):
        message = f"must be application/json, not {media_type or 'nothing'}"
        raise UnsupportedMediaType("The body must be JSON.", [FieldError("Content-Type", message)])
    return await read_text_body(request, limit)


async def read_text_body(request: Request, limit: int) -> bytes:
    """Return the bytes of a body as `read_body` does, without a byte order mark."""
    return (await read_body(request, limit)).removeprefix(BOM_UTF8)


def check_announced_size(request: Request, limit: int) -> None:
    """Refuse a body whose `Content-Length` is over a limit.

    Raises:
        PayloadTooLarge: the client announces more than the limit.
    """
    size = request.headers.get("content-length", "")
    # A number of very many digits has no value in Python.
    if size.isdecimal() and (len(size) > _MAX_SIZE_DIGITS or int(size) > limit):
        raise PayloadTooLarge(limit)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the bytes of the body.

    Args:
        limit: maximum size, in bytes.

    Raises:
        UnsupportedMediaType: the body is compressed.
        PayloadTooLarge: the body is longer than the limit.
    """
    check_announced_size(request, limit)
    chunks, size = [], 0
    # A chunked body announces no size, and a client may announce a wrong one.
    async for chunk in body_stream(request):
        size += len(chunk)
        if size > limit:
            raise PayloadTooLarge(limit)
        chunks.append(chunk)
    return b"".join(chunks)
