"""Temporal models: stored states across changes of the model and of the metadata."""

import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Annotated, Any

import asyncpg
import pytest
from pydantic import BaseModel

from autocrud.errors import StorageUnavailable
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.markers import Index
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.segments.log import SegmentLog
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.metadata.sqlite import point_in_time_backfill
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.testing.conformance import asking
from autocrud.testing.conformance.point_in_time import compare_random_queries, write_random_history
from autocrud.testing.history_oracle import START, HistoryOracle
from autocrud.testing.random_queries import KINDS, TEMPORAL_KINDS
from autocrud.testing.sample_writes import (
    Sample,
    create_write,
    delete_write,
    prune_write,
    purge_write,
    sample,
    update_write,
)
from tests.servers_real import postgres
from tests.storage.backends import postgres_factory, s3_factory, storage_on
from tests.storage.backfill_probe import wait_until_filled

Lose = Callable[[Path], Awaitable[None]]


async def _lose_files(path: Path) -> None:
    for kept in ("metadata.sqlite", "metadata.sqlite-wal", "metadata.sqlite-shm"):
        (path / kept).unlink(missing_ok=True)


async def _lose_cache(path: Path) -> None:
    shutil.rmtree(path / "cache")


async def _lose_tables(path: Path) -> None:
    connection = await asyncpg.connect(postgres().url)
    await connection.execute(f'DROP SCHEMA "{path.name}" CASCADE')
    await connection.close()


LOSE: dict[str, Lose] = {"disk": _lose_files, "s3": _lose_cache, "postgres": _lose_tables}
FACTORIES: dict[str, Callable[..., IStorageFactory]] = {
    "disk": DiskStorageFactory,
    "s3": s3_factory,
    "postgres": postgres_factory,
}


@pytest.fixture(params=sorted(LOSE))
def backend(request: pytest.FixtureRequest) -> str:
    """Return the name of each durable backend."""
    name: str = request.param
    return name


async def test_6_states_equal_the_records_after_model_changes(backend: str, tmp_path: Path) -> None:
    """Make a model temporal later, stop it, make it temporal again, and lose the metadata."""
    past, chance = HistoryOracle(TEMPORAL_KINDS), Random(13)

    def opened(spec: ModelSpec[Any]) -> Any:
        return storage_on(FACTORIES[backend](tmp_path), spec)

    async with opened(KINDS) as storage:
        await write_random_history(storage, past, chance, 120)
    async with opened(TEMPORAL_KINDS) as storage:
        await compare_random_queries(storage, past, 40)
        await write_random_history(storage, past, chance, 80)
        await compare_random_queries(storage, past, 40)
    async with opened(KINDS) as storage:
        await write_random_history(storage, past, chance, 80)
    async with opened(TEMPORAL_KINDS) as storage:
        await compare_random_queries(storage, past, 40)
    await LOSE[backend](tmp_path)
    async with opened(TEMPORAL_KINDS) as storage:
        await compare_random_queries(storage, past, 40)
        await write_random_history(storage, past, chance, 40)
        await compare_random_queries(storage, past, 40)


async def test_new_index_field_is_filled_for_all_times(backend: str, tmp_path: Path) -> None:
    """Small and large data of each time. Pruned data has no value, and purged resources are absent."""

    class Later(BaseModel):
        payload: Annotated[str, Index()] = ""

    later: ModelSpec[Later] = ModelSpec(Later, name="sample", temporal=True)
    first = [create_write(f"r{number}", sample(payload=f"p{number}"), time=START) for number in range(4)]
    second = [update_write(write, sample(payload="q" * 1500), time=START + timedelta(hours=1)) for write in first[:3]]
    third = [delete_write(second[0], time=START + timedelta(hours=2)), prune_write(second[1], 1), purge_write(first[3])]

    async def told(storage: IStorage, hours: float, payload: str) -> list[str]:
        query = Query(asking(QB["payload"].eq(payload), spec=later), at=START + timedelta(hours=hours))
        return [head.resource_id for head in (await storage.search(query)).items]

    factory = FACTORIES[backend](tmp_path, inline_limit=1000)
    async with storage_on(factory, ModelSpec(Sample, temporal=True)) as storage:
        for write in (*first, *second, *third):
            await storage.commit(write)
    async with storage_on(factory, later) as storage:
        assert await told(storage, 0, "p0") == ["r0"]
        assert await told(storage, 0, "p1") == await told(storage, 0, "p3") == await told(storage, 1, "p0") == []
        assert await told(storage, 1, "q" * 1500) == ["r2", "r1", "r0"]
        assert await told(storage, 2, "q" * 1500) == ["r2", "r1"]


async def test_interrupted_state_backfill_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the data of some commits cannot be read, the next start continues."""
    past = HistoryOracle(TEMPORAL_KINDS)
    async with storage_on(DiskStorageFactory(tmp_path), KINDS) as storage:
        await write_random_history(storage, past, Random(17), 120)
    monkeypatch.setattr(point_in_time_backfill, "_RESOURCES", 5)
    read, reads = SegmentLog.read, count()

    async def fail(self: SegmentLog, locator: str) -> bytes:
        if next(reads) == 20:
            raise StorageUnavailable("input/output error")
        return await read(self, locator)

    monkeypatch.setattr(SegmentLog, "read", fail)
    with pytest.raises(StorageUnavailable):
        async with storage_on(DiskStorageFactory(tmp_path), TEMPORAL_KINDS):
            pass
    with sqlite3.connect(tmp_path / "metadata.sqlite") as database:
        (wait_until_filled,) = database.execute("SELECT count(DISTINCT resource_id) FROM kinds__states").fetchone()
        assert 0 < wait_until_filled < len(past.states)
    async with storage_on(DiskStorageFactory(tmp_path), TEMPORAL_KINDS) as storage:
        await compare_random_queries(storage, past, 40)


@pytest.mark.parametrize("keeps_states", [False, True])
@pytest.mark.parametrize("shared", ["disk", "postgres"])
async def test_writes_of_older_nodes_are_filled_at_the_next_start(
    shared: str, keeps_states: bool, tmp_path: Path
) -> None:
    """Older nodes keep no states, or lack the new field. No start stops another node from writing."""

    class Later(Sample):
        payload: Annotated[str, Index()] = ""

    older: ModelSpec[Sample] = ModelSpec(Sample, temporal=keeps_states)
    newer: ModelSpec[Later] = ModelSpec(Later, name="sample", temporal=True)
    hours = [START + timedelta(hours=hour) for hour in range(3)]

    def opened(spec: ModelSpec[Any]) -> Any:
        return storage_on(FACTORIES[shared](tmp_path), spec)

    first, gone = (create_write(name, sample(payload="p"), time=hours[0]) for name in ("a", "gone"))
    second, other = (
        update_write(first, sample(payload="q"), time=hours[1]),
        create_write("b", sample(payload="p"), time=hours[1]),
    )
    third = update_write(second, sample(payload="r"), time=hours[2], spec=newer)
    async with opened(older) as old:
        assert await old.commit_all([first, gone]) == [None] * 2
        async with opened(newer) as new:
            await wait_until_filled()
            for write in (second, other, purge_write(gone)):
                await old.commit(write)
            async with opened(older):
                await new.commit(third)
    told = [{"p": ["a"]}, {"p": ["b"], "q": ["a"]}, {"p": ["b"], "r": ["a"]}]
    async with opened(newer) as new:
        for at, expected in zip(hours, told, strict=True):
            for payload in "pqr":
                query = Query(asking(QB["payload"].eq(payload), spec=newer), at=at)
                found = [head.resource_id for head in (await new.search(query)).items]
                assert found == expected.get(payload, []), (at, payload)
                assert await new.count(query) == len(found)
