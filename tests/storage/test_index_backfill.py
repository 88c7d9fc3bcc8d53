"""Index backfill: concurrent requests, crashes, and several nodes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.errors import ConfigurationError, IndexNotReady, UniqueViolation
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.index_backfill.runner import IndexBackfill
from autocrud.storage.metadata.postgres import index_migration
from autocrud.storage.ports.storage import IStorage
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.conformance.base import asking
from autocrud.testing.sample_writes import SAMPLE, Sample, create_write, delete_write, sample, update_write
from tests.servers_real import postgres
from tests.storage.backends import BACKENDS, postgres_factory, s3_factory, storage_on
from tests.storage.backfill_probe import Gate, wait_until_filled

Opener = Callable[..., AbstractAsyncContextManager[IStorage]]
Choices = dict[str, Callable[..., Any]]

FACTORIES: Choices = {"disk": DiskStorageFactory, "s3": s3_factory, "postgres": postgres_factory}
SHARED: Choices = {name: FACTORIES[name] for name in ("disk", "postgres")}
BATCH = 10


class Later(Sample):
    """The sample model with an index on its payload."""

    payload: Annotated[str, Index()] = ""


class Strict(Sample):
    """The sample model with a unique payload."""

    payload: Annotated[str, Unique()] = ""


LATER: ModelSpec[Later] = ModelSpec(Later, name="sample")
STRICT: ModelSpec[Strict] = ModelSpec(Strict, name="sample")
# As it was, but that large data does not stand in the metadata.
INLINE = {"inline_limit": 400}
LARGE = "x" * 1000


def opener(path: Path, factory: Callable[..., Any]) -> Opener:
    """Return a function that opens storages in the test's place, of `SAMPLE` unless another model is given."""

    def open_storage(spec: ModelSpec[Any] = SAMPLE, **options: Any) -> Any:
        return storage_on(factory(path, **INLINE | options), spec)

    return open_storage


@pytest.fixture(params=FACTORIES)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Run on each backend whose metadata has columns."""
    return opener(tmp_path, FACTORIES[request.param])


@pytest.fixture(params=SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Run on each backend where processes share the columns."""
    return opener(tmp_path, SHARED[request.param])


@pytest.fixture
async def gate(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    """Hold the backfill before each batch of ten resources."""
    gate = Gate()
    monkeypatch.setattr(IndexBackfill, "rows", BATCH)
    monkeypatch.setattr(IndexBackfill, "step", lambda filling, fields: gate.step(filling, fields))
    yield gate
    gate.open()


async def fill_up(storage: IStorage, number: int = 35) -> list[Any]:
    """Store resources with three payloads in turn, one of them large. Delete the last resource."""
    writes = [create_write(f"r{one:02}", sample(payload=f"p{one % 3}", number=one)) for one in range(number - 1)]
    writes.insert(5, create_write("large", sample(payload=LARGE)))
    for write in writes:  # one by one, so that rows stand in the order of the ids on each backend
        await storage.commit(write)
    await storage.commit(delete_write(writes[-1]))
    return writes


async def with_payload(storage: IStorage, payload: str, spec: ModelSpec[Any] = LATER, **more: Any) -> list[str]:
    """Return the ids of the resources with this payload."""
    return sorted(await ids(storage, QB["payload"].eq(payload), spec=spec, **more))


async def test_reads_and_writes_go_on_during_a_backfill(opened: Opener, gate: Gate) -> None:
    """Only queries of the field are refused, with the progress. New writes keep their values."""
    async with opened() as storage:
        writes = await fill_up(storage)
    async with opened(LATER) as storage:
        await gate.let(2)
        assert await storage.count(Query()) == 34
        assert await ids(storage, QB["number"].lt(2)) == ["r01", "r00"]
        for ask in (
            storage.count(Query(asking(~QB["payload"].eq("p1"), spec=LATER))),
            ids(storage, sort="payload", spec=LATER),
        ):
            with pytest.raises(IndexNotReady, match="payload of sample is not filled yet: 57 %"):
                await ask
        # Of one that is filled, one that is not, and one that is new.
        assert (writes[0].meta.resource_id, writes[30].meta.resource_id) == ("r00", "r29")
        for write in (writes[0], writes[30]):
            await storage.commit(update_write(write, sample(payload="new"), spec=LATER))
        await storage.commit(create_write("r34", sample(payload="new"), spec=LATER))
        await storage.commit(delete_write(writes[31]))
        assert await ids(storage, QB["number"].lt(2)) == ["r01"]
        gate.open()
        await wait_until_filled()
        assert await with_payload(storage, "new") == ["r00", "r29", "r34"]
        assert await with_payload(storage, LARGE) == ["large"]
        expected = [f"r{one:02}" for one in range(34) if one % 3 == 0 and one != 0]
        assert await with_payload(storage, "p0", include_deleted=True) == expected
        assert await with_payload(storage, "p0") == [one for one in expected if one not in ("r30", "r33")]


async def test_backfill_continues_after_a_crash(opened: Opener, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """Each batch and its progress are durable. The field is refused until the backfill ends."""
    caplog.set_level("INFO")
    async with opened() as storage:
        await fill_up(storage)
    async with opened(LATER):
        await gate.let(2)
    assert "filled index fields of 0 of 35 resources: payload" in caplog.text
    caplog.clear()
    async with opened(LATER) as storage:
        assert "filled index fields of 20 of 35 resources: payload" in caplog.text
        with pytest.raises(IndexNotReady):
            await with_payload(storage, "p1")
        gate.open()
        await wait_until_filled()
        assert len(await with_payload(storage, "p1")) == 11
        assert await with_payload(storage, LARGE) == ["large"]
    caplog.clear()
    async with opened(LATER) as storage:
        assert len(await with_payload(storage, "p1")) == 11
    assert "filled" not in caplog.text


async def test_nodes_that_start_together_share_one_backfill(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both start and answer. Each learns when the other has finished."""
    monkeypatch.setattr(IndexBackfill, "rows", 2)
    async with opened() as storage:
        await fill_up(storage)

    async def start(number: int) -> int:
        # Nodes on S3 have no file in common.
        async with opened(LATER) as storage:
            await storage.commit(create_write(f"new{number}", sample(payload="new"), spec=LATER))
            await wait_until_filled()
            return len(await with_payload(storage, "p1"))

    assert await asyncio.gather(*map(start, range(3))) == [11, 11, 11]


async def test_unique_field_is_enforced_from_the_first_write(opened: Opener, caplog: pytest.LogCaptureFixture) -> None:
    """The start fills and indexes the field before it returns. It is refused while values are shared."""
    async with opened() as storage:
        one, two = create_write("a", sample(payload="same")), create_write("b", sample(payload="same"))
        assert await outcomes(storage, [one, two]) == [None, None]
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"Strict\.payload cannot be unique: stored resources share"):
            async with opened(STRICT):
                pass
    async with opened() as storage:
        await storage.commit(update_write(two, sample(payload="other")))
    async with opened(STRICT) as storage:
        assert await with_payload(storage, "other", STRICT) == ["b"]
        with pytest.raises(UniqueViolation):
            await storage.commit(create_write("c", sample(payload="other"), spec=STRICT))


async def test_conversion_error_disables_only_its_field(shared: Opener, caplog: pytest.LogCaptureFixture) -> None:
    """The message names the data. Other new fields are filled. A unique field refuses the start."""

    class Two(Later):
        extra: Annotated[str, Index()] = ""

    two: ModelSpec[Two] = ModelSpec(Two, name="sample")
    async with shared() as storage:
        await storage.commit(create_write("good", sample(payload="p")))
        await storage.commit(create_write("bad", sample(payload="x" * 2001)))
    async with shared(two) as storage:
        await wait_until_filled()
        assert await ids(storage, QB["extra"].is_null(True), spec=two) == ["bad", "good"]
        with pytest.raises(IndexNotReady, match="payload of sample is not filled yet: stored data does not fit"):
            await with_payload(storage, "p", two)
    assert "sample: the index field payload cannot be filled: 'bad': payload an index field's text must" in caplog.text
    with pytest.raises(ConfigurationError, match="Strict 'bad': payload an index field's text must"):
        async with shared(STRICT):
            pass
    async with shared() as storage:
        assert await ids(storage, QB["text"].eq("")) == ["bad", "good"]


@pytest.mark.parametrize("backend", FACTORIES)
async def test_6_conversion_error_does_not_stop_a_rebuild(backend: str, tmp_path: Path) -> None:
    """Check a replaced and a current revision. Only the field stays unavailable."""
    opened = opener(tmp_path, FACTORIES[backend])

    async def lose() -> None:
        if backend == "postgres":
            connection = await asyncpg.connect(postgres().url)
            await connection.execute(f'DROP SCHEMA "{tmp_path.name}" CASCADE')
            await connection.close()
        else:
            assert _unlink_all(tmp_path, "cache/**/*.sqlite*" if backend == "s3" else "metadata.sqlite*")

    first, bad = create_write("a", sample(payload="x" * 2001)), create_write("bad", sample(payload="x" * 2001))
    async with opened() as storage:
        for write in (first, update_write(first, sample(payload="p"))):
            await storage.commit(write)
    await lose()
    async with opened(LATER) as storage:
        await wait_until_filled()
        assert await with_payload(storage, "p") == ["a"]
    async with opened() as storage:
        await storage.commit(bad)
    await lose()
    async with opened(LATER) as storage:
        await wait_until_filled()
        assert sorted(await ids(storage, sort="text", limit=1, spec=LATER)) == ["a", "bad"]
        with pytest.raises(IndexNotReady, match="stored data does not fit"):
            await with_payload(storage, "p")
        await storage.commit(update_write(bad, sample(payload="q"), spec=LATER))
    async with opened(LATER) as storage:
        await wait_until_filled()
        assert await with_payload(storage, "q") == ["bad"]


async def test_writes_of_an_older_version_are_filled_again(shared: Opener) -> None:
    """The older version marks the column as stale. Maintenance or the next start repairs it."""
    async with shared() as old:
        write = create_write("a", sample(payload="p1"))
        await old.commit(write)
        async with shared(LATER) as new:
            await wait_until_filled()
            assert await with_payload(new, "p1") == ["a"]
            write = update_write(write, sample(payload="p2"))
            await old.commit(write)
            await old.commit(create_write("b", sample(payload="p2")))
            await new.vacuum()
            await wait_until_filled()
            assert await with_payload(new, "p2") == ["a", "b"]
            assert await with_payload(new, "p1") == []
        await old.commit(update_write(write, sample(payload="p3")))
    async with shared(LATER) as new:
        await wait_until_filled()
        assert await with_payload(new, "p3") == ["a"]


async def test_column_of_another_kind_is_filled_anew(tmp_path: Path, gate: Gate) -> None:
    """SQLite stores texts and times as text, with different values."""

    class Texts(BaseModel):
        when: Annotated[str, Index()] = ""

    class Times(BaseModel):
        when: Annotated[datetime | None, Index()] = None

    texts: ModelSpec[Texts] = ModelSpec(Texts, name="sample")
    times: ModelSpec[Times] = ModelSpec(Times, name="sample")
    opened = opener(tmp_path, DiskStorageFactory)
    async with opened(texts) as older:
        await older.commit(create_write("a", b'{"when":"2026-01-01T01:00:00+01:00"}', spec=texts))
        async with opened(times) as storage:
            await older.vacuum()  # which leaves the column to the newer one
            assert len([task for task in asyncio.all_tasks() if task.get_name() == "filling sample"]) == 1
            gate.open()
            await wait_until_filled()
            moment = datetime(2026, 1, 1, tzinfo=UTC)
            assert await ids(storage, QB["when"].eq(moment), spec=times) == ["a"]


async def test_snapshot_contains_backfill_progress(
    tmp_path: Path, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that starts from the snapshot continues from there."""
    caplog.set_level("INFO")
    opened = opener(tmp_path, s3_factory)
    async with opened() as storage:
        await fill_up(storage)
    async with opened(LATER, snapshot_every=1) as storage:
        await gate.let(2)
        await storage.commit(create_write("r99", sample(payload="p1"), spec=LATER))
    caplog.clear()
    async with opened(LATER, cache_dir=None) as storage:
        assert "filled index fields of 20 of 35 resources: payload" in caplog.text
        gate.open()
        await wait_until_filled()
        assert len(await with_payload(storage, "p1")) == 12


async def test_invalid_index_is_built_again(tmp_path: Path) -> None:
    """PostgreSQL keeps an unfinished index and does not use it. The same for a lost comment."""
    opened = opener(tmp_path, postgres_factory)
    async with opened() as storage:
        for name in ("a", "b"):
            await storage.commit(create_write(name, sample(payload="p1", text="same")))
    connection = await asyncpg.connect(postgres().url)
    heads = f'"{tmp_path.name}".sample_resources'
    valid = f"SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = '{heads}'::regclass"
    try:
        await connection.execute(f'DROP INDEX "{tmp_path.name}".sample_resources_ix_text')
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(f"CREATE UNIQUE INDEX CONCURRENTLY sample_resources_ix_text ON {heads} (ix_text)")
        await connection.execute(f'COMMENT ON INDEX "{tmp_path.name}".sample_resources_ix_flag IS NULL')
        assert not all(dict(await connection.fetch(valid)).values())
        async with opened() as storage:
            assert await ids(storage, QB["text"].eq("same")) == ["b", "a"]
        found = dict(await connection.fetch(valid))
        assert len(found) == 12
        assert all(found.values())
    finally:
        await connection.close()


async def test_long_reader_delays_only_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PostgreSQL's lock for a new column would block all readers, so it is given up and tried again."""
    opened = opener(tmp_path, postgres_factory)
    async with opened() as storage:
        await storage.commit(create_write("a", sample(payload="p1")))
    told = asyncio.Event()
    monkeypatch.setattr(index_migration, "_LOCK_WAIT", "50ms")
    monkeypatch.setattr(index_migration, "_PAUSE", 0.01)
    monkeypatch.setattr(index_migration.logger, "warning", lambda *_: told.set())
    reader = await asyncpg.connect(postgres().url)
    reading = reader.transaction()
    await reading.start()
    await reader.fetch(f'SELECT * FROM "{tmp_path.name}".sample_resources')

    async def start() -> list[str]:
        async with opened(LATER) as storage:
            await wait_until_filled()
            return await with_payload(storage, "p1")

    starting = asyncio.create_task(start())
    await told.wait()
    await reading.commit()
    await reader.close()
    assert await starting == ["a"]


async def test_http_query_during_a_backfill_is_503_with_retry_after(tmp_path: Path, gate: Gate) -> None:
    """The detail names the field and the progress."""
    async with opener(tmp_path, DiskStorageFactory)() as storage:
        await fill_up(storage)
    app, crud = FastAPI(), AutoCRUD(storage_factory=BACKENDS["disk"](tmp_path))
    crud.add_model(Later, name="sample")
    crud.apply(app)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://t") as http:
        await gate.let(1)
        answer = await http.get("/sample", params={"payload": "p1"})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.json()["code"] == "index_not_ready"
        assert answer.json()["detail"] == "The index field payload of sample is not filled yet: 28 % done."
        assert (await http.get("/sample", params={"number": 3})).status_code == 200
        gate.open()
        await wait_until_filled()
        assert len((await http.get("/sample", params={"payload": "p1"})).json()["items"]) == 11


def _unlink_all(folder: Path, pattern: str) -> int:
    """Remove files and return their number."""
    found = list(folder.glob(pattern))
    for file in found:
        file.unlink()
    return len(found)
