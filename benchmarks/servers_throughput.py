"""Benchmark of requests per second and S3 requests per create on real servers: `make bench-servers`. Needs wrk.

The service is one worker on core 0, wrk is on core 1; beside SeaweedFS and PostgreSQL from wheels.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.testing.local_stack import settings
from autocrud.testing.servers import PostgresServer, SeaweedServer, free_port
from benchmarks.http_throughput import POST, patches, server, unchanged, wrk


@contextmanager
def servers(directory: Path) -> Iterator[tuple[SeaweedServer, PostgresServer]]:
    """Start both servers with syncs to disk, as in production."""
    s3, postgres = SeaweedServer(directory / "s3", free_port()), PostgresServer(directory / "db", free_port())
    try:
        s3.start()
        postgres.start()
        yield s3, postgres
    finally:
        s3.kill()
        postgres.kill()


async def objects_of(s3: SeaweedServer, storage: str) -> int:
    """Return the number of objects in the bucket."""
    store = S3ObjectStore(
        S3Location("autocrud", endpoint_url=s3.endpoint_url, access_key=s3.access_key, secret_key=s3.secret_key)
    )
    await store.open()
    folder = "log/" if storage == "s3" else "item/records/"
    found = [key async for key in store.keys(folder)]
    await store.close()
    return len(found)


class Run:
    """Measurements of one service."""

    def __init__(self, base: str, storage: str, s3: SeaweedServer, seconds: int) -> None:
        self.base = base
        self._storage = storage
        self._s3 = s3
        self._seconds = seconds

    def count(self) -> int:
        """Number of resources."""
        return int(httpx.get(f"{self.base}/item/count", timeout=60).json()["count"])

    def creates(self, clients: int) -> None:
        """Return creates per second and objects per create."""
        before, objects = self.count(), asyncio.run(objects_of(self._s3, self._storage))
        rate, tail = wrk(f"{self.base}/item", seconds=self._seconds, clients=clients, script=POST)
        created = self.count() - before
        per_create = (asyncio.run(objects_of(self._s3, self._storage)) - objects) / created
        print(
            f"  create, {clients:3} clients, {before:7} resources: {rate:7.0f}/s  p99 {tail:9}"
            f"  {per_create:.3f} S3 requests each",
            flush=True,
        )

    def rate(self, what: str, path: str, script: str | None = None) -> None:
        """Return requests per second."""
        rate, tail = wrk(f"{self.base}{path}", seconds=self._seconds, clients=32, script=script)
        print(f"  {what:42}: {rate:7.0f}/s  p99 {tail:9}", flush=True)

    def fill(self, resources: int) -> None:
        """Create resources up to this number."""
        while self.count() < resources:
            wrk(f"{self.base}/item", seconds=3, clients=128, script=POST)


def main() -> None:
    """Measure S3, then PostgreSQL."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=6, help="for each figure")
    parser.add_argument("--resources", type=int, default=200_000)
    parser.add_argument("--access-log", default="false", choices=["true", "false"])
    parser.add_argument("--storage", choices=["s3", "postgres", "both"], default="both")
    options = parser.parse_args()
    os.sched_setaffinity(0, {1})  # and so the servers
    for storage in ("s3", "postgres") if options.storage == "both" else (options.storage,):
        directory = Path(tempfile.mkdtemp(prefix="autocrud-bench-"))
        directory.chmod(0o755)
        with servers(directory) as (s3, postgres):
            variables = settings(storage, s3, postgres) | {
                "AUTOCRUD_MODELS": "benchmarks.models",
                "AUTOCRUD_ACCESS_LOG": options.access_log,
            }
            measure(storage, s3, variables, options)


def measure(storage: str, s3: SeaweedServer, variables: dict[str, str], options: argparse.Namespace) -> None:
    """Print all figures of one storage."""
    print(f"{storage}, access log {options.access_log}")
    with server("app.main:create_app", variables, True) as base:
        run = Run(base, storage, s3, options.seconds)
        wrk(f"{base}/item", seconds=1, clients=32, script=POST)
        for clients in (32, 128):
            run.creates(clients)
        page = httpx.get(f"{base}/item", params={"limit": 1}, timeout=60).json()
        path = f"/item/{page['items'][0]['meta']['resource_id']}"
        run.rate("read by id", path)
        run.rate("read by id, unchanged: 304", path, unchanged(base, path))
        run.rate("read of a revision", f"{path}?revision_id=1")
        run.rate("patch", "", patches(base))
        run.rate("list 20", "/item?limit=20")
    if storage == "s3":
        with server("app.main:create_app", variables | {"AUTOCRUD_S3_MAX_STALENESS": "1"}, True) as base:
            run = Run(base, storage, s3, options.seconds)
            run.rate("read by id, a second behind", path)
            run.rate("list 20, a second behind", "/item?limit=20")
    with server("app.main:create_app", variables, True) as base:
        run = Run(base, storage, s3, options.seconds)
        run.fill(options.resources)
        for clients in (32, 128):
            run.creates(clients)
        run.rate("read by id", path)
        resources = run.count()
    with tempfile.TemporaryDirectory() as cold:
        began = time.monotonic()
        with server("app.main:create_app", variables | {"AUTOCRUD_CACHE_DIR": cold}, True):
            print(f"  start with nothing at hand, {resources} resources: {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    with server("app.main:create_app", variables, True):
        print(f"  start with what was there: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
