"""Headers of log entries: identity, order, and the hashes of all parts. Each header names the hash of the one before.

All fields before `lines` have a fixed width. So the place of a line in its entry is known before the sequence number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic_core import from_json

from autocrud.errors import DataCorrupted

FORMAT = 1
MAX_ENTRY_BYTES = 128 * 1024 * 1024
FIRST_PREVIOUS = "0" * 64  # of the first entry
PREFIX = b'{"autocrud":%d,"length":' % FORMAT
_WIDTH = 12  # digits of length and sequence, filled with spaces
PREFIX_BYTES = len(PREFIX) + _WIDTH
_TEMPLATE = (
    PREFIX + b'%-12d,"sequence":%-12d,"previous":"%s","time":"%s","nonce":"%s","store":"%s","writer":"%s","lines":[%s]}'
)


class Tail(NamedTuple):
    """The last entry that a reader of the log knows.

    Attributes:
        sequence: sequence number; 0 if the log is empty.
        header_hash: SHA-256 of the header line, hexadecimal.
        time: time of the header, in the format of `timestamp`.
        unit: file or object of the entry: sequence number of its first entry.
        start, end: place of the entry in the unit, in bytes.
    """

    sequence: int
    header_hash: str
    time: str
    unit: int
    start: int
    end: int


EMPTY_TAIL = Tail(0, FIRST_PREVIOUS, "", 0, 0, 0)


class LineChecks(NamedTuple):
    """Lengths and hashes of the two parts of a line. Both are empty for a missing data part."""

    metadata_length: int
    metadata_hash: str
    data_length: int
    data_hash: str


@dataclass(frozen=True, slots=True)
class Header:
    """A decoded header.

    Attributes:
        length: bytes of the whole entry.
        header_length: bytes of the header line without its line feed.
        header_hash: SHA-256 of the header line.
        store: id of the store.
        writer: id of the process that wrote the entry.
        nonce: random id of the entry.
    """

    length: int
    sequence: int
    previous: str
    time: str
    nonce: str
    store: str
    writer: str
    lines: Sequence[LineChecks]
    header_length: int
    header_hash: str


def encode_header(
    length: int, after: Tail, time: str, nonce: str, store: str, writer: str, checks: bytes
) -> tuple[bytes, int]:
    """Return a header line without its line feed, and the length of the entry.

    Args:
        length: bytes of the lines, line feeds included.
        checks: JSON of the checks of all lines.
    """
    sequence = after.sequence + 1

    def fill(length: int) -> bytes:
        return _TEMPLATE % (
            length, sequence, after.header_hash.encode(), time.encode(), nonce.encode(), store.encode(),
            writer.encode(), checks,
        )  # fmt: skip

    length += len(fill(0)) + 1
    return fill(length), length


def parse_length(start: bytes) -> int | None:
    """Return the length of an entry that begins with these bytes; None if they do not begin an entry."""
    digits = start[len(PREFIX) : PREFIX_BYTES].rstrip()
    if not start.startswith(PREFIX) or not digits.isdigit():
        return None
    return int(digits)


def parse_header(line: bytes, source: str) -> Header:
    """Return the header of a line.

    Args:
        source: file or object, for messages.

    Raises:
        DataCorrupted: the line is not a header.
    """
    try:
        fields = from_json(line)
        if fields["autocrud"] != FORMAT:
            raise DataCorrupted(f"{source} has the format {fields['autocrud']!r}; this version reads {FORMAT}.")
        header = Header(
            _require_int(fields["length"]),
            _require_int(fields["sequence"]),
            _require_text(fields["previous"]),
            _require_text(fields["time"]),
            _require_text(fields["nonce"]),
            _require_text(fields["store"]),
            _require_text(fields["writer"]),
            [_parse_checks(checks) for checks in fields["lines"]],
            len(line),
            sha256(line).hexdigest(),
        )
    except (ValueError, LookupError, TypeError) as error:
        raise DataCorrupted(f"{source} does not begin with the header of a log entry.") from error
    length = len(line) + 1 + sum(checks.metadata_length + checks.data_length + 1 for checks in header.lines)
    if header.length != length:
        raise DataCorrupted(f"{source}: the header states {header.length} bytes, and its lines have {length}.")
    return header


def _require_int(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(value)
    return value


def _require_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _parse_checks(checks: Any) -> LineChecks:
    metadata_length, metadata_hash, *data = checks
    data_length, data_hash = data or (0, "")
    if _require_int(metadata_length) < 1 or _require_int(data_length) < 0:
        raise ValueError(checks)
    return LineChecks(metadata_length, metadata_hash, data_length, data_hash)
