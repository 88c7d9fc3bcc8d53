"""Difference of two JSON documents as a JSON Patch, computed in a thread of its own with a limit of time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jsonpatch import make_patch

from autocrud.errors import DifferenceTooLarge
from autocrud.schema.versions.time_limit import TimeUp, call_with_limit

DIFFERENCE_SECONDS = 2.0
_SMALL_BYTES = 8 * 1024
# One thread, so that many requests for large differences wait for each other, and not for other work of the process.
_EXECUTOR = ThreadPoolExecutor(max_workers=1, thread_name_prefix="autocrud-difference")


def difference(before: Any, after: Any) -> list[dict[str, Any]]:
    """Return a JSON Patch that turns one document into another."""
    operations: list[dict[str, Any]] = make_patch(before, after).patch
    return operations


async def bounded_difference(before: Any, after: Any, size: int) -> list[dict[str, Any]]:
    """Return the difference of two documents. Large documents are compared off the event loop.

    Args:
        size: length of both documents as JSON.

    Raises:
        DifferenceTooLarge: the comparison takes too long. Its time can grow with the square of the changes.
    """
    if size <= _SMALL_BYTES:
        return difference(before, after)
    return await asyncio.get_running_loop().run_in_executor(_EXECUTOR, _difference_in_time, before, after)


def _difference_in_time(before: Any, after: Any) -> list[dict[str, Any]]:
    try:
        operations: list[dict[str, Any]] = call_with_limit(difference, before, after, seconds=DIFFERENCE_SECONDS)
    except TimeUp:
        raise DifferenceTooLarge from None
    return operations
