"""Processes that are forked in milliseconds, because their parent has imported all modules."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.faults.bank.setups", "tests.faults.cascade", "tests.faults.reference_race", "tests.faults.writer"]
)

Main = Callable[..., Coroutine[Any, Any, None]]


class ForkedProcess:
    """Process that runs a coroutine, and whose standard output is read here.

    Args:
        main: function of a module.
    """

    def __init__(self, main: Main, *arguments: object) -> None:
        reader, writer = FORKS.Pipe(duplex=False)
        self._process = FORKS.Process(target=_run, args=(writer, main, arguments))
        self._process.start()
        writer.close()
        self._output = os.fdopen(os.dup(reader.fileno()))
        reader.close()

    @property
    def is_running(self) -> bool:
        """True until the process ends."""
        return self._process.is_alive()

    def wait(self, seconds: float) -> None:
        """Return when the process ends, or after this time."""
        self._process.join(seconds)

    def read_line(self) -> str:
        """Return the next line of the output."""
        return self._output.readline()

    def kill(self) -> list[str]:
        """Kill the process by SIGKILL. Return the remaining lines of its output; the last may be cut off."""
        self._process.kill()
        with self._output:
            rest = list(self._output)
        self._process.join()
        return rest


def _run(output: Connection, main: Main, arguments: tuple[object, ...]) -> None:
    os.dup2(output.fileno(), 1)
    output.close()
    asyncio.run(main(*arguments))
