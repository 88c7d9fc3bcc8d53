"""Counters of a rate limit in memory."""

import time

from limits.aio.storage import MemoryStorage

_SWEEP_S = 10.0


class MemoryCounters(MemoryStorage):
    """Counters in memory that are swept every ten seconds.

    `MemoryStorage` of limits 5.8 walks all counters at each request, so that many clients would slow down each other.
    """

    STORAGE_SCHEME = ["async+autocrud-memory"]  # noqa: RUF012  # limits declares it this way

    def __init__(self) -> None:
        super().__init__()
        self._next_sweep = 0.0

    async def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add to a counter, and return it."""
        now = time.time()
        if now >= self._next_sweep:
            self._sweep(now)
        if self.expirations.get(key, 0.0) <= now:
            self.storage[key] = 0
            self.expirations[key] = now + expiry
        self.storage[key] += amount
        return self.storage[key]

    def _sweep(self, now: float) -> None:
        self._next_sweep = now + _SWEEP_S
        for key in [key for key, expiry in self.expirations.items() if expiry <= now]:
            del self.storage[key], self.expirations[key]
