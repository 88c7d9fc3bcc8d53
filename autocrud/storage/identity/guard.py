"""Guard of a store: compares the store with what the process remembers, and refuses requests after a damage."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from autocrud.errors import DataCorrupted, StorageUnavailable

logger = logging.getLogger(__name__)

COMPARE_INTERVAL_S = 60.0
_DAMAGED_INTERVAL_S = 1.0  # between two comparisons of a damaged store, which may be intact again

Compare = Callable[[], Awaitable[None]]


class StoreGuard:
    """Finds damage from outside: an exchanged or deleted bucket or folder, a log that was set back, a foreign entry.

    The guard writes one line to the process's log per damage. When a comparison succeeds again, requests are accepted.

    Args:
        name: name of the store, for messages.
        compare: compares the store with what the process remembers. Raises `DataCorrupted` if they differ, and
            `StorageUnavailable` if the store does not answer, which proves nothing.
        interval: seconds between two comparisons.
    """

    def __init__(self, name: str, compare: Compare, *, interval: float = COMPARE_INTERVAL_S) -> None:
        self._name = name
        self._compare = compare
        self._interval = interval
        self._damage = ""
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to compare in the background. The start of the process has compared once."""
        self._damage = ""
        self._task = asyncio.create_task(self._run(), name="comparing the store")

    async def close(self) -> None:
        """Stop comparing. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def require_intact(self) -> None:
        """Refuse a request while the store is damaged.

        Raises:
            StorageUnavailable: the last comparison, or a request since, found a damage.
        """
        if self._damage:
            raise StorageUnavailable(self._damage)

    def refuse(self, error: DataCorrupted) -> StorageUnavailable:
        """Refuse all requests from now on, because one has found a damage. Return the error for that request."""
        damage = str(error)
        if not self._damage:
            logger.error("The store (%s) is damaged, and refuses requests: %s", self._name, damage)
        self._damage = damage
        return StorageUnavailable(damage)

    async def check(self) -> None:
        """Compare now.

        Raises:
            StorageUnavailable: the store does not answer, or is damaged. The message names the object and the remedy.
        """
        damage = self._damage
        try:
            await self._compare()
        except DataCorrupted as error:
            raise self.refuse(error) from error
        # A damage that a request has found meanwhile may be newer than the comparison.
        if damage and self._damage == damage:
            logger.warning("The store (%s) is intact again, and accepts requests", self._name)
            self._damage = ""

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(self._interval, _DAMAGED_INTERVAL_S) if self._damage else self._interval)
            with suppress(StorageUnavailable):
                await self.check()
