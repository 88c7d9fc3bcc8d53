"""Benchmark of creates per second through the manager, without HTTP: `python -m benchmarks.manager_throughput`.

This process is on core 0, SeaweedFS and PostgreSQL from wheels are on core 1.
"""

import asyncio
import gc
import json
import os
import tempfile
import time
from pathlib import Path

import uvloop

from autocrud import AutoCRUD
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.ports.storage import IStorageFactory
from autocrud.storage.postgres import PostgresStorageFactory
from autocrud.storage.s3 import S3StorageFactory
from benchmarks.baseline import Item
from benchmarks.http_throughput import BODY
from benchmarks.servers_throughput import servers

SECONDS = 5


async def measure(name: str, factory: IStorageFactory) -> None:
    """Measure with 32 and with 128 callers, twice each."""
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(Item)
    body = json.dumps(BODY).encode()
    async with crud.running():
        manager = crud.manager(Item)
        gc.collect()
        gc.freeze()
        for callers in (32, 128, 32, 128):
            created, began = 0, time.monotonic()

            async def call(until: float = began + SECONDS) -> int:
                done = 0
                while time.monotonic() < until:
                    await manager.create(body)
                    done += 1
                return done

            created = sum(await asyncio.gather(*(call() for _ in range(callers))))
            print(f"{name:9}{callers:4} callers: {created / (time.monotonic() - began):7.0f} creates/s", flush=True)


def main() -> None:
    """Measure S3, then PostgreSQL."""
    directory = Path(tempfile.mkdtemp(prefix="autocrud-bench-"))
    directory.chmod(0o755)
    os.sched_setaffinity(0, {1})
    with servers(directory) as (s3, postgres):
        os.sched_setaffinity(0, {0})
        bucket = S3Location(
            "bench",
            endpoint_url=s3.endpoint_url,
            access_key=s3.access_key,
            secret_key=s3.secret_key,
            create_bucket=True,
        )
        uvloop.run(measure("s3", S3StorageFactory(bucket)))
        uvloop.run(measure("postgres", PostgresStorageFactory(postgres.url, bucket)))


if __name__ == "__main__":
    main()
