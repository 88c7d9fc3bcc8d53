"""Requests per second of the service, as ratios to bare FastAPI routes, all in one run.

Each server is one uvicorn worker on one core, wrk is on the other: `make bench`. Needs wrk (Debian: wrk).
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

BODY = {"name": "a bolt", "price": 0.25, "quantity": 1200, "in_stock": True}
LISTED = 20_000
ROOT = Path(__file__).parent.parent


@contextmanager
def server(application: str, settings: dict[str, str], factory: bool) -> Iterator[str]:
    """One uvicorn worker on core 0; its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["taskset", "-c", "0", sys.executable, "-m", "uvicorn", application, "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning", *(["--factory"] if factory else [])]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=ROOT, stdout=log, stderr=log)
        try:
            base = f"http://127.0.0.1:{port}"
            _await(base, process)
            yield base
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _await(base: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(base + "/openapi.json")
        except httpx.TransportError:
            continue
        return
    raise RuntimeError("the server did not start")


def wrk(url: str, seconds: int, clients: int, script: str | None = None) -> tuple[float, str]:
    """Requests per second, and wrk's latency line."""
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            command += ["-s", file.name]
        output = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output:
        raise RuntimeError(output)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])  # type: ignore[index]
    tail = re.search(r"99%\s+(\S+)", output)[1]  # type: ignore[index]
    return rate, tail


POST = f"""
wrk.method = "POST"
wrk.body = '{json.dumps(BODY)}'
wrk.headers["Content-Type"] = "application/json"
"""


def fill(base: str) -> str:
    """Create until there are enough to list; the id of one of them."""
    wrk(base + "/item", 1, 32, POST)
    while httpx.get(base + "/item/count").json()["count"] < LISTED:
        wrk(base + "/item", 2, 64, POST)
    page: dict[str, list[dict[str, dict[str, str]]]] = httpx.get(base + "/item", params={"limit": 1}).json()
    return page["items"][0]["meta"]["resource_id"]


def main() -> None:
    """Measure everything once, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, help="for each figure")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--access-log", default="true", choices=["true", "false"])
    options = parser.parse_args()
    seconds, clients = options.seconds, options.clients
    rows: dict[str, tuple[float, str]] = {}
    with server("benchmarks.baseline:app", {}, False) as base:
        wrk(base + "/constant", 1, clients)
        rows["constant"] = wrk(base + "/constant", seconds, clients)
        rows["echo"] = wrk(base + "/echo", seconds, clients, POST)
    for storage in ("disk", "memory"):
        directory = tempfile.mkdtemp(dir=ROOT, prefix=".bench-")
        settings = {
            "AUTOCRUD_STORAGE": storage,
            "AUTOCRUD_DATA_DIR": directory,
            "AUTOCRUD_MODELS": "benchmarks.models",
            "AUTOCRUD_ACCESS_LOG": options.access_log,
        }
        try:
            with server("app.main:create_app", settings, True) as base:
                identity = fill(base)
                rows[f"{storage}: read"] = wrk(f"{base}/item/{identity}", seconds, clients)
                rows[f"{storage}: list 20"] = wrk(f"{base}/item?limit=20", seconds, clients)
                rows[f"{storage}: create"] = wrk(base + "/item", seconds, clients, POST)
        finally:
            shutil.rmtree(directory)
    print(f"{'':16}{'req/s':>9}{'p99':>10}{'ratio':>8}")
    for name, (rate, tail) in rows.items():
        against = "echo" if name.endswith(("create", "echo")) else "constant"
        print(f"{name:16}{rate:9.0f}{tail:>10}{rate / rows[against][0]:8.2f}  of {against}")


if __name__ == "__main__":
    main()
