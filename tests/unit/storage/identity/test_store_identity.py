"""Identity of a store: `store.json` is created once, and compared with what the index remembers."""

import asyncio

import pytest

from autocrud.errors import DataCorrupted
from autocrud.storage.identity.store_identity import STORE_KEY, check_store_id, create_store_id, open_store
from autocrud.storage.objects.memory import MemoryObjectStore
from tests.unit.storage.commit_log.log_samples import STORE, STORE_JSON, create_of, entry_of


@pytest.fixture
async def objects() -> MemoryObjectStore:
    """Return an open object store."""
    store = MemoryObjectStore()
    await store.open()
    return store


async def test_store_is_created_once(objects: MemoryObjectStore) -> None:
    """Processes that start at the same time agree on the id."""
    ids = await asyncio.gather(*(create_store_id(objects) for _ in range(5)))
    assert set(ids) == {await open_store(objects, None)} == {await open_store(objects, ids[0])}


async def test_missing_store_is_created_only_for_a_new_index(objects: MemoryObjectStore) -> None:
    """An index that remembers a store finds an empty bucket: the start is refused, and creates nothing."""
    with pytest.raises(DataCorrupted, match=rf"store\.json is missing, and the index belongs to the store {STORE}"):
        await open_store(objects, STORE)
    assert not objects.objects


async def test_other_store_is_refused(objects: MemoryObjectStore) -> None:
    """The message names both ids."""
    objects.objects[STORE_KEY] = STORE_JSON
    with pytest.raises(DataCorrupted, match=rf"identifies the store {STORE}, and .* belongs to the store other\."):
        await check_store_id(objects, "other")


async def test_log_without_identity_is_refused(objects: MemoryObjectStore) -> None:
    """A new id would make the entries foreign. The message names the id of the entries."""
    objects.objects["log/lock"] = b""
    objects.objects["log/000000/000001.ndjson"] = entry_of([create_of()]).content
    with pytest.raises(DataCorrupted, match=rf"the log has entries of the store {STORE}: log/000000/000001"):
        await create_store_id(objects)


@pytest.mark.parametrize("content", [b"", b"[]", b"x" * 100_000, STORE_JSON.replace(b":1,", b":9,")])
async def test_damaged_identity_is_refused(objects: MemoryObjectStore, content: bytes) -> None:
    """The message names the object."""
    objects.objects[STORE_KEY] = content
    with pytest.raises(DataCorrupted, match=r"store\.json"):
        await create_store_id(objects)
