"""Entries of a log: a header line, then a line per write or blob. An entry is what one commit of the store contains."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple
from uuid import uuid4

from autocrud.errors import DataCorrupted, PayloadTooLarge
from autocrud.storage.commit_log.records.header import MAX_ENTRY_BYTES, Header, Tail, encode_header, parse_header
from autocrud.storage.commit_log.records.lines import (
    PURGED,
    SALT_DIGITS,
    Record,
    data_length,
    decode_line,
    encode_line,
)
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Item

_SALTS_PER_LINE = 2


class LineSpan(NamedTuple):
    """Place of a line in its entry, and the state of its parts.

    Attributes:
        offset: first byte.
        metadata_length, data_length: bytes of the parts; no data part has 0.
        has_metadata, has_data: True if the part has the bytes that were written.
    """

    offset: int
    metadata_length: int
    data_length: int
    has_metadata: bool = True
    has_data: bool = True

    @property
    def length(self) -> int:
        """Bytes of the line without its line feed."""
        return self.metadata_length + self.data_length


class Lines(NamedTuple):
    """Encoded lines of a batch, before the place of the batch in the log is known.

    Attributes:
        content: all lines, each with its line feed.
        checks: JSON of the checks of all lines, for the header.
        spans: places of the lines, relative to the first line.
    """

    content: bytes
    checks: bytes
    spans: list[LineSpan]


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the log.

    Attributes:
        source: file or object of the entry, for messages.
        store: id of the store.
        content: all bytes of the entry.
        unit, start: place of the entry; see `Tail`.
        spans: places of the lines in the entry. The place of a line in the list is the ordinal of its position.
    """

    source: str
    store: str
    header_hash: str
    sequence: int
    previous: str
    time: str
    nonce: str
    content: bytes
    unit: int
    start: int
    spans: Sequence[LineSpan]

    @property
    def tail(self) -> Tail:
        """The end of the log after this entry."""
        end = self.start + len(self.content)
        return Tail(self.sequence, self.header_hash, self.time, self.unit, self.start, end)

    def place(self, source: str, unit: int, start: int) -> "Entry":
        """Return the entry at another place."""
        return Entry(
            source, self.store, self.header_hash, self.sequence, self.previous, self.time, self.nonce, self.content,
            unit, start, self.spans,
        )  # fmt: skip

    def data_locator(self, ordinal: int, item: Item) -> str | None:
        """Return the locator of the data of an item, which is the item of this line; None without data."""
        length = data_length(item)
        if not length:
            return None
        span = self.spans[ordinal]
        return self.locator(span.offset + span.length - 1 - length, length)

    def line_locator(self, ordinal: int) -> str:
        """Return the locator of a whole line, which a purge blanks."""
        span = self.spans[ordinal]
        return self.locator(span.offset, span.length)

    def last_part_locator(self, ordinal: int) -> str:
        """Return the locator of the data part, which a prune blanks; of a line without data, of the whole line."""
        span = self.spans[ordinal]
        if not span.data_length:
            return self.line_locator(ordinal)
        return self.locator(span.offset + span.metadata_length, span.data_length)

    def records(self) -> list[Record]:
        """Decode all lines.

        Raises:
            DataCorrupted: a line is not a record.
        """
        found: list[Record] = []
        for ordinal, span in enumerate(self.spans):
            if not span.has_metadata:
                found.append(PURGED)
                continue
            middle, end = span.offset + span.metadata_length, span.offset + span.length
            data = self.content[middle:end] if span.has_data else None
            try:
                found.append(decode_line(self.content[span.offset : middle], data))
            except (ValueError, LookupError, TypeError) as error:
                raise DataCorrupted(f"{self.describe_line(ordinal)} is not a record.") from error
        return found

    def describe_line(self, ordinal: int) -> str:
        """Return the place of a line for messages. The header is line 1."""
        byte = self.start + self.spans[ordinal].offset
        return f"{self.source}, entry {self.sequence}, line {ordinal + 2} (byte {byte})"

    def locator(self, offset: int, length: int) -> str:
        """Return the locator of bytes of the entry: unit, offset in the unit, length."""
        return f"{self.unit}:{self.start + offset}:{length}"


def encode_lines(items: Sequence[Item], erases: Sequence[Sequence[Position]] = ()) -> Lines:
    """Encode the lines of a batch.

    Args:
        erases: positions that each item erases; empty if no item erases any.
    """
    salts = os.urandom(len(items) * _SALTS_PER_LINE * SALT_DIGITS // 2).hex()
    parts: list[bytes] = []
    checks: list[str] = []
    spans: list[LineSpan] = []
    offset = 0
    for number, item in enumerate(items):
        salt = number * _SALTS_PER_LINE * SALT_DIGITS
        middle = salt + SALT_DIGITS
        metadata, data = encode_line(
            item, erases[number] if erases else (), salts[salt:middle], salts[middle : middle + SALT_DIGITS]
        )
        check = f'[{len(metadata)},"{sha256(metadata).hexdigest()}"'
        checks.append(f'{check},{len(data)},"{sha256(data).hexdigest()}"]' if data else f"{check}]")
        spans.append(LineSpan(offset, len(metadata), len(data)))
        parts += (metadata, data, b"\n")
        offset += len(metadata) + len(data) + 1
    return Lines(b"".join(parts), ",".join(checks).encode(), spans)


def build_entry(lines: Lines, after: Tail, *, now: str, store: str, writer: str, nonce: str | None = None) -> Entry:
    """Return the entry that follows `after`. The log sets its place.

    Args:
        now: current time in the format of `timestamp`. The entry's time is never before the time of `after`.
        store: id of the store.
        writer: id of the process.
        nonce: random id of the entry; None to draw one.

    Raises:
        PayloadTooLarge: the entry is longer than the log accepts.
    """
    time, nonce = max(now, after.time), nonce or uuid4().hex
    header, length = encode_header(len(lines.content), after, time, nonce, store, writer, lines.checks)
    if length > MAX_ENTRY_BYTES:
        raise PayloadTooLarge(MAX_ENTRY_BYTES)
    first = len(header) + 1
    spans = [span._replace(offset=first + span.offset) for span in lines.spans]
    content = b"%s\n%s" % (header, lines.content)
    header_hash = sha256(header).hexdigest()
    return Entry("", store, header_hash, after.sequence + 1, after.header_hash, time, nonce, content, 0, 0, spans)


def decode_entry(content: bytes, source: str, *, store: str | None, unit: int, start: int = 0) -> Entry:
    """Return the entry with these bytes. Parts that do not verify are marked in `spans`.

    Args:
        source: file or object, for messages.
        store: id of the store; None to accept any.
        unit, start: place of the entry; see `Tail`.

    Raises:
        DataCorrupted: the content is not an entry of this store.
    """
    line, _, _ = content.partition(b"\n")
    header = parse_header(line, source)
    if store is not None and header.store != store:
        raise DataCorrupted(f"{source}, entry {header.sequence} belongs to the store {header.store}, not to {store}.")
    if header.length != len(content):
        raise DataCorrupted(
            f"{source}, entry {header.sequence} has {len(content)} bytes, and its header states {header.length}."
        )
    spans = _verify_lines(header, content, source, start)
    return Entry(
        source, header.store, header.header_hash, header.sequence, header.previous, header.time, header.nonce, content,
        unit, start, spans,
    )  # fmt: skip


def _verify_lines(header: Header, content: bytes, source: str, start: int) -> list[LineSpan]:
    spans: list[LineSpan] = []
    offset = header.header_length + 1
    for checks in header.lines:
        middle = offset + checks.metadata_length
        end = middle + checks.data_length
        has_metadata = sha256(content[offset:middle]).hexdigest() == checks.metadata_hash
        has_data = not checks.data_length or sha256(content[middle:end]).hexdigest() == checks.data_hash
        if content[end] != 0x0A:
            raise DataCorrupted(f"{source}, entry {header.sequence} is damaged at byte {start + end}.")
        spans.append(LineSpan(offset, checks.metadata_length, checks.data_length, has_metadata, has_data))
        offset = end + 1
    return spans
