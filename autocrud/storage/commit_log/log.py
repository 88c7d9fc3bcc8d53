"""The log: a sequence of entries, each created if absent. Creating an entry is the commit point (invariant 2).

An entry is an NDJSON object: a header line, then one line per record. The header tells who wrote it and after which
entry, and each line's length and CRC-32, so that a foreign entry and a damaged line are seen. What was erased is blank:
a whole line, or the data at the end of one, which is why a line with data has a second CRC, of what stands before it.
"""

import asyncio
import json
import logging
import random
import zlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from typing import Any
from uuid import uuid4

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.commit_log.locator import blank, read_located
from autocrud.storage.commit_log.records.header import MAX_ENTRY_BYTES
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, PutUndecided

logger = logging.getLogger(__name__)

FORMAT = 1
_ENTRIES_PER_FOLDER = 1_000_000
_FIRST_READ_BYTES = 1024 * 1024
_READ_AHEAD = 16  # entries
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 2.0  # seconds between two attempts at an undecided slot
_SLOW_PUT_S = 0.2  # seconds after which a put is slow


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
    """An entry of the log. `lines` are its records with their offsets in the object; a purged record is None."""

    key: str
    tail: Tail
    previous: str
    lines: list[tuple[int, bytes | None]]
    content: bytes


class Log:
    """The log of one store.

    Args:
        objects: where the entries go.
        prefix: folder of the log, without a trailing slash; "" if the log has the object store to itself.
    """

    def __init__(self, objects: ObjectStore, prefix: str = "") -> None:
        self._objects = objects
        self._prefix = prefix
        self._writer = uuid4().hex
        self.has_blocking_exists = objects.blocking_exists is not None

    def entry(self, after: Tail, records: Sequence[bytes], data: Sequence[int] = ()) -> Entry:
        """Lay out the entry that would follow; nothing is stored yet.

        Args:
            data: where in each record its data begins, which may be erased by itself; 0 where there is none.
        """
        tail = Tail(after.sequence + 1, uuid4().hex)
        header = json.dumps(
            {
                "autocrud": FORMAT,
                "writer": self._writer,
                "nonce": tail.nonce,
                "sequence": tail.sequence,
                "previous": after.nonce,
                "records": [_checksums(line, start) for line, start in zip_longest(records, data, fillvalue=0)],
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

        An answer that never came decides nothing, and the entry may land at any time: the same bytes go to the same
        key until they, or somebody else's, are known to stand there.

        Raises:
            SlotTaken: another entry of this sequence number exists, and this one never will.
            StorageUnavailable: it has not been created and will not be; or, where a put cannot land late, a look at
                the log tells whether it was.
        """
        is_undecided, delay = False, _FIRST_DELAY_S
        while True:
            try:
                return await self._create(entry)
            except PutUndecided as error:
                if not is_undecided:
                    logger.warning("%s is undecided, and is tried again until it is: %s", entry.key, error)
                is_undecided = True
            except StorageUnavailable:
                if not is_undecided:
                    raise
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, _LONGEST_DELAY_S)

    async def _create(self, entry: Entry) -> None:
        try:
            await (self._put(entry) if self.has_blocking_exists else self._put_or_read(entry))
        except ObjectExists:
            try:
                existing = await self.read(entry.tail.sequence)
            except StorageUnavailable as error:
                raise PutUndecided(f"{entry.key} is there, and cannot be read: {error}") from error
            if existing is None:
                raise PutUndecided(f"{entry.key} is taken, and not there yet.") from None
            if existing.tail.nonce != entry.tail.nonce:
                raise SlotTaken(entry.key) from None

    async def _put(self, entry: Entry) -> None:
        await self._objects.put(entry.key, entry.content, if_absent=True)

    async def _put_or_read(self, entry: Entry) -> None:
        """Put, and where the answer takes its time, look what stands there: that decides as well as an answer.

        SeaweedFS lets the losers of a race wait for seconds, and a stalled connection may never answer.
        """
        put, delay = asyncio.ensure_future(self._put(entry)), _SLOW_PUT_S
        try:
            while True:
                done, _ = await asyncio.wait([put], timeout=delay)
                if done:
                    return put.result()
                with suppress(StorageUnavailable):
                    if await self.read(entry.tail.sequence) is not None:
                        raise ObjectExists(entry.key)
                delay = min(delay * 2, _LONGEST_DELAY_S)
        finally:
            put.cancel()

    def blocking_exists(self, sequence: int) -> bool | None:
        """Return True if the log has this sequence number, or None if the store can only be asked asynchronously."""
        exists = self._objects.blocking_exists
        return None if exists is None else exists(self._key(sequence))

    async def read(self, sequence: int) -> Entry | None:
        """The entry of this sequence number, checked; None where the log ends before it.

        Raises:
            DataCorrupted: it is not an entry of this log, or a line of it is damaged.
        """
        key = self._key(sequence)
        try:
            content = await self._objects.get(key, 0, _FIRST_READ_BYTES)
            if len(content) == _FIRST_READ_BYTES and await self._objects.size(key) <= MAX_ENTRY_BYTES:
                content += await self._objects.get(key, len(content))
        except ObjectMissing:
            return None
        try:
            return _parse(key, sequence, content)
        except DataCorrupted as error:
            raise DataCorrupted(
                f"{error} The log cannot go on behind entry {sequence - 1}. Restore the object {key}; remove it if"
                " this store never wrote it."
            ) from error

    async def entries(self, after: int) -> AsyncIterator[list[Entry]]:
        """The entries behind a sequence number, some at a time, read ahead the more of them there are."""
        read_ahead = 1
        while True:
            found = await asyncio.gather(*(self.read(after + 1 + number) for number in range(read_ahead)))
            entries = list(takewhile(lambda entry: entry is not None, found))
            if entries:
                yield [entry for entry in entries if entry is not None]
            if len(entries) < read_ahead:
                return
            after, read_ahead = after + read_ahead, min(read_ahead * 2, _READ_AHEAD)

    async def data(self, locator: str) -> bytes:
        """The bytes that a locator names.

        Raises:
            DataCorrupted: they are not there.
        """
        return await read_located(self._objects, self._prefix, locator)

    async def erase(self, spans: Iterable[tuple[int, int, int]]) -> None:
        """Overwrite lines with blanks of equal length. Each is (sequence, offset, length); twice does no harm."""
        # The latest first: whatever a crash leaves of a resource is a beginning of its history, which can be replayed.
        spans_of: dict[int, list[tuple[int, int]]] = {}
        for sequence, offset, length in spans:
            spans_of.setdefault(sequence, []).append((offset, length))
        for sequence in sorted(spans_of, reverse=True):
            await blank(self._objects, self._key(sequence), spans_of[sequence])

    def locator(self, entry: Entry, offset: int, length: int) -> str:
        """Name bytes of an entry. Locators are relative to the prefix, so that the folder can be moved."""
        key = entry.key.removeprefix(f"{self._prefix}/") if self._prefix else entry.key
        return f"{key}:{offset}:{length}"

    def _key(self, sequence: int) -> str:
        folder, number = divmod(sequence, _ENTRIES_PER_FOLDER)
        key = f"log/{folder:06}/{number:06}.ndjson"
        return f"{self._prefix}/{key}" if self._prefix else key


def _checksums(line: Any, start: int) -> list[int]:
    """Return the header's checks of a line: length and CRC of the line and of the part before its data."""
    if not start:
        return [len(line), zlib.crc32(line)]
    before = zlib.crc32(line[:start])
    return [len(line), zlib.crc32(line[start:], before), start, before]


def _parse(key: str, sequence: int, content: bytes) -> Entry:
    first, _, _ = content.partition(b"\n")
    try:
        header = json.loads(first)
        if header["autocrud"] != FORMAT or header["sequence"] != sequence:
            raise DataCorrupted(f"{key} is not entry {sequence} of a log of format {FORMAT}.")
        tail = Tail(sequence, str(header["nonce"]))
        checksums = [[int(number) for number in numbers] for numbers in header["records"]]
        previous = str(header["previous"])
        lines: list[tuple[int, bytes | None]] = []
        offset = len(first) + 1
        for length, *checks in checksums:
            line = content[offset : offset + length]
            if len(line) != length or not _is_intact(line, *checks):
                raise DataCorrupted(f"{key} is damaged at byte {offset}.")
            lines.append((offset, None if line.isspace() else line))
            offset += length + 1
    except (ValueError, KeyError, TypeError) as error:
        raise DataCorrupted(f"{key} does not begin with the header of a log entry.") from error
    return Entry(key, tail, previous, lines, content)


def _is_intact(line: bytes, crc: int, start: int = 0, crc_before: int = 0) -> bool:
    """Return True if a line equals the written line, apart from erased bytes."""
    if zlib.crc32(line) == crc or not line.strip(b" "):
        return True
    return bool(start) and zlib.crc32(line[:start]) == crc_before and not line[start:].removesuffix(b"}").strip(b" ")
