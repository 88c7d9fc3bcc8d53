"""Engine in memory: refused transactions change no table, released blobs, and models in another form."""

from collections.abc import AsyncIterator
from copy import deepcopy
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from autocrud.errors import ConfigurationError, UniqueViolation
from autocrud.query.builder import QB
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.transactions import Transaction
from autocrud.storage.ports.types import RequestKey, Write
from autocrud.testing.conformance import ids
from autocrud.testing.sample_writes import (
    SAMPLE,
    create_write,
    delete_write,
    purge_write,
    restore_write,
    sample,
    update_write,
)
from tests.storage.backends import storage_on

_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def factory() -> MemoryStorageFactory:
    """Return a factory with an empty store."""
    return MemoryStorageFactory()


@pytest.fixture
async def storage(factory: MemoryStorageFactory) -> AsyncIterator[IStorage]:
    """Yield an open, empty storage of the factory."""
    async with storage_on(factory) as storage:
        yield storage


async def test_refused_transaction_leaves_all_tables_as_they_were(
    factory: MemoryStorageFactory, storage: IStorage
) -> None:
    """The transaction changes every table: data, history, keys, blobs, claims, tasks, changes and indexes."""
    key = RequestKey("k", "fingerprint", "9999-01-01T00:00:00.000000Z")
    blob, other = [(await storage.blobs.put_bytes(content)).file_id for content in (b"one", b"two")]
    first = create_write("a", sample(code="x"), time=_TIME, key=key, blobs=(blob,))
    second = update_write(first, sample(code="y"))
    removed = delete_write(create_write("d", sample(code="z"), time=_TIME))
    created = create_write("d", sample(code="z"), time=_TIME)
    assert not any(await storage.commit_all([first, second, created, removed], atomic=True))
    before = _content(factory)
    third = update_write(second, sample(code="x"), prunes=2)
    restored = restore_write(removed)
    batch: list[Write] = [
        create_write("e", sample(serial=1), time=_TIME, key=replace(key, key="l"), blobs=(other,)),
        third,
        replace(delete_write(third), has_task=True),
        restored,
        purge_write(restored),
        purge_write(delete_write(third)),
        create_write("d", sample(code="x"), time=_TIME),
    ]
    outcomes = await storage.commit_all([*batch, created], atomic=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Aborted"] * len(batch) + ["AlreadyExists"]
    assert _content(factory) == before
    assert not any(await storage.commit_all(batch, atomic=True))
    assert await ids(storage, include_deleted=True) == ["e", "d"]
    assert [await storage.blobs.find(file_id) is None for file_id in (blob, other)] == [True, False]


async def test_model_that_opens_in_another_form_gets_its_columns_and_claims(factory: MemoryStorageFactory) -> None:
    """A later form finds the stored resources. Two forms are not open at once, and stored duplicates are refused."""

    class Plain(BaseModel):
        title: str
        number: Annotated[int, Index()] = 0

    class Indexed(BaseModel):
        title: Annotated[str, Index()]
        number: Annotated[int, Unique()] = 0

    class Titled(BaseModel):
        title: Annotated[str, Unique()]

    plain, indexed, titled = [ModelSpec(model, name="item") for model in (Plain, Indexed, Titled)]
    writes = [
        create_write(name, plain.dump(Plain(title="t", number=number)), spec=plain)
        for name, number in (("a", 1), ("b", 2))
    ]
    async with storage_on(factory, plain) as storage:
        assert not any(await storage.commit_all(writes))
        with pytest.raises(ConfigurationError, match="another form of 'item' is open"):
            await factory.build(indexed).open()
    async with storage_on(factory, indexed) as storage:
        assert await ids(storage, QB["title"].eq("t"), QB["number"].gt(1), spec=indexed) == ["b"]
        with pytest.raises(UniqueViolation):
            await storage.commit(create_write("c", indexed.dump(Indexed(title="t", number=1)), spec=indexed))
    with pytest.raises(ConfigurationError, match=r"title cannot be unique: stored resources share a value"):
        await factory.build(titled).open()
    async with storage_on(factory, plain) as storage:
        assert await ids(storage, QB["number"].lt(2), spec=plain) == ["a"]
        assert await factory.stored_models() == {"item"}


async def test_write_that_no_storage_prepared_is_refused(storage: IStorage) -> None:
    """The error names the model."""
    write = create_write("a", sample())
    write.model = "unknown"
    assert storage.store is not None
    (outcome,) = await storage.store.commit([Transaction((write,))])
    assert [str(refusal) for refusal in outcome] == ["no open storage of this store has the model 'unknown'"]


def _content(factory: MemoryStorageFactory) -> dict[str, object]:
    """Return a copy of all tables, and the order of the resources."""
    engine: Any = factory._store.engine
    tables: MemoryTables = engine._models[SAMPLE.folder]
    names = [item.name for item in fields(tables) if item.name not in ("spec", "row_index", "serials")]
    places = list(tables.row_index.places())
    shared = {item.name: getattr(engine._tables, item.name) for item in fields(engine._tables)}
    shared["changes"] = shared["changes"].page((0, 0), 1000)
    return deepcopy({name: getattr(tables, name) for name in names} | shared) | {"places": places}
