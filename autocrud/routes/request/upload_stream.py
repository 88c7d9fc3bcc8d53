"""Upload streams: the file of a request, read from its body or from a form while the bytes arrive."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import unquote

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from autocrud.errors import InvalidParameter, MalformedBody
from autocrud.routes.request.body import body_stream, check_announced_size
from autocrud.schema.binary import CONTENT_TYPE_PATTERN, FILENAME_PATTERN, OCTETS

# Room for the boundaries, headers and other fields of a form around the file.
_FORM_BYTES = 64 * 1024


@dataclass
class UploadStream:
    """The media type and name of a file, and its bytes."""

    content_type: str
    filename: str | None
    pieces: AsyncIterator[bytes]


async def upload_stream(request: Request, limit: int, filename: str | None) -> UploadStream:
    """Return the file of a request: its body, or the only file of a `multipart/form-data` body.

    Args:
        limit: maximum size that a client may announce, in bytes.
        filename: name of the file if the body is the file.

    Raises:
        PayloadTooLarge: the client announces more than the limit.
        InvalidParameter: the media type or the file name is invalid.
        MalformedBody: the form is malformed, or does not have exactly one file.
    """
    content_type = request.headers.get("content-type", "")
    is_form = content_type.lower().startswith("multipart/form-data")
    check_announced_size(request, limit + (_FORM_BYTES if is_form else 0))
    file = (
        await _Form(request, content_type).read_file()
        if is_form
        else UploadStream(content_type, filename, body_stream(request))
    )
    file.content_type = file.content_type.strip() or OCTETS
    if not re.fullmatch(CONTENT_TYPE_PATTERN, file.content_type):
        raise InvalidParameter("Content-Type", "must be a media type such as image/png")
    if file.filename is not None and not re.fullmatch(FILENAME_PATTERN, file.filename):
        raise InvalidParameter("filename", "must be 1 to 255 characters without slashes and control characters")
    return file


class _Form:
    """A `multipart/form-data` body (RFC 7578) with one file, parsed as it arrives."""

    def __init__(self, request: Request, content_type: str) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise InvalidParameter("Content-Type", "multipart/form-data must have a boundary")
        self._stream = body_stream(request)
        self._headers: dict[str, str] = {}
        self._name = self._value = b""
        self._is_file = False
        self._data: list[bytes] = []
        self._files = 0
        self._is_complete = False
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

    async def read_file(self) -> UploadStream:
        """Return the file as soon as its headers have arrived.

        Raises:
            MalformedBody: the form ends without a file.
        """
        # Other fields of the form may precede the file.
        while not self._files:
            if not await self._feed():
                raise MalformedBody("The form has no file.")
        # Some browsers send the full path; only the last part is the name (RFC 7578, 4.2).
        name = _filename(self._disposition).replace("\\", "/").rpartition("/")[2]
        return UploadStream(self._content_type, name or None, self._read_pieces())

    async def _read_pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file.

        Raises:
            MalformedBody: the body ends before the last boundary.
        """
        while True:
            data, self._data = self._data, []
            for piece in data:
                yield piece
            if not await self._feed():
                break
        if not self._is_complete:
            raise MalformedBody("The form ends before its last boundary.")

    async def _feed(self) -> bool:
        """Parse the next chunk. Return False at the end of the body.

        Raises:
            MalformedBody: the chunk is not part of a form, or begins a second file.
        """
        chunk = await anext(self._stream, b"")
        try:
            self._parser.write(chunk)
        except MultipartParseError as error:
            raise MalformedBody(f"The body is not a form: {error}.") from error
        if self._files > 1:
            raise MalformedBody("The form has more than one file; upload each file in its own request.")
        return bool(chunk)

    # The parser may call back several times for one name or value, if chunks of the body divide it.
    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.decode("latin-1").lower()] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _on_headers(self) -> None:
        disposition = self._headers.get("content-disposition", "")
        self._is_file = b"filename" in parse_options_header(disposition)[1] or _extended_name(disposition) is not None
        if self._is_file:
            self._files += 1
            self._disposition, self._content_type = disposition, self._headers.get("content-type", "")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._data.append(data[start:end])

    def _on_end(self) -> None:
        self._is_complete = True


# RFC 8187 has UTF-8, and RFC 5987 had ISO-8859-1, too. Python knows codecs that are no character sets, or are slow.
_CHARSETS = frozenset({"utf-8", "iso-8859-1"})
_QUOTED = re.compile(r'"(\\.|[^"\\])*"')
_EXTENDED = re.compile(r";\s*filename\*\s*=\s*([^;\s]*)", re.IGNORECASE)


def _extended_name(disposition: str) -> str | None:
    """Return the value of `filename*`, still encoded; None without one. The parser of the form ignores it."""
    found = _EXTENDED.search(_QUOTED.sub('""', disposition))
    return None if found is None else found[1]


def _filename(disposition: str) -> str:
    """Return the file name of a part. `filename*` has precedence (RFC 6266, 4.3).

    RFC 7578 forbids `filename*` in forms, but some clients send it for names beyond ASCII.

    Raises:
        MalformedBody: `filename*` is malformed, or has an unknown character set.
    """
    extended = _extended_name(disposition)
    if extended is None:
        return parse_options_header(disposition)[1].get(b"filename", b"").decode("utf-8", "replace")
    charset, *rest = extended.split("'", 2)
    try:
        if charset.lower() not in _CHARSETS:
            raise LookupError(charset)
        return unquote(rest[1], charset, "strict")
    except (LookupError, UnicodeDecodeError) as error:
        raise MalformedBody("The form has a malformed filename*; it must be like UTF-8''name (RFC 8187).") from error
