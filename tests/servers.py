"""Service processes for tests, started as `make run` does, on a free port, and killed at the end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from autocrud.testing.servers import free_port

ROOT = Path(__file__).parent.parent


@dataclass
class Service:
    """A running service."""

    process: "subprocess.Popen[str]"
    base: str
    log: Path

    def wait(self) -> None:
        """Return when the service answers."""
        await_answer(f"{self.base}/readyz", self.process, self.log)

    def stop(self) -> int:
        """Stop the service with SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def environment(settings: dict[str, object]) -> dict[str, str]:
    """Return this process's environment with these settings of the service, and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AUTOCRUD_", "AWS_"))}
    return kept | {f"AUTOCRUD_{name.upper()}": str(value) for name, value in settings.items()}


@contextmanager
def service(directory: Path, *, wait: bool = True, **settings: object) -> Iterator[Service]:
    """Run `python -m app` in a folder and wait until it answers. Kill it at the end."""
    port, log = free_port(), directory / "service.log"
    variables = environment({"data_dir": directory / "data", "port": port, **settings}) | {"PYTHONPATH": str(ROOT)}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app"], cwd=directory, env=variables, stdout=output, stderr=output, text=True,
            start_new_session=True,
        )  # fmt: skip
    try:
        started = Service(process, f"http://127.0.0.1:{port}", log)
        if wait:
            started.wait()
        yield started
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


@contextmanager
def running_stack(data: Path, directory: Path, *options: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run the stack as `make stack` does and wait until it answers. Kill it at the end."""
    port, log = free_port(), directory / "stack.log"
    ports = ("--postgres-port", str(free_port()), "--s3-port", str(free_port()))
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "autocrud.testing.local_stack", "--directory", str(data), *ports, *options],
            cwd=directory, env=environment({"port": port}) | {"PYTHONPATH": str(ROOT)}, stdout=output, stderr=output,
            text=True, start_new_session=True,
        )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}"
        await_answer(f"{base}/readyz", process, log)
        yield base, process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


@contextmanager
def answering(
    command: list[str], directory: Path, variables: dict[str, str], *, port: int | None = None
) -> Iterator[str]:
    """Run a serving command with exactly this environment. Yield its base URL.

    Args:
        port: port of the command; a free one if None, which the environment names.
    """
    port, log = port or free_port(), directory / "service.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=variables | {"AUTOCRUD_PORT": str(port)}, stdout=output, stderr=output,
            text=True, start_new_session=True,
        )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}"
        await_answer(f"{base}/readyz", process, log)
        yield base
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)


def start_fails(directory: Path, **settings: object) -> tuple[int, str]:
    """Start a service that must refuse. Return exit status and output."""
    variables = environment({"data_dir": directory / "data", **settings}) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "app"], cwd=directory, env=variables, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def await_answer(url: str, process: "subprocess.Popen[Any]", log: Path) -> None:
    """Return when a server answers a GET, and its start is finished (not 503).

    Raises:
        RuntimeError: the process ended.
    """
    # The transport's own repetitions would wait for 1, 2 and 4 seconds more.
    with httpx.Client(verify=False) as http:
        while True:
            with suppress(httpx.TransportError):
                if http.get(url).status_code != 503:
                    return
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
                raise RuntimeError(f"the service ended: {log.read_text()}")
