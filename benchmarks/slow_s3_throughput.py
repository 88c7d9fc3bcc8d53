"""Benchmark behind an S3 server that answers slowly, beside the local one: `make bench-slow-s3`. Needs wrk.

A PUT takes 60 ms longer and a GET 25 ms, as on real S3. The service is one worker on core 0; wrk, the proxy and the
servers are on core 1. These figures depend on waiting. A busy machine distorts them, so the idle share is printed.
"""

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from autocrud.testing.local_stack import settings
from benchmarks.http_throughput import POST, patches, rate_and_latency, server, wrk_output
from benchmarks.servers_throughput import servers
from benchmarks.slow_proxy import slow_proxy

_DELAYS = {"PUT": 0.060, "GET": 0.025}
_COMMIT_S = 0.065  # a PUT and its way through the proxy


def main() -> None:
    """Measure both storages, each with the local server and behind the proxy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=6, help="for each figure")
    parser.add_argument("--storage", choices=["s3", "postgres", "both"], default="both")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})  # and so the servers
    for storage in ("s3", "postgres") if options.storage == "both" else (options.storage,):
        for is_slow in (False, True):
            _measure(storage, options.seconds, is_slow=is_slow)


def _measure(storage: str, seconds: int, *, is_slow: bool) -> None:
    directory = Path(tempfile.mkdtemp(prefix="autocrud-bench-"))
    directory.chmod(0o755)
    with servers(directory) as (s3, postgres), ExitStack() as stack:
        url = stack.enter_context(slow_proxy(s3.endpoint_url, _DELAYS)) if is_slow else s3.endpoint_url
        variables = settings(storage, s3, postgres if storage == "postgres" else None) | {
            "AUTOCRUD_MODELS": "benchmarks.models",
            "AUTOCRUD_ACCESS_LOG": "false",
            "AUTOCRUD_S3_ENDPOINT_URL": url,
        }
        print(f"{storage}, {'60 ms per PUT, 25 ms per GET' if is_slow else 'no delay'}", flush=True)
        with server("app.main:create_app", variables, True) as base:
            for clients in (1, 32, 256):
                _show("create", f"{base}/item", clients, seconds, POST, share_of_limit=is_slow and storage == "s3")
            page = httpx.get(f"{base}/item", params={"limit": 1}, timeout=60).json()
            path = f"/item/{page['items'][0]['meta']['resource_id']}"
            _show("read by id", f"{base}{path}", 32, seconds)
            _show("patch", base, 32, seconds, patches(base))


def _show(
    name: str, url: str, clients: int, seconds: int, script: str | None = None, *, share_of_limit: bool = False
) -> None:
    idle, began = _idle_seconds(), time.monotonic()
    output = wrk_output(url, seconds=seconds, clients=clients, script=script)
    idle_share = (_idle_seconds() - idle) / (time.monotonic() - began) / (os.cpu_count() or 1)
    rate, middle = rate_and_latency(output, 50)
    tail = rate_and_latency(output, 99)[1]
    share = f"  {rate / (clients / _COMMIT_S):.2f} of clients / 65 ms" if share_of_limit else ""
    print(
        f"  {name:10} {clients:3} clients: {rate:7.0f}/s  p50 {middle:9} p99 {tail:9}"
        f"  machine idle {idle_share:4.0%}{share}",
        flush=True,
    )


def _idle_seconds() -> float:
    """Return the idle time of all cores since the start of the machine."""
    first_line = Path("/proc/stat").read_text().partition("\n")[0]
    return int(first_line.split()[4]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
