"""The log: a sequence of entries, each created if absent. Creating an entry is the commit point (invariant 2).

An entry is an NDJSON object: a header line, then one line per record. The header tells who wrote it and after which
entry, and each line's length and CRC-32, so that a foreign entry and a damaged line are seen, and a purged line, which
is all blanks, is told from a damaged one.
"""

import json
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from autocrud.errors import DataCorrupted
from autocrud.storage.base import ObjectExists, ObjectMissing, ObjectStore

FORMAT = 1
_PER_FOLDER = 1_000_000
_LOCATOR = re.compile(r"(?P<key>[^:]+):(?P<offset>\d+):(?P<length>\d+)")


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of the log as somebody knows it: the last entry's sequence number and nonce; (0, "") if empty."""

    sequence: int
    nonce: str


EMPTY = Tail(0, "")


class SlotTaken(Exception):
    """Somebody else's entry stands where this one was to go: apply that one first."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `lines` are its records with their offsets in the object; a purged one is None."""

    key: str
    tail: Tail
    previous: str
    lines: list[tuple[int, bytes | None]]
    content: bytes


class Log:
    """The log of one model.

    Args:
        objects: where the entries go.
        prefix: the model's own, without a trailing slash.
    """

    def __init__(self, objects: ObjectStore, prefix: str) -> None:
        self._objects = objects
        self._prefix = prefix
        self._writer = uuid4().hex

    def entry(self, after: Tail, records: Sequence[bytes]) -> Entry:
        """Lay out the entry that would follow; nothing is stored yet."""
        tail = Tail(after.sequence + 1, uuid4().hex)
        header = json.dumps(
            {
                "autocrud": FORMAT,
                "writer": self._writer,
                "nonce": tail.nonce,
                "sequence": tail.sequence,
                "previous": after.nonce,
                "records": [[len(line), zlib.crc32(line)] for line in records],
            },
            separators=(",", ":"),
        ).encode()
        lines, offset = [], len(header) + 1
        for line in records:
            lines.append((offset, line))
            offset += len(line) + 1
        content = b"\n".join((header, *records, b""))
        return Entry(self._key(tail.sequence), tail, after.nonce, list[tuple[int, bytes | None]](lines), content)

    async def append(self, entry: Entry) -> None:
        """Create the entry. Once this returns, what is in it is committed.

        Raises:
            SlotTaken: another entry of this sequence number exists, and this one never will.
            StorageUnavailable: it may or may not have been created; append the same entry again to learn which.
        """
        try:
            await self._objects.put(entry.key, entry.content, if_absent=True)
        except ObjectExists:
            standing = await self.read(entry.tail.sequence)
            if standing is None or standing.tail.nonce != entry.tail.nonce:
                raise SlotTaken(entry.key) from None

    async def exists(self, sequence: int) -> bool:
        """Whether the log reaches this sequence number."""
        return await self._objects.exists(self._key(sequence))

    def blocking_exists(self, sequence: int) -> bool | None:
        """`exists`, for a caller on a thread of its own; None where the store can only be asked from the event loop."""
        exists = self._objects.blocking_exists
        return None if exists is None else exists(self._key(sequence))

    async def read(self, sequence: int) -> Entry | None:
        """The entry of this sequence number, checked; None where the log ends before it.

        Raises:
            DataCorrupted: it is not an entry of this log, or a line of it is damaged.
        """
        key = self._key(sequence)
        try:
            content = await self._objects.get(key)
        except ObjectMissing:
            return None
        return _parse(key, sequence, content)

    async def data(self, locator: str) -> bytes:
        """The bytes that a locator names.

        Raises:
            DataCorrupted: they are not there.
        """
        key, offset, length = parse_locator(locator)
        try:
            data = await self._objects.get(f"{self._prefix}/{key}", offset, offset + length)
        except ObjectMissing:
            raise DataCorrupted(f"The log has lost its entry {key}.") from None
        if len(data) != length or data.isspace():
            raise DataCorrupted(f"The log's entry {key} does not hold the data at {offset}.")
        return data

    async def erase(self, spans: Iterable[tuple[int, int, int]]) -> None:
        """Overwrite lines with blanks of equal length. Each is (sequence, offset, length); twice does no harm."""
        # The latest first: whatever a crash leaves of a resource is a beginning of its history, which can be replayed.
        for sequence, offset, length in sorted(spans, reverse=True):
            key = self._key(sequence)

            def blank(content: bytes, offset: int = offset, length: int = length) -> bytes:
                return content[:offset] + b" " * length + content[offset + length :]

            try:
                await self._objects.rewrite(key, blank)
            except ObjectMissing:
                raise DataCorrupted(f"The log has lost its entry {key}.") from None

    def locator(self, entry: Entry, offset: int, length: int) -> str:
        """Name bytes of an entry. Locators are relative to the prefix, so that a model's folder can be moved."""
        return f"{entry.key.removeprefix(self._prefix + '/')}:{offset}:{length}"

    def _key(self, sequence: int) -> str:
        folder, number = divmod(sequence, _PER_FOLDER)
        return f"{self._prefix}/log/{folder:06}/{number:06}.ndjson"


def parse_locator(locator: str) -> tuple[str, int, int]:
    """Take a locator apart: key, offset, length.

    Raises:
        DataCorrupted: it is none.
    """
    match = _LOCATOR.fullmatch(locator)
    if match is None:
        raise DataCorrupted(f"{locator!r} is not a locator.")
    return match["key"], int(match["offset"]), int(match["length"])


def _parse(key: str, sequence: int, content: bytes) -> Entry:
    first, _, _ = content.partition(b"\n")
    try:
        header = json.loads(first)
        if header["autocrud"] != FORMAT or header["sequence"] != sequence:
            raise DataCorrupted(f"{key} is not entry {sequence} of a log of format {FORMAT}.")
        tail = Tail(sequence, str(header["nonce"]))
        sizes = [(int(length), int(crc)) for length, crc in header["records"]]
        previous = str(header["previous"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataCorrupted(f"{key} does not begin with the header of a log entry.") from error
    lines: list[tuple[int, bytes | None]] = []
    offset = len(first) + 1
    for length, crc in sizes:
        line = content[offset : offset + length]
        if zlib.crc32(line) == crc and len(line) == length:
            lines.append((offset, line))
        elif len(line) == length and not line.strip(b" "):
            lines.append((offset, None))
        else:
            raise DataCorrupted(f"{key} is damaged at byte {offset}.")
        offset += length + 1
    return Entry(key, tail, previous, lines, content)
