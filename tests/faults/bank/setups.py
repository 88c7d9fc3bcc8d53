"""Setups of a campaign: each backend with processes, its faults, and the loss of its index."""

import asyncio
import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg

from autocrud.storage import s3
from autocrud.storage.check_chain import check_disk, check_objects
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.storage import IStorageFactory
from autocrud.storage.postgres import PostgresStorageFactory
from autocrud.storage.s3 import S3StorageFactory
from tests.faults.bank.campaign import BuildFactory
from tests.faults.proxy import Exchange, Proxy
from tests.faults.wire import Wire, committed, lost
from tests.servers_real import postgres, seaweed
from tests.storage.backends import remove_sqlite_files, s3_options

_SNAPSHOT_EVERY = 50
_LOST_REQUESTS = 0.05  # of those that append to the log, and as many answers
_LOST_CACHES = 0.3  # of the starts of a node
_SECONDS_BETWEEN_FAULTS = 1  # of PostgreSQL; each is a crash, a lost COMMIT or a lost answer to a COMMIT


@dataclass(frozen=True)
class Setup:
    """A backend of a campaign.

    Attributes:
        processes: number of processes that run at once.
        faulty: returns a context with a function that builds a factory whose server loses requests and answers.
        build: builds a factory of the store in a folder, for a slot.
        lose_index: makes the next start rebuild the index from the log.
        check_log: verifies the log, and returns its last sequence.
    """

    processes: int
    faulty: Callable[[Path, int], AbstractAsyncContextManager[BuildFactory]]
    build: Callable[[Path, str], IStorageFactory]
    lose_index: Callable[[Path], Awaitable[None]]
    check_log: Callable[[Path], Awaitable[int]]


def _build_disk(path: Path, slot: str) -> IStorageFactory:
    return DiskStorageFactory(path)


@asynccontextmanager
async def _faultless_disk(path: Path, seed: int) -> AsyncIterator[BuildFactory]:
    yield partial(_build_disk, path)


async def _lose_sqlite(path: Path) -> None:
    remove_sqlite_files(path)


async def _check_segments(path: Path) -> int:
    return (await check_disk(path)).tail.sequence


def _build_s3(path: Path, slot: str, **options: Any) -> IStorageFactory:
    """Return a factory of a node with a cache of its own."""
    own = {"prefix": path.name, "cache_dir": path / slot, "snapshot_every": _SNAPSHOT_EVERY}
    return S3StorageFactory(**(options or s3_options()) | own)


async def _check_objects(path: Path) -> int:
    objects = S3ObjectStore(S3Location(**s3_options(), prefix=path.name))
    await objects.open()
    checker = await check_objects(objects)
    await objects.close()
    return checker.tail.sequence


def _restart_s3(path: Path, slot: str, **options: Any) -> IStorageFactory:
    """Return a factory of a node that may have lost its cache."""
    if random.random() < _LOST_CACHES:
        shutil.rmtree(path / slot, ignore_errors=True)
    return _build_s3(path, slot, **options)


@asynccontextmanager
async def _faulty_s3(path: Path, seed: int) -> AsyncIterator[BuildFactory]:
    chance = random.Random(seed)

    async def lose(exchange: Exchange) -> None:
        fault = chance.random() if exchange.request.is_append else 1.0
        if fault < _LOST_REQUESTS:
            return
        answer = await exchange.forward()
        if fault >= 2 * _LOST_REQUESTS:
            await exchange.answer(answer)

    async with Proxy(seaweed().port).running() as proxy:
        s3._PROBED_SERVERS.add((proxy.endpoint_url, "tests"))
        proxy.behave = lose
        yield partial(_restart_s3, path, **s3_options() | {"endpoint_url": proxy.endpoint_url})


async def _lose_nothing(path: Path) -> None:
    """Do nothing: a node without a cache starts from the bucket."""


def _build_postgres(path: Path, slot: str, **options: Any) -> IStorageFactory:
    options = options or s3_options() | {"postgres_url": postgres().url}
    return PostgresStorageFactory(**options, prefix=path.name, schema=path.name)


@asynccontextmanager
async def _faulty_postgres(path: Path, seed: int) -> AsyncIterator[BuildFactory]:
    chance, is_over = random.Random(seed), asyncio.Event()

    async def cause_faults(wire: Wire) -> None:
        while not is_over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(is_over.wait(), _SECONDS_BETWEEN_FAULTS)
            fault = chance.choice((committed, lost, None))
            if fault is None:
                _crash_postgres()
            wire.on_commit = fault or wire.on_commit

    async with Wire().running() as wire:
        faults = asyncio.create_task(cause_faults(wire))
        try:
            yield partial(_build_postgres, path, **s3_options() | {"postgres_url": wire.url})
        finally:
            is_over.set()
            await faults


def _crash_postgres() -> None:
    """Kill the server, and start it again: it recovers from its write-ahead log.

    The main thread does this, because the server ends with the thread that has started it.
    """
    postgres().kill()
    postgres().start()


async def _lose_schema(path: Path) -> None:
    connection = await asyncpg.connect(postgres().url)
    await connection.execute(f'DROP SCHEMA "{path.name}" CASCADE')
    await connection.close()


SETUPS = {
    "disk": Setup(4, _faultless_disk, _build_disk, _lose_sqlite, _check_segments),
    "s3": Setup(3, _faulty_s3, _build_s3, _lose_nothing, _check_objects),
    "postgres": Setup(3, _faulty_postgres, _build_postgres, _lose_schema, _check_objects),
}
