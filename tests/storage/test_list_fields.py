"""List fields in SQLite and PostgreSQL: index use, changes of the heads, and changes of the model."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Annotated, Any

import asyncpg
import pytest
from pydantic import BaseModel

from autocrud.query.builder import QB
from autocrud.query.conditions import Query, Term
from autocrud.query.operators import Operator
from autocrud.schema.index_field import IndexField
from autocrud.schema.markers import Index
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.metadata.sqlite.compiler import SqliteCompiler
from autocrud.storage.ports.storage import IStorage
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.random_queries import KINDS, random_values
from autocrud.testing.sample_writes import create_write, delete_write, purge_write, update_write
from tests.servers_real import postgres
from tests.storage.backends import BACKENDS, storage_on
from tests.storage.backfill_probe import wait_until_filled

Opener = Callable[[ModelSpec[Any]], AbstractAsyncContextManager[IStorage]]


class Unindexed(BaseModel):
    tags: list[str] | None = None
    amounts: list[Decimal] = []
    amount: str = ""


class Indexed(BaseModel):
    tags: Annotated[list[str] | None, Index()] = None
    amounts: Annotated[list[Decimal], Index()] = []
    amount: Annotated[Decimal, Index()] = Decimal(0)


class Otherwise(BaseModel):
    """A model with the same JSON and other index types."""

    tags: Annotated[list[str] | None, Index()] = None
    amounts: Annotated[list[str], Index()] = []
    amount: Annotated[str, Index()] = ""


class Whole(BaseModel):
    """A model whose list became a scalar."""

    tags: Annotated[str | None, Index()] = None


@pytest.fixture(params=["disk", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Return a function that opens a storage in the test's place, on each SQL engine."""
    return lambda spec: storage_on(BACKENDS[request.param](tmp_path), spec)


def spec_of(model: type[BaseModel]) -> ModelSpec[Any]:
    """Return the spec of a model under one common name."""
    return ModelSpec(model, name="thing")


async def _fill(storage: IStorage, count: int) -> None:
    """Store random resources; change, delete and purge some of them."""
    chance = Random(3)

    def data() -> bytes:
        return KINDS.dump(KINDS.validate(random_values(chance)))

    writes = [create_write(f"r{number}", data(), spec=KINDS) for number in range(count)]
    assert set(await outcomes(storage, writes)) == {None}
    later = [update_write(write, data(), spec=KINDS) for write in writes[::3]]
    later += [delete_write(write) for write in writes[1::3]] + [purge_write(write) for write in writes[2::30]]
    assert set(await outcomes(storage, later)) == {None}


async def test_list_field_follows_changes_of_the_model(opened: Opener) -> None:
    """A new or changed list field is filled. A removed one is dropped."""
    data = b'{"tags":["a","b"],"amounts":["1.0","2"],"amount":"1.50"}'
    async with opened(spec_of(Unindexed)) as storage:
        old = create_write("old", data, spec=spec_of(Unindexed))
        await storage.commit(old)
        await storage.commit(create_write("null", b'{"tags":null}', spec=spec_of(Unindexed)))
    for model, amounts, amount in ((Indexed, "1.00", "1.5"), (Otherwise, "1.0", "1.50"), (Indexed, "1", "1.500")):
        spec = spec_of(model)
        async with opened(spec) as storage:
            await wait_until_filled("thing")
            assert await ids(storage, QB["tags"].contains_all(["a", "b"]), spec=spec) == ["old"]
            assert await ids(storage, QB["tags"].is_null(True), spec=spec) == ["null"]
            assert await ids(storage, QB["amounts"].contains(amounts), spec=spec) == ["old"]
            assert await ids(storage, QB["amount"].eq(amount), spec=spec) == ["old"]
            gone = create_write("gone", data, spec=spec)
            await storage.commit(gone)
            assert await ids(storage, QB["tags"].contains("b"), spec=spec) == ["gone", "old"]
            await storage.commit(purge_write(gone))
    async with opened(spec_of(Indexed)) as storage:
        await storage.commit(purge_write(old))
    whole = spec_of(Whole)
    async with opened(whole) as storage:
        await wait_until_filled("thing")
        await storage.commit(create_write("new", b'{"tags":"a"}', spec=whole))
        assert await ids(storage, QB["tags"].eq("a"), spec=whole) == ["new"]
        assert await ids(storage, QB["tags"].is_null(True), spec=whole) == ["null"]


async def test_sqlite_item_tables_equal_the_heads_and_are_used(tmp_path: Path) -> None:
    """Check after all kinds of commits, and check the plans."""
    async with storage_on(BACKENDS["disk"](tmp_path), KINDS) as storage:
        await _fill(storage, 300)
    database = sqlite3.connect(tmp_path / "metadata.sqlite")
    for field, term in _terms():
        place = "created_time, resource_id, row"
        held = f'SELECT value, {place} FROM kinds_resources, json_each("{field.column}") ORDER BY 1, 2, 3'
        items = database.execute(f'SELECT * FROM "_items_kinds__{field.column}" ORDER BY 1, 2, 3').fetchall()
        assert items
        assert items == database.execute(held).fetchall()
        counted = SqliteCompiler("kinds")
        where = counted.where(term)
        plan = _plan(database, f"SELECT count(*) FROM kinds_resources WHERE {where}", counted)
        assert "SEARCH kinds_resources USING INTEGER PRIMARY KEY (rowid=?)" in plan
        assert "SEARCH x USING PRIMARY KEY (value=?)" in plan
        if term.operator is not Operator.contains_any:
            listed, query = SqliteCompiler("kinds"), Query(term)
            source, rest = listed.source(database, "kinds_resources", query)
            (segment,) = listed.segments(query)
            order = f"{listed.where(rest)} ORDER BY {listed.order_by(segment.keys)} LIMIT 20"
            plan = _plan(database, f"SELECT head FROM {source} WHERE {order}", listed)
            assert f"SEARCH _items_kinds__{field.column} USING PRIMARY KEY (value=?)" in plan
            assert not [step for step in plan if "TEMP B-TREE" in step]
    database.close()


async def test_postgres_list_filter_uses_an_index(tmp_path: Path) -> None:
    """Check every type of array."""
    async with storage_on(BACKENDS["postgres"](tmp_path), KINDS) as storage:
        await _fill(storage, 30)
    connection = await asyncpg.connect(postgres().url)
    try:
        await connection.execute("SET enable_seqscan = off")
        await connection.execute("SET enable_indexscan = off")
        for field, term in _terms():
            sql, values = PostgresTables(KINDS, tmp_path.name, 0).count(Query(term, include_deleted=True))
            plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {sql}", *values))
            assert f"Bitmap Index Scan on {_name_in_plan(f'kinds_resources_{field.column}')}" in plan
    finally:
        await connection.close()


def _plan(database: sqlite3.Connection, sql: str, compiler: SqliteCompiler) -> list[str]:
    return [row[-1] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", compiler.values)]


def _name_in_plan(name: str) -> str:
    """Return a name as query plans show it."""
    return f'"{name}"' if "." in name else name


def _terms() -> Iterator[tuple[IndexField, Term]]:
    """Return the possible terms of each list field, with stored items."""
    chance = Random(5)
    rows = [KINDS.index_values(KINDS.dump(KINDS.validate(random_values(chance)))) for _ in range(30)]
    for number, field in enumerate(KINDS.index_fields):
        if field.is_list:
            held = next(value for row in rows if isinstance(value := row[number], tuple) and value)
            for operator in (Operator.contains, Operator.contains_any, Operator.contains_all):
                yield field, Term(field, operator, held)
