"""PostgreSQL backend: tables, indexes, rebuilds from the records, and concurrent starts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import pytest
from pydantic import BaseModel

from autocrud.errors import ConfigurationError, DataCorrupted
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.storage import IStorage
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.sample_writes import SAMPLE, Sample, create_write, purge_write, sample, update_write
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


@asynccontextmanager
async def bucket(tmp_path: Path) -> AsyncIterator[S3ObjectStore]:
    """Yield the test's objects."""
    store = S3ObjectStore(S3Location(**s3_options(), prefix=tmp_path.name))
    await store.open()
    yield store
    await store.close()


async def test_6_records_alone_rebuild_the_metadata(opened: Opener, tmp_path: Path) -> None:
    """Drop the tables. Every query answers as before."""
    async with opened() as storage:
        await write_everything(storage)
        before = await read_everything(storage)
    await sql(tmp_path, "DROP TABLE sample_resources")
    async with opened() as storage:
        assert await read_everything(storage) == before
        await storage.commit(create_write("new", sample()))


async def test_6_rebuild_ignores_records_of_a_rolled_back_batch(opened: Opener, tmp_path: Path) -> None:
    """Of two records of one version, the one that a later record follows counts."""
    async with opened() as storage:
        first = create_write("a", sample(number=1))
        await storage.commit(first)
        second = update_write(first, sample(number=2))
        await storage.commit(second)
        await storage.commit(update_write(second, sample(number=3)))
        await storage.commit(create_write("b", sample(code="kept")))
        before = await read_everything(storage)
    async with bucket(tmp_path) as objects:
        keys = [key async for key in objects.keys("sample/records/")]
        orphan = (await objects.get(keys[1])).replace(b'"number":2', b'"number":7')
        await objects.put("sample/records/ffffffff-ffff-7fff-bfff-ffffffffffff.ndjson", orphan)
    await sql(tmp_path, "DROP TABLE sample_resources")
    async with opened() as storage:
        assert await read_everything(storage) == before


async def test_6_rebuild_with_lost_records_is_refused(opened: Opener, tmp_path: Path) -> None:
    """The error names the resource."""
    async with opened() as storage:
        first = create_write("a", sample(number=1))
        await storage.commit(first)
        await storage.commit(update_write(first, sample(number=2)))
    async with bucket(tmp_path) as objects:
        keys = [key async for key in objects.keys("sample/records/")]
        await objects.delete(keys[0])
    await sql(tmp_path, "DROP TABLE sample_resources")
    with pytest.raises(DataCorrupted, match="Of 'a' there are records"):
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
    await sql(tmp_path, "DROP TABLE sample_resources")
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
    assert await sql(tmp_path, "SELECT * FROM sample_erasures") == []


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
    assert indexes == {"sample_resources": 13, "other_resources": 5, f"{spec.name.replace('-', '_')}_resources": 8}


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
    counted: list[str] = []

    async with opened() as storage:
        before = [create_write(f"old{number}", sample(code=f"c{number}")) for number in range(batch)]
        assert set(await outcomes(storage, before)) == {None}
        for name in ("fetch", "execute"):
            plain = getattr(asyncpg.Connection, name)

            async def counting(self: Any, query: str, *arguments: Any, plain: Any = plain, **more: Any) -> Any:
                counted.append(query)
                return await plain(self, query, *arguments, **more)

            monkeypatch.setattr(asyncpg.Connection, name, counting)
        writes = [update_write(write, sample(number=1)) for write in before[: batch // 2]]
        writes += [
            create_write(f"new{number}", sample(serial=number, shelf="s", place=number)) for number in range(batch)
        ]
        assert set(await outcomes(storage, writes)) == {None}
    assert len(counted) <= 9, counted
