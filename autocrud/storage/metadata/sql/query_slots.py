"""Slots of queries, so that expensive queries leave connections to reads by id, writes and health checks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from autocrud.errors import Overloaded
from autocrud.query.conditions import Matches, Query, Term, leaves
from autocrud.query.operators import Operator

QUERY_WAIT_S = 5.0
# Operators that read every row that the other conditions leave, because no index of values serves them.
_PATTERNS = frozenset({Operator.contains, Operator.icontains, Operator.ends_with, Operator.regex})


class QuerySlots:
    """A number of queries that may run at a time. Further ones wait a limited time.

    Args:
        size: number of slots, at least one.
        wait: seconds that a query waits for a slot.
    """

    def __init__(self, size: int, wait: float = QUERY_WAIT_S) -> None:
        self.size = size
        self._wait = wait
        self._semaphore = asyncio.Semaphore(size)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Hold a slot for the duration of the context.

        Raises:
            Overloaded: no slot became free within the time.
        """
        await self._acquire()
        try:
            yield
        finally:
            self._semaphore.release()

    async def _acquire(self) -> None:
        if not self._semaphore.locked():
            await self._semaphore.acquire()  # returns at once, and needs no timer
            return
        try:
            async with asyncio.timeout(self._wait):
                await self._semaphore.acquire()
        except TimeoutError as error:
            message = (
                f"{self.size} queries of this kind are running, and none ended within {self._wait:g} s; try again."
            )
            raise Overloaded(message) from error


def is_expensive(query: Query) -> bool:
    """Return True if the query searches text or matches patterns, so that its time grows with the model."""
    for leaf in leaves(query.where):
        if isinstance(leaf, Matches):
            return True
        if isinstance(leaf, Term) and leaf.operator in _PATTERNS and not leaf.field.is_list:
            return True
    return False


def is_expensive_count(query: Query) -> bool:
    """Return True if a count reads a number of rows that nothing bounds."""
    return query.count_limit is None or is_expensive(query)
