"""Mover: moves the records of committed batches into the bucket. The processes of a store take turns."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from autocrud.errors import DataCorrupted, StorageUnavailable
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.commit_log.port import SlotTaken
from autocrud.storage.commit_log.records.entry import Entry, decode_entry
from autocrud.storage.identity.store_identity import check_store_id
from autocrud.storage.metadata.postgres.log.comparison import describe_other_entry
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.ports.objects import ObjectStore

logger = logging.getLogger(__name__)

_Row = Sequence[Any]  # sequence number and content of a batch

_PAUSE_S = 0.2  # seconds between two looks
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 5.0  # seconds between two attempts while the bucket is away
_TURN_BATCHES = 16
# Puts at once. One put at a time holds up the commits of this process least (measured: rate and p99). A mover that
# falls behind puts more at once, because a distant server answers slowly.
_MOST_PUTS = 16
_TURN_BYTES = 16 * 1024 * 1024
_CLOSE_SECONDS = 10.0


class Mover:
    """Moves batches in the order of their sequence numbers, until no row has records.

    Args:
        limit: bytes of batches that are not moved, beyond which `check_backlog` refuses writes.
        refuse: makes the store refuse writes, because its bucket is damaged.
    """

    def __init__(
        self, store: SharedStore, objects: ObjectStore, limit: int, refuse: Callable[[DataCorrupted], Exception]
    ) -> None:
        self._refuse = refuse
        self._store = store
        self._objects = objects
        self._limit = limit
        self._store_id = ""
        self._log = ObjectLog(objects, None)
        self._backlog = 0
        self._last_moved = 0  # last sequence number of a batch that is known to be moved
        self._puts_at_once = 1
        self._task: asyncio.Task[None] | None = None
        self._wake_up = asyncio.Event()
        self._progress = asyncio.Condition()

    async def open(self, store_id: str) -> None:
        """Begin to move batches in the background."""
        self._store_id = store_id
        await self._measure()
        self._task = asyncio.create_task(self._run(), name="moving batches")

    async def close(self) -> None:
        """Move what is left, within a limited time. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                while await self._move_some():
                    pass
        except (StorageUnavailable, DataCorrupted, TimeoutError) as error:
            logger.warning("Batches stay in PostgreSQL until the next start: %r", error)

    def add(self, size: int) -> None:
        """Count a committed batch of this size in bytes."""
        self._backlog += size

    def check_backlog(self) -> None:
        """Refuse writes while too much waits for the bucket.

        Raises:
            StorageUnavailable: the batches that are not moved have more bytes than the limit.
        """
        if self._backlog > self._limit:
            raise StorageUnavailable(
                f"Batches of {self._backlog} bytes wait to be moved into the bucket, and the limit is {self._limit}."
            )

    async def wait_for(self, sequence: int) -> None:
        """Return when the batch with this sequence number is in the bucket."""
        async with self._progress:
            self._wake_up.set()
            await self._progress.wait_for(lambda: self._last_moved >= sequence)

    async def _run(self) -> None:
        delay = _FIRST_DELAY_S
        while True:
            try:
                self._wake_up.clear()
                while await self._move_some():
                    pass
                await self._measure()
                delay = _FIRST_DELAY_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_S):
                        await self._wake_up.wait()
                continue
            except StorageUnavailable as error:
                logger.warning("Batches wait to be moved: %s", error)
            except DataCorrupted as error:
                self._refuse(error)
            except Exception:  # the task's boundary: writes go on until the limit of the backlog
                logger.exception("Batches cannot be moved")
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)
            with suppress(StorageUnavailable):
                await self._measure()

    async def _measure(self) -> None:
        """Count what is not moved, by this process and by others."""
        backlog, first, last = (await self._store.pool.fetch(self._store.tables.backlog))[0]
        self._backlog = int(backlog)
        await self._report(last if first is None else first - 1)

    async def _report(self, sequence: int | None) -> None:
        if sequence is not None and sequence > self._last_moved:
            self._last_moved = sequence
            async with self._progress:
                self._progress.notify_all()

    async def _move_some(self) -> bool:
        """Move the next batches. Return True if the turn was full, so that more batches may wait.

        Batches that were committed meanwhile wait for the next turn: each turn costs some requests of its own.
        """
        tables = self._store.tables
        async with self._store.pool.connection() as connection, connection.transaction(isolation="read_committed"):
            if not await connection.fetchval(self._store.try_move_lock):
                return False
            await connection.execute(self._store.limit_move)
            rows = await connection.fetch(tables.batches_to_move, _TURN_BATCHES, _TURN_BYTES)
            if not rows:
                return False
            # Before, so that nothing is put into another store. Behind, so that a row is emptied only if the bucket
            # with its entry still exists.
            await check_store_id(self._objects, self._store_id)
            moved_rows, fault = await self._move_in_order(rows)
            await check_store_id(self._objects, self._store_id)
            await connection.execute(tables.empty_batches, [number for number, _ in moved_rows])
        self._backlog -= sum(len(content) for _, content in moved_rows)
        if moved_rows:
            await self._report(moved_rows[-1][0])
        if fault is not None:
            raise fault
        is_full = len(rows) == _TURN_BATCHES or sum(len(content) for _, content in rows) >= _TURN_BYTES
        self._puts_at_once = min(self._puts_at_once * 2, _MOST_PUTS) if is_full else 1
        return is_full

    async def _move_in_order(self, rows: Sequence[_Row]) -> tuple[Sequence[_Row], BaseException | None]:
        """Move batches, some at once. Return those before the first batch that failed, and its error.

        Those behind it are put again in the next turn, which has no effect.
        """
        for start in range(0, len(rows), self._puts_at_once):
            puts = map(self._move_batch, rows[start : start + self._puts_at_once])
            for number, result in enumerate(await asyncio.gather(*puts, return_exceptions=True), start):
                if result is not None:
                    return rows[:number], result
        return rows, None

    async def _move_batch(self, row: _Row) -> None:
        number, content = row
        await self._move(decode_entry(bytes(content), f"batch {number}", store=None, unit=number))

    async def _move(self, entry: Entry) -> None:
        try:
            await self._log.append(self._log.locate(entry))
        except SlotTaken as error:
            raise DataCorrupted(describe_other_entry(str(error))) from error
        # The put of a process that was frozen before bytes were erased may have come first.
        erased = [
            entry.line_locator(ordinal) if not span.has_metadata else entry.last_part_locator(ordinal)
            for ordinal, span in enumerate(entry.spans)
            if not (span.has_metadata and span.has_data)
        ]
        if erased:
            await self._log.erase(erased)
