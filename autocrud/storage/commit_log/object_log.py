"""Commit log in an object store: one object per entry, created if absent. The conditional PUT is the commit point."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from itertools import takewhile

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.commit_log.port import CommitLog, SlotTaken
from autocrud.storage.commit_log.records.builder import EntryBuilder
from autocrud.storage.commit_log.records.entry import Entry, Lines, decode_entry
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, MAX_ENTRY_BYTES, PREFIX_BYTES, Tail, parse_length
from autocrud.storage.commit_log.records.locators import parse_locator, require_data, spans_by_unit
from autocrud.storage.identity.store_identity import check_store_id
from autocrud.storage.ports.objects import ObjectExists, ObjectMissing, ObjectStore, PutUndecided

logger = logging.getLogger(__name__)

_ENTRIES_PER_FOLDER = 1_000_000
_FIRST_READ_BYTES = 1024 * 1024
_HEADER_READ_BYTES = 64 * 1024
_READ_AHEAD = 16  # entries
_READ_AHEAD_BYTES = 16 * 1024 * 1024
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.05, 2.0  # seconds between two attempts at an undecided slot
_SLOW_PUT_S = 0.2  # seconds after which a put is slow


class ObjectLog(CommitLog):
    """The commit log of a store, as the objects `log/000000/000042.ndjson`.

    Args:
        objects: object store of the entries.
        store: id of the store; None to read the log of any store.
    """

    def __init__(self, objects: ObjectStore, store: str | None) -> None:
        self._objects = objects
        self._store = store
        self._builder = EntryBuilder(store)

    async def layout(self, lines: Lines, after: Tail) -> Entry:
        return self.place(lines, after)

    def place(self, lines: Lines, after: Tail) -> Entry:
        """Return the entry that would follow `after`, as `layout` does, on any thread."""
        return self.locate(self._builder.build(lines, after))

    def locate(self, entry: Entry) -> Entry:
        """Return an entry with the place that it has in this log."""
        return entry.place(self.key(entry.sequence), entry.sequence, 0)

    async def append(self, entry: Entry) -> None:
        """Create the object of an entry, and check meanwhile that the bucket holds the store. Then it is committed.

        Without the check, an entry could be acknowledged in a bucket that was deleted and created again, or exchanged.
        A bucket that is lost later is a later fault, so the check need not begin after the put.

        Raises:
            SlotTaken: another entry has the sequence number, and this entry will never be stored.
            DataCorrupted: an object that is no entry of this log has the key, or the bucket holds another store or
                none. Whether the entry was stored is unknown.
            StorageUnavailable: the entry was not stored, and will not be.
        """
        check = asyncio.ensure_future(self._check_store())
        try:
            await self.put(entry)
            await check
        finally:
            check.cancel()

    async def put(self, entry: Entry) -> None:
        """Create the object of an entry, whatever else the bucket has.

        A lost answer decides nothing, because the put may take effect later. The same bytes are put again until they,
        or another entry, are known to be stored.

        Raises:
            SlotTaken: another entry has the sequence number, and this entry will never be stored.
            DataCorrupted: an object that is no entry of this log has the key.
            StorageUnavailable: the entry was not stored, and will not be.
        """
        key = self.key(entry.sequence)
        is_undecided, delay = False, _FIRST_DELAY_S
        while True:
            try:
                return await self._create(key, entry)
            except PutUndecided as error:
                if not is_undecided:
                    logger.warning("The put of %s is undecided, and is repeated: %s", key, error)
                is_undecided = True
            except StorageUnavailable:
                if not is_undecided:
                    raise
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, _LONGEST_DELAY_S)

    async def check_entry(self, sequence: int, header_hash: str) -> None:
        """Check that the log has the entry with this sequence number and header.

        Raises:
            DataCorrupted: the entry is missing, or is another one.
        """
        key = self.key(sequence)
        try:
            header, end, _ = (await self._objects.get(key, 0, _HEADER_READ_BYTES)).partition(b"\n")
            if not end and len(header) == _HEADER_READ_BYTES:
                header += (await self._objects.get(key, len(header), MAX_ENTRY_BYTES)).partition(b"\n")[0]
        except ObjectMissing:
            state = "is missing"
        else:
            if sha256(header).hexdigest() == header_hash:
                return
            state = "is another entry than was applied"
        raise DataCorrupted(
            f"{key} {state}: the bucket was deleted, exchanged or set back. Restore its objects; to take the bucket as"
            " it is, restart with an empty index (cache folder, or PostgreSQL schema)."
        )

    async def read_entry(self, sequence: int) -> Entry | None:
        """Return the entry with this sequence number; None if it does not exist.

        A foreign object costs bounded memory, because the start of the object is read first.

        Raises:
            DataCorrupted: the object is not an entry of this log.
        """
        key = self.key(sequence)
        try:
            content = await self._objects.get(key, 0, _FIRST_READ_BYTES)
            length = parse_length(content[:PREFIX_BYTES])
            if length is not None and len(content) < length <= MAX_ENTRY_BYTES:
                content += await self._objects.get(key, len(content), length + 1)
        except ObjectMissing:
            return None
        try:
            entry = decode_entry(content, key, store=self._store, unit=sequence)
            if entry.sequence != sequence:
                raise DataCorrupted(f"{key} holds entry {entry.sequence}.")
        except DataCorrupted as error:
            raise DataCorrupted(
                f"{error} The log cannot go on behind entry {sequence - 1}. Restore the object {key}; remove it if"
                " this store never wrote it."
            ) from error
        return entry

    async def entries(self, after: Tail = EMPTY_TAIL) -> AsyncIterator[list[Entry]]:
        sequence, read_ahead = after.sequence, 1
        while True:
            found = await asyncio.gather(
                *(self.read_entry(sequence + 1 + number) for number in range(read_ahead)), return_exceptions=True
            )
            entries = [entry for entry in takewhile(lambda entry: isinstance(entry, Entry), found) if entry]
            if entries:
                yield [entry for entry in entries if isinstance(entry, Entry)]
            if len(entries) < read_ahead:
                # A fault behind the end of the log is no fault of the log.
                if isinstance(fault := found[len(entries)], BaseException):
                    raise fault
                return
            sequence += read_ahead
            read_ahead = min(read_ahead * 2, _READ_AHEAD, self._entries_within_limit(found))

    async def read(self, locator: str) -> bytes:
        unit, offset, length = parse_locator(locator)
        key = self.key(unit)
        try:
            data = await self._objects.get(key, offset, offset + length)
        except ObjectMissing:
            raise DataCorrupted(f"{key} is missing.") from None
        return require_data(data, length, key, offset)

    async def erase(self, locators: Iterable[str]) -> None:
        for unit, spans in spans_by_unit(locators).items():
            key = self.key(unit)
            try:
                await self._objects.rewrite(key, partial(_blank_spans, spans))
            except ObjectMissing:
                raise DataCorrupted(f"{key} is missing.") from None

    async def find_key_behind(self, sequence: int) -> str | None:
        """Return the key of an entry behind a sequence number. Behind the last entry, such a key proves a gap."""
        async for key in self._objects.keys("log/", self.key(sequence)):
            return key
        return None

    def key(self, sequence: int) -> str:
        """Return the key of an entry. Keys sort like their entries."""
        folder, number = divmod(sequence, _ENTRIES_PER_FOLDER)
        return f"log/{folder:06}/{number:06}.ndjson"

    async def _check_store(self) -> None:
        """Check that the bucket holds the store, however long the answer takes."""
        await asyncio.sleep(0)  # the put goes out first
        delay = _FIRST_DELAY_S
        while self._store is not None:
            with suppress(StorageUnavailable):
                await check_store_id(self._objects, self._store)
                return
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, _LONGEST_DELAY_S)

    async def _create(self, key: str, entry: Entry) -> None:
        try:
            await self._put_or_read(key, entry)
        except ObjectExists:
            try:
                existing = await self.read_entry(entry.sequence)
            except StorageUnavailable as error:
                raise PutUndecided(f"{key} exists, and cannot be read: {error}") from error
            if existing is None:
                raise PutUndecided(f"{key} exists, and cannot be read yet.") from None
            if existing.nonce != entry.nonce:
                raise SlotTaken(key) from None

    async def _put_or_read(self, key: str, entry: Entry) -> None:
        """Put an entry. While the put is slow, look if the key exists, which decides as well as an answer.

        SeaweedFS lets the losers of a race wait for seconds, and a stalled connection may never answer.
        """
        put = asyncio.ensure_future(self._objects.put(key, entry.content, if_absent=True))
        delay = _SLOW_PUT_S
        try:
            while True:
                done, _ = await asyncio.wait([put], timeout=delay)
                if done:
                    return put.result()
                with suppress(StorageUnavailable):
                    if await self.read_entry(entry.sequence) is not None:
                        raise ObjectExists(key)
                delay = min(delay * 2, _LONGEST_DELAY_S)
        finally:
            put.cancel()

    @staticmethod
    def _entries_within_limit(found: Sequence[Entry | BaseException | None]) -> int:
        longest = max(len(entry.content) for entry in found if isinstance(entry, Entry))
        return max(1, _READ_AHEAD_BYTES // longest)


def _blank_spans(spans: Sequence[tuple[int, int]], content: bytes) -> bytes:
    blanked = bytearray(content)
    for offset, length in spans:
        end = min(offset + length, len(content))
        blanked[offset:end] = b" " * (end - offset)
    return bytes(blanked)
