"""Limit of the time of one query. Engines cancel a query that takes longer."""

from contextvars import ContextVar
from time import monotonic

from autocrud.errors import QueryTooExpensive

QUERY_SECONDS = 5.0

# Seconds that each query of the current task may take; None without a limit, as for maintenance and library use.
query_seconds: ContextVar[float | None] = ContextVar("query_seconds", default=None)


class Deadline:
    """Time at which a query of the current task must end.

    Args:
        most: maximum number of seconds if the task has a limit, for an engine that computes in the event loop.
    """

    __slots__ = ("_end",)

    def __init__(self, most: float | None = None) -> None:
        seconds = query_seconds.get()
        if seconds is not None and most is not None:
            seconds = min(seconds, most)
        self._end = None if seconds is None else monotonic() + seconds

    def check(self) -> None:
        """End the query if its time is over.

        Raises:
            QueryTooExpensive: the query took too long.
        """
        if self._end is not None and monotonic() > self._end:
            raise QueryTooExpensive
