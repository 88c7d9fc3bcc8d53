"""UndoLog: reverts an atomic batch that is refused, at a cost that depends on the batch alone."""

from collections.abc import Callable
from copy import copy
from functools import partial
from typing import Any

_ABSENT = object()


class UndoLog:
    """Records how to revert each change of a batch.

    Args:
        is_enabled: False if the batch is not atomic, so that no change is ever reverted.
    """

    def __init__(self, is_enabled: bool) -> None:
        self._is_enabled = is_enabled
        self._steps: list[Callable[[], object]] = []

    def save(self, table: dict[Any, Any], key: Any) -> None:
        """Record an entry of a table before it changes. A list or a dict may change in place."""
        if self._is_enabled:
            value = table.get(key, _ABSENT)
            self._steps.append(partial(_put_back, table, key, copy(value) if type(value) in (list, dict) else value))

    def add(self, step: Callable[[], object]) -> None:
        """Record a call that reverts a change."""
        if self._is_enabled:
            self._steps.append(step)

    def revert(self) -> None:
        """Revert all changes, last change first."""
        while self._steps:
            self._steps.pop()()


def _put_back(table: dict[Any, Any], key: Any, value: Any) -> None:
    if value is _ABSENT:
        table.pop(key, None)
    else:
        table[key] = value
