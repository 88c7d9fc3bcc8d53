"""TimeSlice: bounds the computation between two turns of the event loop (invariant 10)."""

import asyncio
from collections.abc import Generator
from time import monotonic
from typing import TypeVar

R = TypeVar("R")

# A computation that yields after each item, and returns its result.
Steps = Generator[None, None, R]

_SLICE_S = 0.002


class TimeSlice:
    """Time that a computation may take before other tasks have their turn."""

    def __init__(self) -> None:
        self._end = monotonic() + _SLICE_S

    @property
    def is_over(self) -> bool:
        """True if other tasks should have their turn."""
        return monotonic() > self._end

    async def check(self) -> None:
        """Give other tasks a turn if the time is over."""
        if self.is_over:
            await self.end()

    async def end(self) -> None:
        """Give other tasks a turn."""
        await asyncio.sleep(0)
        self._end = monotonic() + _SLICE_S


async def run_in_slices(steps: Steps[R]) -> R:
    """Run a computation, with turns of the event loop between its steps. A cancelled call finishes it first."""
    time_slice = TimeSlice()
    while True:
        try:
            next(steps)
        except StopIteration as result:
            return result.value  # type: ignore[no-any-return]  # the generator's type says that it is an R
        if time_slice.is_over:
            try:
                await time_slice.end()
            except asyncio.CancelledError:
                run_to_end(steps)
                raise


def run_to_end(steps: Steps[R]) -> R:
    """Run a computation without a pause."""
    while True:
        try:
            next(steps)
        except StopIteration as result:
            return result.value  # type: ignore[no-any-return]  # the generator's type says that it is an R
