"""PostgreSQL backend: tables, indexes, rebuilds from the log, and concurrent starts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import pytest
from pydantic import BaseModel

from autocrud import Schema
from autocrud.errors import ConfigurationError, DataCorrupted, StorageUnavailable, UniqueViolation
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.postgres.log.mover import Mover
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.sample_writes import (
    SAMPLE,
    Sample,
    create_write,
    delete_write,
    purge_write,
    restore_write,
    sample,
    update_write,
)
from tests.servers_real import postgres
from tests.storage.backends import postgres_factory, s3_options, storage_on
from tests.storage.backfill_probe import wait_until_filled
from tests.storage.full_scenario import read_everything, write_everything

Opener = Callable[..., AbstractAsyncContextManager[IStorage]]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Return a function that opens a storage in the test's schema, of `SAMPLE` unless another model is given."""

    def open_storage(spec: ModelSpec[Any] = SAMPLE, **options: Any) -> Any:
        return storage_on(postgres_factory(tmp_path, **options), spec)

    return open_storage


async def sql(tmp_path: Path, statement: str, *arguments: Any) -> list[Any]:
    """Return rows read without the store."""
    connection = await asyncpg.connect(postgres().url)
    try:
        await connection.execute(f'SET search_path = "{tmp_path.name}"')
        rows: list[Any] = await connection.fetch(statement, *arguments)
        return [tuple(row) for row in rows]
    finally:
        await connection.close()


async def lose_tables(tmp_path: Path) -> None:
    """Drop all tables of the store."""
    await sql(tmp_path, f'DROP SCHEMA "{tmp_path.name}" CASCADE')


@asynccontextmanager
async def bucket(tmp_path: Path) -> AsyncIterator[S3ObjectStore]:
    """Yield the test's objects."""
    store = S3ObjectStore(S3Location(**s3_options(), prefix=tmp_path.name))
    await store.open()
    yield store
    await store.close()


async def test_6_records_alone_rebuild_the_metadata(opened: Opener, tmp_path: Path) -> None:
    """Drop the tables. Every query answers as before, and the changes have the same positions."""
    async with opened() as storage:
        await write_everything(storage)
        before = await read_everything(storage)
        assert storage.store is not None
        changes = await storage.store.changes(limit=10_000)
    await lose_tables(tmp_path)
    async with opened() as storage:
        assert storage.store is not None
        assert await storage.store.changes(limit=10_000) == changes
        assert await read_everything(storage) == before
        await storage.commit(create_write("new", sample()))


async def test_6_rebuild_with_a_lost_entry_is_refused(opened: Opener, tmp_path: Path) -> None:
    """The error names the entry, and the objects behind the gap."""
    async with opened() as storage:
        first = create_write("a", sample(number=1))
        await storage.commit(first)
        await storage.commit(update_write(first, sample(number=2)))
    async with bucket(tmp_path) as objects:
        await objects.delete("log/000000/000001.ndjson")
    await lose_tables(tmp_path)
    with pytest.raises(DataCorrupted, match=r"no entry 1, and log/000000/000002.ndjson stands behind it"):
        async with opened():
            pass


async def test_6_rebuild_keeps_only_the_second_life_of_an_id(opened: Opener, tmp_path: Path) -> None:
    """Check also a first life that was not erased yet."""
    async with opened() as storage:
        first = create_write("a", sample(number=1))
        await storage.commit(first)
        await storage.commit(purge_write(first))
        await storage.commit(create_write("a", sample(number=2)))
        await storage.commit(create_write("gone", sample()))
        gone = await storage.get("gone")
        assert gone is not None
        before = await read_everything(storage)
    await lose_tables(tmp_path)
    async with opened() as storage:
        assert await read_everything(storage) == before


async def test_purge_leaves_no_bytes_in_the_bucket(opened: Opener, tmp_path: Path) -> None:
    """Other records of the same object stay intact."""
    marker = "MARKER-2e11"
    async with opened() as storage:
        doomed, beside = (
            create_write("a", sample(text=marker, payload=marker * 3000)),
            create_write("b", sample(payload="kept")),
        )
        assert await outcomes(storage, [doomed, beside]) == [None, None]
        await storage.commit(purge_write(doomed))
        (commit,) = await storage.commits("b")
        assert await storage.data(commit) == beside.data
    async with bucket(tmp_path) as objects:
        async for key in objects.keys(""):
            assert marker.encode() not in await objects.get(key)
    assert await sql(tmp_path, "SELECT * FROM erasures") == []


async def test_nodes_start_together_on_an_empty_database(opened: Opener) -> None:
    """Schema, tables and indexes are made once."""

    async def start(number: int) -> None:
        async with opened() as storage:
            await storage.commit(create_write(f"r{number}", sample()))

    await asyncio.gather(*(start(number) for number in range(6)))
    async with opened() as storage:
        assert await storage.count(Query()) == 6


async def test_tables_have_typed_columns_and_all_indexes(opened: Opener, tmp_path: Path) -> None:
    """Two models with equal field names, and names that PostgreSQL would cut to the same text."""
    long = "a_field_with_a_name_that_goes_on_for_much_longer_than_postgresql_allows_"

    class Other(BaseModel):
        text: Annotated[str, Index()] = ""
        one: Annotated[int | None, Index()] = None

    annotations = {f"{long}{number}": Annotated[str | None, Index()] for number in range(3)}
    names: dict[str, Any] = {"__annotations__": annotations, **dict.fromkeys(annotations)}
    model: Any = type("Long", (BaseModel,), names)
    together = [(f"{long}0", f"{long}1"), (f"{long}1", f"{long}2")]
    name = "a-name-of-a-model-that-is-as-long-as-names-may-b"
    spec: ModelSpec[Any] = ModelSpec(model, name=name, unique_together=together)
    async with opened(), opened(ModelSpec(Other)), opened(spec) as storage:
        for number in range(2):
            data = spec.dump(spec.parse(b'{"%s":"x"}' % f"{long}{number}".encode()))
            write = create_write(f"r{number}", data)
            write.index = spec.index_values(data)
            await storage.commit(write)
        asked = [QB[f"{long}{number}"].eq("x") for number in range(2)]
        assert [await ids(storage, one, spec=spec) for one in asked] == [["r0"], ["r1"]]
    kinds = await sql(
        tmp_path,
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = $1"
        " AND table_name = 'sample_resources' AND column_name LIKE 'ix%' ORDER BY 1",
        tmp_path.name,
    )
    assert kinds == [
        ("ix_code", "text"), ("ix_flag", "boolean"), ("ix_number", "bigint"), ("ix_place", "bigint"),
        ("ix_serial", "bigint"), ("ix_shelf", "text"), ("ix_tags", "ARRAY"), ("ix_text", "text"),
    ]  # fmt: skip
    indexes = dict(
        await sql(
            tmp_path,
            "SELECT tablename, count(*) FROM pg_indexes WHERE schemaname = $1 AND tablename LIKE '%_resources'"
            " GROUP BY 1",
            tmp_path.name,
        )
    )
    assert indexes == {"sample_resources": 12, "other_resources": 5, f"{spec.name.replace('-', '_')}_resources": 6}


async def test_new_index_field_is_filled_and_a_removed_one_stays(opened: Opener, tmp_path: Path) -> None:
    """An administrator's own index stays, too."""

    class Later(BaseModel):
        text: str = ""
        number: Annotated[str | None, Index()] = None
        payload: Annotated[str, Index()] = ""
        code: Annotated[str | None, Unique()] = None

    async with opened() as storage:
        writes = [create_write(f"r{number}", sample(payload=f"p{number % 3}", number=None)) for number in range(600)]
        writes.append(create_write("large", sample(payload="p" * 1999, text="x" * 2000)))
        assert set(await outcomes(storage, writes)) == {None}
    await sql(tmp_path, "CREATE INDEX of_the_administrator ON sample_resources (updated_by)")
    later: ModelSpec[Later] = ModelSpec(Later, name="sample")
    async with opened(later, inline_limit=100) as storage:
        await wait_until_filled()
        assert len(await ids(storage, QB["payload"].eq("p1"), spec=later)) == 200
        assert len(await ids(storage, QB["payload"].eq("p" * 1999), spec=later)) == 1
    async with opened() as storage:
        await wait_until_filled()
        assert len(await ids(storage, QB["text"].eq(""))) == 600
    found = await sql(tmp_path, "SELECT indexname FROM pg_indexes WHERE indexname = 'of_the_administrator'")
    assert found == [("of_the_administrator",)]


async def test_new_unique_field_with_shared_values_refuses_the_start(opened: Opener) -> None:
    """The error names model and value, and the table is unchanged."""

    class Strict(BaseModel):
        text: Annotated[str, Unique()] = ""

    async with opened() as storage:
        for name in ("a", "b"):
            await storage.commit(create_write(name, sample(text="same")))
    with pytest.raises(ConfigurationError, match=r"Strict\.text cannot be unique"):
        async with opened(ModelSpec(Strict, name="sample")):
            pass
    together: ModelSpec[Any] = ModelSpec(Sample, unique_together=[("payload", "text")])
    with pytest.raises(ConfigurationError, match="Sample: payload, text cannot be unique as a set"):
        async with opened(together):
            pass
    async with opened() as storage:
        assert await ids(storage, QB["text"].eq("same")) == ["b", "a"]


async def test_5_new_unique_field_holds_for_stored_resources(opened: Opener) -> None:
    """The claims of resources from before are filled before the first write, also of large and deleted ones."""

    class Strict(BaseModel):
        text: Annotated[str, Unique()] = ""
        payload: str = ""

    strict: ModelSpec[Strict] = ModelSpec(Strict, name="sample", schema=Schema(2).step(1, 2))

    def create(name: str, text: str) -> Write:
        return create_write(name, strict.dump(Strict(text=text)), spec=strict)

    async with opened() as storage:
        gone = create_write("gone", sample(text="gone"))
        writes = [create_write("a", sample(text="a")), create_write("b", sample(text="b", payload="p" * 100)), gone]
        for write in (*writes, delete_write(gone)):
            await storage.commit(write)
    async with opened(strict, inline_limit=10) as storage:
        refused = await outcomes(storage, [create("c", "a"), create("d", "b"), create("e", "gone")])
        assert [type(outcome) for outcome in refused] == [UniqueViolation, UniqueViolation, type(None)]
        assert [outcome.holder for outcome in refused[:2]] == ["a", "b"]
        (refusal,) = await outcomes(storage, [restore_write(delete_write(gone))])
        assert refusal.holder == "e"


async def test_6_rebuild_keeps_models_that_are_not_registered(tmp_path: Path) -> None:
    """The process that rebuilds does not know the model. A later one finds its resources by their fields."""
    other: ModelSpec[Sample] = ModelSpec(Sample, name="other")
    async with storage_on(postgres_factory(tmp_path), other) as storage:
        await storage.commit(create_write("o", sample(text="x", code="k")))
    await lose_tables(tmp_path)
    async with storage_on(postgres_factory(tmp_path)) as storage:
        await storage.commit(create_write("s", sample(code="k")))
        assert storage.store is not None
        assert [(change.model, change.position) for change in await storage.store.changes()] == [
            ("other", (2, 0)),  # behind the contract of its model
            ("sample", (4, 0)),
        ]
    async with storage_on(postgres_factory(tmp_path), other) as storage:
        assert await ids(storage, QB["text"].eq("x"), spec=other) == ["o"]
        (refused,) = await outcomes(storage, [create_write("p", sample(code="k"))])
        assert refused.holder == "o"


async def test_tables_that_were_set_back_are_refused(opened: Opener, tmp_path: Path) -> None:
    """As after a failover that lost a batch, which the bucket has."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
        await storage.commit(create_write("b", sample()))
    await sql(tmp_path, "DELETE FROM batches WHERE sequence = 3")
    with pytest.raises(DataCorrupted, match=r"ends with batch 2, and the bucket has log/000000/000003\.ndjson"):
        async with opened():
            pass


async def test_exchanged_bucket_is_refused_by_a_start_and_while_running(opened: Opener, tmp_path: Path) -> None:
    """Writes are refused, and nothing is moved into the other bucket."""
    factory = postgres_factory(tmp_path)
    async with storage_on(factory) as storage:
        await storage.commit(create_write("a", sample()))
        async with bucket(tmp_path) as objects:
            await objects.delete("store.json")
        with pytest.raises(StorageUnavailable, match=r"store\.json is missing"):
            await factory.checks()["s3 bucket tests"]()
        with pytest.raises(StorageUnavailable, match=r"store\.json is missing"):
            await storage.commit(create_write("b", sample()))
    with pytest.raises(DataCorrupted, match=r"store\.json is missing"):
        async with opened():
            pass


async def test_server_that_loses_commits_is_refused(opened: Opener) -> None:
    """The setting may come from the URL, the user or the database."""
    url = f"{postgres().url}?options=-c%20synchronous_commit%3Doff"
    with pytest.raises(ConfigurationError, match="synchronous_commit=off") as caught:
        async with opened(postgres_url=url):
            pass
    assert caught.value.argument == "postgres_url"


async def test_user_without_rights_gets_the_right_and_the_setting(opened: Opener, tmp_path: Path) -> None:
    """The error names the missing right and the setting with the user."""
    await sql(tmp_path, "DROP ROLE IF EXISTS reader")
    await sql(tmp_path, "CREATE ROLE reader LOGIN PASSWORD 'secret'")
    url = f"postgresql://reader:secret@127.0.0.1:{postgres().port}/postgres"
    with pytest.raises(ConfigurationError, match="permission denied") as caught:
        async with opened(postgres_url=url):
            pass
    assert caught.value.argument == "postgres_url"


@pytest.mark.parametrize("batch", [1, 50, 300])
async def test_batch_takes_a_constant_number_of_statements(
    opened: Opener, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Check batches of every size and content."""
    counted: dict[int, list[str]] = {}

    async with opened() as storage:
        before = [create_write(f"old{number}", sample(code=f"c{number}")) for number in range(batch)]
        assert set(await outcomes(storage, before)) == {None}
        for name in ("fetch", "fetchrow", "fetchval", "execute"):
            plain = getattr(asyncpg.Connection, name)

            async def counting(self: Any, query: str, *arguments: Any, plain: Any = plain, **more: Any) -> Any:
                counted.setdefault(id(self), []).append(query)
                return await plain(self, query, *arguments, **more)

            monkeypatch.setattr(asyncpg.Connection, name, counting)
        writes = [update_write(write, sample(number=1)) for write in before[: batch // 2]]
        writes += [
            create_write(f"new{number}", sample(serial=number, shelf="s", place=number)) for number in range(batch)
        ]
        assert set(await outcomes(storage, writes)) == {None}
    # Other connections move batches.
    statements = [query for queries in counted.values() for query in _of_commits(queries)]
    assert len(statements) == 4, statements


def _of_commits(queries: list[str]) -> list[str]:
    """Return the statements from the start of a batch to its COMMIT."""
    starts = [
        number for number, query in enumerate(queries) if query.startswith("BEGIN ISOLATION LEVEL READ COMMITTED; SET")
    ]
    return [query for start in starts for query in queries[start : queries.index("COMMIT", start) + 1]]


async def test_process_starts_while_writes_are_refused_for_the_backlog(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start reads the contract of a model, and reads go on."""

    def refuse(mover: Mover) -> None:
        raise StorageUnavailable("the backlog is full")

    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
    monkeypatch.setattr(Mover, "check_backlog", refuse)
    async with opened() as storage:
        assert await ids(storage) == ["a"]
        (refused,) = await outcomes(storage, [create_write("b", sample())])
        assert isinstance(refused, StorageUnavailable)


async def test_server_that_is_starting_cannot_be_reached_yet(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a start says what to do."""

    async def refuse(*_: Any, **__: Any) -> Any:
        raise asyncpg.CannotConnectNowError("the database system is starting up")

    monkeypatch.setattr(asyncpg, "create_pool", refuse)
    with pytest.raises(ConfigurationError, match="cannot be reached: it is starting or stopping"):
        async with opened():
            pass
