"""Time limit of a synchronous call: ends a user's function that does not return."""

import ctypes
import threading
import time
from collections.abc import Callable
from math import ceil
from typing import Any

_POLL_SECONDS = 0.1


class TimeUp(BaseException):
    """The call took too long. Not an `Exception`, so that the called function does not swallow it."""


class _Call:
    """A call that a thread makes at the moment.

    Attributes:
        polls: number of polls of the watchdog until the time is over. A clock would go on while the process is paused,
            and a call would be ended that took no time at all.
    """

    def __init__(self, seconds: float) -> None:
        self.polls = 1 + ceil(seconds / _POLL_SECONDS)  # the first poll may come at once
        self._thread_id = ctypes.c_ulong(threading.get_ident())
        self._lock = threading.Lock()
        self._is_over = False

    def interrupt(self) -> None:
        """Raise `TimeUp` in the thread of the call, unless the call is over."""
        with self._lock:
            if not self._is_over:
                # Python has no other way to end a call that loops.
                ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread_id, ctypes.py_object(TimeUp))

    def end(self, *, is_interrupted: bool) -> None:
        """Mark the call as over, and take back an interrupt that has not arrived."""
        with self._lock:
            self._is_over = True
            if is_interrupted:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread_id, None)


class _Watchdog:
    """A thread that interrupts calls whose time is over. It sleeps while there is no call."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._has_calls = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, call: _Call) -> None:
        """Watch a call."""
        self._calls[id(call)] = call
        self._has_calls.set()
        if self._thread is None or not self._thread.is_alive():  # a fork leaves threads behind
            self._thread = threading.Thread(target=self._run, name="autocrud-step-limit", daemon=True)
            self._thread.start()

    def remove(self, call: _Call) -> bool:
        """Stop watching a call. Return True if the call was interrupted."""
        return self._calls.pop(id(call), None) is None

    def _run(self) -> None:
        while self._has_calls.wait():
            time.sleep(_POLL_SECONDS)
            for key, call in list(self._calls.items()):
                call.polls -= 1
                # Taken out first, so that no call is interrupted twice.
                if call.polls <= 0 and self._calls.pop(key, None) is not None:
                    call.interrupt()
            self._has_calls.clear()
            if self._calls:
                self._has_calls.set()


_WATCHDOG = _Watchdog()


def call_with_limit(function: Callable[..., Any], *arguments: Any, seconds: float) -> Any:
    """Return the result of a call.

    Raises:
        TimeUp: the call did not return in time.
    """
    call = _Call(seconds)
    _WATCHDOG.add(call)
    try:
        return function(*arguments)
    finally:
        call.end(is_interrupted=_WATCHDOG.remove(call))
