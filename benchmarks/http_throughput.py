"""Benchmark of requests per second, as ratios to bare FastAPI routes measured in the same run.

Each server is one uvicorn worker on one core, wrk is on the other: `make bench`. Needs wrk (Debian: wrk).
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import httpx

BODY = {"name": "a bolt", "price": 0.25, "quantity": 1200, "in_stock": True}
LISTED = 20_000
QUANTITIES = 80
ROOT = Path(__file__).parent.parent


class Served(str):
    """Base URL and the process that serves it."""

    __slots__ = ("pid",)
    pid: int


@contextmanager
def server(application: str, settings: dict[str, str], factory: bool) -> Iterator[Served]:
    """Run one uvicorn worker on core 0. Yield its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["taskset", "-c", "0", sys.executable, "-m", "uvicorn", application, "--port", str(port)]
    command += ["--no-access-log", "--log-level", "warning", *(["--factory"] if factory else [])]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=ROOT, stdout=log, stderr=log)
        try:
            base = Served(f"http://127.0.0.1:{port}")
            base.pid = process.pid
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


def wrk_output(url: str, *, seconds: int, clients: int, script: str | None = None) -> str:
    """Run wrk on core 1, and return its output with the distribution of latency.

    Raises:
        RuntimeError: a request failed.
    """
    command = ["taskset", "-c", "1", "wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency"]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            command += ["-s", file.name]
        output = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output:
        raise RuntimeError(output)
    return output


def rate_and_latency(output: str, percent: int) -> tuple[float, str]:
    """Return requests per second and a percentile of latency from the output of wrk."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)[1]  # type: ignore[index]
    return float(rate), re.search(rf"{percent}%\s+([\d.]+\w+)\s*\n", output)[1]  # type: ignore[index]


def wrk(url: str, *, seconds: int, clients: int, script: str | None = None) -> tuple[float, str]:
    """Return requests per second and the 99th percentile of latency."""
    return rate_and_latency(wrk_output(url, seconds=seconds, clients=clients, script=script), 99)


POST = f"""
wrk.method = "POST"
wrk.body = '{json.dumps(BODY)}'
wrk.headers["Content-Type"] = "application/json"
"""


# Creates resources of each quantity in turn, so that a filter selects one in QUANTITIES.
FILL = f"""
local count = 0
local headers = {{["Content-Type"] = "application/json"}}
function request()
  count = count + 1
  local body = '{json.dumps(BODY)}'
  return wrk.format("POST", nil, headers, (body:gsub("{BODY["quantity"]}", tostring(count % {QUANTITIES}))))
end
"""

# Requests pages of a quantity, for each quantity in turn.
FILTER = f"""
local count = 0
function request()
  count = count + 1
  return wrk.format("GET", "/item?limit=20&quantity=" .. count % {QUANTITIES})
end
"""


def unchanged(base: str, path: str) -> str:
    """Read with `If-None-Match` of the current state (304)."""
    tag = httpx.get(base + path).headers["etag"]
    return f"wrk.headers['If-None-Match'] = '{tag}'"


def patches(base: str, resources: int = 500) -> str:
    """Send merge patches with changing values to one resource after the other."""
    page = httpx.get(base + "/item", params={"limit": resources, "returns": "meta"}, timeout=60).json()
    paths = ", ".join(f'"/item/{item["meta"]["resource_id"]}"' for item in page["items"])
    return f"""
local paths, count = {{{paths}}}, 0
local headers = {{["Content-Type"] = "application/merge-patch+json"}}
function request()
  count = count + 1
  return wrk.format("PATCH", paths[count % #paths + 1], headers, '{{"quantity": ' .. math.random(1, 1000000) .. '}}')
end
"""


def fill(base: str) -> str:
    """Create enough resources for lists. Return the id of a resource."""
    wrk(base + "/item", seconds=1, clients=32, script=FILL)
    while httpx.get(base + "/item/count").json()["count"] < LISTED:
        wrk(base + "/item", seconds=2, clients=64, script=FILL)
    page: dict[str, list[dict[str, dict[str, str]]]] = httpx.get(base + "/item", params={"limit": 1}).json()
    identity = page["items"][0]["meta"]["resource_id"]
    for quantity in range(1, 6):  # so that the first revision is an old one
        httpx.put(f"{base}/item/{identity}", json=BODY | {"quantity": quantity})
    return identity


def measure(bare: str, served: str, identity: str, options: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Run a round: measure each figure once, next to the bare route that it is compared with."""
    run = partial(wrk, seconds=options.seconds, clients=options.clients)
    return {
        "constant": run(f"{bare}/constant"),
        "read": run(f"{served}/item/{identity}"),
        "304": run(f"{served}/item/{identity}", script=unchanged(served, f"/item/{identity}")),
        "revision": run(f"{served}/item/{identity}?revision_id=1"),
        "list 20": run(f"{served}/item?limit=20"),
        "filter 20": run(served, script=FILTER),
        "echo": run(f"{bare}/echo", script=POST),
        "create": run(f"{served}/item", script=POST),
        "patch": run(served, script=patches(served)),
    }


def report(storage: str, rounds: list[dict[str, tuple[float, str]]]) -> None:
    """Return the medians of rates, tail latencies and ratios within each round."""
    print(f"\n{storage:10}{'req/s':>9}{'ratio':>8}")
    for name in rounds[0]:
        against = "echo" if name in {"create", "echo", "patch"} else "constant"
        rate = median(figures[name][0] for figures in rounds)
        ratio = median(figures[name][0] / figures[against][0] for figures in rounds)
        tails = ", ".join(figures[name][1] for figures in rounds)
        print(f"{name:10}{rate:9.0f}{ratio:8.2f} of {against:10} p99 {tails}")


def main() -> None:
    """Measure each storage in several rounds and print a table per storage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="for each figure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--access-log", default="true", choices=["true", "false"])
    options = parser.parse_args()
    for storage in ("disk", "memory"):
        with tempfile.TemporaryDirectory(dir=ROOT, prefix=".bench-") as directory:
            settings = {
                "AUTOCRUD_STORAGE": storage,
                "AUTOCRUD_DATA_DIR": directory,
                "AUTOCRUD_MODELS": "benchmarks.models",
                "AUTOCRUD_ACCESS_LOG": options.access_log,
            }
            bare, served = server("benchmarks.baseline:app", {}, False), server("app.main:create_app", settings, True)
            with bare as bare_url, served as served_url:
                identity = fill(served_url)
                rounds = [measure(bare_url, served_url, identity, options) for _ in range(options.rounds)]
            report(storage, rounds)


if __name__ == "__main__":
    main()
