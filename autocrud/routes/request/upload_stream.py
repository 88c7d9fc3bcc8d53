"""A file that a request brings, as its body or as a part of a form, while it arrives."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from autocrud.errors import InvalidParameter, MalformedBody, PayloadTooLarge
from autocrud.schema.binary import CONTENT_TYPE_PATTERN, FILENAME_PATTERN, OCTETS

# What stands around the file in a form.
_FORM_BYTES = 64 * 1024


@dataclass
class UploadStream:
    """What is known before the first byte, and the bytes."""

    content_type: str
    filename: str | None
    pieces: AsyncIterator[bytes]


async def upload_stream(request: Request, limit: int, filename: str | None) -> UploadStream:
    """The file that a request brings: its body, or the one file of a `multipart/form-data` body.

    Args:
        limit: bytes; what announces more is refused before it is read.
        filename: of a body that is the file.

    Raises:
        PayloadTooLarge: the client announces more than the limit.
        InvalidParameter: the media type or the name cannot be used.
        MalformedBody: it is not a form with one file.
    """
    announced = request.headers.get("content-length", "")
    given = request.headers.get("content-type", "")
    is_form = given.lower().startswith("multipart/form-data")
    if announced.isdecimal() and int(announced) > limit + (_FORM_BYTES if is_form else 0):
        raise PayloadTooLarge(limit)
    file = await _Form(request, given).file() if is_form else UploadStream(given, filename, request.stream())
    file.content_type = file.content_type.strip() or OCTETS
    if not re.fullmatch(CONTENT_TYPE_PATTERN, file.content_type):
        raise InvalidParameter("Content-Type", "is not a media type, as in image/png")
    if file.filename is not None and not re.fullmatch(FILENAME_PATTERN, file.filename):
        raise InvalidParameter("filename", "must be 1 to 255 characters, without slashes and control characters")
    return file


class _Form:
    """A `multipart/form-data` body (RFC 7578) with one file, read as it arrives."""

    def __init__(self, request: Request, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise InvalidParameter("Content-Type", "multipart/form-data must have a boundary")
        self._stream = request.stream()
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._is_file = False
        self._data: list[bytes] = []
        self._files = 0
        self._is_whole = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._on_name,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_end": self._on_end,
            },
        )

    async def file(self) -> UploadStream:
        """The file, once its headers are there."""
        while not self._files:
            if not await self._feed():
                raise MalformedBody("The form has no file.")
        options = parse_options_header(self._disposition)[1]
        name = options.get(b"filename", b"").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
        return UploadStream(self._content_type, name or None, self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        while True:
            data, self._data = self._data, []
            for piece in data:
                yield piece
            if not await self._feed():
                break
        if not self._is_whole:
            raise MalformedBody("The form ends before its last boundary.")

    async def _feed(self) -> bool:
        """Read on; False at the end of the body."""
        chunk = await anext(self._stream, b"")
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise MalformedBody(f"The body is not a form: {error}.") from error
        if self._files > 1:
            raise MalformedBody("The form has more than one file; upload them one by one.")
        return bool(chunk)

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _on_headers(self) -> None:
        disposition = self._headers.get("content-disposition", "")
        self._is_file = b"filename" in parse_options_header(disposition)[1]
        if self._is_file:
            self._files += 1
            self._disposition, self._content_type = disposition, self._headers.get("content-type", "")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._data.append(data[start:end])

    def _on_end(self) -> None:
        self._is_whole = True
