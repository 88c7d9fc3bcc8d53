"""Identity of a store: the object `store.json`, with a random id, is created once and never changes."""

import re
from datetime import UTC, datetime
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from autocrud.errors import DataCorrupted
from autocrud.storage.commit_log.records.header import FORMAT
from autocrud.storage.model_folder.creation import create_object
from autocrud.storage.ports.objects import BucketMissing, ObjectMissing, ObjectStore

STORE_KEY = "store.json"
_MAX_BYTES = 4096
_LOG_PREFIX, _LOG_SUFFIX = "log/", ".ndjson"
_STORE = re.compile(rb'"store":"([0-9a-f]+)"')  # in the header of an entry


class StoreIdentity(BaseModel):
    """Content of `store.json`."""

    id: str
    format: int
    created_time: datetime


async def read_store_id(objects: ObjectStore) -> str | None:
    """Return the id of the store that an object store holds; None if it holds none.

    Raises:
        DataCorrupted: `store.json` is damaged, or has another format.
    """
    try:
        content = await objects.get(STORE_KEY, 0, _MAX_BYTES)
    except (ObjectMissing, BucketMissing):
        return None
    try:
        identity = StoreIdentity.model_validate_json(content)
    except ValidationError as error:
        raise DataCorrupted(f"{STORE_KEY} does not identify a store. Restore the object.") from error
    if identity.format != FORMAT:
        raise DataCorrupted(f"{STORE_KEY} names the format {identity.format}; this version reads {FORMAT}.")
    return identity.id


async def create_store_id(objects: ObjectStore) -> str:
    """Return the id of the store that an object store holds. Create the store if the object store holds none.

    Raises:
        DataCorrupted: `store.json` is damaged, or is missing although the log has entries.
    """
    key = await _first_log_key(objects)
    store_id = await read_store_id(objects)
    if store_id is not None:
        return store_id
    if key is not None:
        # A new id would make the entries foreign.
        header = _STORE.search(await objects.get(key, 0, _MAX_BYTES))
        of_store = f" of the store {header[1].decode()}" if header else ""
        raise DataCorrupted(f"{STORE_KEY} is missing, and the log has entries{of_store}: {key}. Restore {STORE_KEY}.")
    identity = StoreIdentity(id=uuid4().hex, format=FORMAT, created_time=datetime.now(UTC))
    await create_object(objects, STORE_KEY, identity.model_dump_json().encode())
    store_id = await read_store_id(objects)
    if store_id is None:
        raise DataCorrupted(f"{STORE_KEY} was removed right after it was created.")
    return store_id


async def open_store(objects: ObjectStore, remembered: str | None) -> str:
    """Return the id of the store that an object store holds, at a start.

    Args:
        remembered: id that the index remembers; None for a new index. Only then, a missing store is created.

    Raises:
        DataCorrupted: the object store holds another store than the index remembers, or none.
    """
    if remembered is None:
        return await create_store_id(objects)
    await check_store_id(objects, remembered)
    return remembered


async def check_store_id(objects: ObjectStore, expected: str) -> None:
    """Check that an object store holds the store with this id.

    Raises:
        DataCorrupted: the object store holds another store, or none. The message names the remedy.
    """
    found = await read_store_id(objects)
    if found == expected:
        return
    state = f"{STORE_KEY} is missing" if found is None else f"{STORE_KEY} identifies the store {found}"
    raise DataCorrupted(
        f"{state}, and the index belongs to the store {expected}. Bring back the bucket or folder of that store; to"
        " use this one instead, restart with an empty index (cache folder, SQLite file, or PostgreSQL schema)."
    )


async def _first_log_key(objects: ObjectStore) -> str | None:
    async for key in objects.keys(_LOG_PREFIX):
        if key.endswith(_LOG_SUFFIX):
            return key
    return None
