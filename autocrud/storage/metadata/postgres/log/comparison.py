"""Comparison of the bucket with the tables: identity, the last moved entry, and the entry that comes next."""

from autocrud.errors import DataCorrupted
from autocrud.storage.commit_log.object_log import ObjectLog
from autocrud.storage.identity.store_identity import check_store_id
from autocrud.storage.metadata.postgres.shared_store import SharedStore
from autocrud.storage.ports.objects import ObjectStore


async def compare_bucket(store: SharedStore, objects: ObjectStore, store_id: str) -> None:
    """Check that the bucket holds what was moved into it, and nothing in the way of the next batch.

    Raises:
        DataCorrupted: the bucket was deleted, exchanged or set back, or has a foreign entry, or the tables were set
            back, as by a failover to a server that had not received all batches.
    """
    await check_store_id(objects, store_id)
    log, sequence = ObjectLog(objects, store_id), 0
    rows = await store.pool.fetch(store.tables.last_moved)
    if rows:
        sequence, header_hash = rows[0]
        await log.check_entry(sequence, header_hash)
    key, following = log.key(sequence + 1), await log.read_entry(sequence + 1)
    if following is None:
        return
    # An entry is moved after its commit, so the row of the entry exists by now.
    rows = await store.pool.fetch(store.tables.nonce_of, sequence + 1)
    if not rows:
        raise DataCorrupted(
            f"PostgreSQL ends with batch {sequence}, and the bucket has {key} behind it. PostgreSQL has lost batches."
            f" Drop the schema {store.schema!r}: the next start rebuilds its tables from the bucket."
        )
    if rows[0][0] != following.nonce:
        raise DataCorrupted(describe_other_entry(key))


def describe_other_entry(key: str) -> str:
    """Return the message about an entry that another writer has put in the place of a batch."""
    return f"{key} holds an entry of another writer. Give each PostgreSQL schema a prefix of its own."
