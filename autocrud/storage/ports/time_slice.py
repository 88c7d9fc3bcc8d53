"""TimeSlice: bounds the computation between two turns of the event loop (invariant 10)."""

import asyncio
from time import monotonic

_SLICE_S = 0.005


class TimeSlice:
    """Time that a computation may take before other tasks have their turn."""

    def __init__(self) -> None:
        self._end = monotonic() + _SLICE_S

    async def check(self) -> None:
        """Give other tasks a turn if the time is over."""
        if monotonic() > self._end:
            await asyncio.sleep(0)
            self._end = monotonic() + _SLICE_S
