"""Applies a decided batch to the tables of one model in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from autocrud.storage.metadata.postgres.batch import Batch
from autocrud.storage.metadata.postgres.tables import PostgresTables, columns_of
from autocrud.storage.metadata.postgres.versions.state_tables import prune_other_states, purge_other_states


async def apply(connection: Any, tables: PostgresTables, batch: Batch) -> None:
    """Make the rows what a decided batch says, in the open transaction, with a constant number of statements."""
    history, side_tables = tables.history, tables.side_tables
    released: list[str] = []
    # What is set free goes first: who takes it may be in the same batch.
    if purged := batch.purged_ids():
        await connection.execute(history.purge, purged, batch.erased_records)
        await connection.execute(tables.purge_heads, purged)
        if tables.states.temporal:
            await connection.execute(tables.states.purge, purged)
        await purge_other_states(connection, tables, purged)
        await connection.execute(side_tables.delete_keys_of, purged)
        released = [file_id for (file_id,) in await connection.fetch(side_tables.release, purged)]
    if claim_donors := batch.claim_donors():
        await connection.execute(tables.release_claims, claim_donors)
    new_rows, data_rows, metadata_rows = batch.rows()
    keys = batch.key_rows()
    if keys:
        await connection.execute(side_tables.delete_keys, *batch.key_times())
    for sql, rows in (
        (tables.update_meta, metadata_rows),
        (tables.update, data_rows),
        (tables.insert, new_rows),
        (history.insert_commits, batch.commits()),
        (side_tables.insert_blobs, batch.blob_rows),
        (side_tables.insert_references, batch.references()),
        (side_tables.insert_keys, keys),
        (side_tables.on_delete_tasks.insert, batch.pending),
        *batch.states(),
    ):
        if rows:
            await connection.execute(sql, *columns_of(rows))
    if released:
        await _orphan(connection, tables, released, deferred=False)
    for version in batch.other_versions():
        await connection.execute(tables.index_states.mark_version_stale(version))
    if prunes := batch.prunes():
        await _prune(connection, tables, prunes)


async def _prune(connection: Any, tables: PostgresTables, prunes: Sequence[tuple[Any, ...]]) -> None:
    history, side_tables = tables.history, tables.side_tables
    pruned_rows = await connection.fetch(history.prune, *columns_of(prunes))
    if not pruned_rows:
        return
    if tables.states.temporal:
        await connection.execute(tables.states.prune, *columns_of([tuple(row) for row in pruned_rows]))
    await prune_other_states(connection, tables, [tuple(row) for row in pruned_rows])
    released = await connection.fetch(side_tables.release_versions, *columns_of([tuple(row) for row in pruned_rows]))
    await _orphan(connection, tables, [file_id for (file_id,) in released], deferred=True)


async def _orphan(connection: Any, tables: PostgresTables, file_ids: Sequence[str], *, deferred: bool) -> None:
    """Give up those of these blobs that nobody refers to any more."""
    if file_ids:
        await connection.execute(tables.side_tables.lock_blobs, file_ids)
        await connection.execute(tables.side_tables.delete_orphans, file_ids, deferred)
