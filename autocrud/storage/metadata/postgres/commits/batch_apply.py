"""Applies accepted items to the tables, in the open transaction. Applying never judges."""

from collections.abc import Iterable, Sequence
from typing import Any

from autocrud.storage.metadata.postgres.commits.combined import CombinedStatement
from autocrud.storage.metadata.postgres.commits.model_plan import ModelPlan
from autocrud.storage.metadata.postgres.commits.store_tables import NEW_COMMITS, StoreTables
from autocrud.storage.metadata.postgres.tables import columns_of
from autocrud.storage.metadata.postgres.versions.state_tables import prune_other_states, purge_other_states
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.types import Item


def newest_contracts(items: Iterable[Item]) -> list[Contract]:
    """Return the contracts among items: the last one of each model."""
    return list({item.model: item for item in items if isinstance(item, Contract)}.values())


async def apply_plans(
    connection: Any,
    store: StoreTables,
    plans: Sequence[ModelPlan],
    batch_row: tuple[Any, ...] = (),
    *,
    contracts: Sequence[Contract] = (),
    marks_stale: bool = True,
) -> None:
    """Make the rows what the plans say, with a constant number of statements per model.

    Args:
        batch_row: row of the batch itself, if it is to be stored.
        contracts: new contracts of models, at most one of each.
        marks_stale: mark index columns as stale that this process does not know. Tables without states of index
            columns have nothing to mark.
    """
    shared = CombinedStatement()
    for plan in plans:
        await _erase(connection, store, plan)
        # The rows of a batch with one model take one statement.
        statement = shared if len(plans) == 1 else CombinedStatement()
        _add_model_rows(statement, store, plan, marks_stale=marks_stale)
        if statement is not shared:
            await statement.execute(connection)
        _add_store_rows(shared, store, plan)
    shared.add_rows(store.insert_contracts, [(item.model, item.to_json().decode()) for item in contracts])
    if batch_row:
        shared.add(store.insert_batch, *batch_row)
    await shared.execute(connection)
    for plan in plans:
        await _apply_states(connection, plan)
        for version in plan.other_versions() if marks_stale else ():
            await connection.execute(plan.tables.index_states.mark_version_stale(version))


def _add_model_rows(statement: CombinedStatement, store: StoreTables, plan: ModelPlan, *, marks_stale: bool) -> None:
    tables, side_tables = plan.tables, plan.tables.side_tables
    metadata_rows, data_rows, new_rows = plan.head_rows()
    statement.add_rows(tables.update_meta, metadata_rows)
    statement.add_rows(tables.update, data_rows)
    statement.add_rows(tables.insert, new_rows)
    if commits := plan.commit_rows():
        statement.add_rows(tables.history.insert_commits, commits, name=NEW_COMMITS)
        statement.add(store.insert_changes_of_commits(plan.model))
    if marks_stale:
        statement.add(tables.index_states.mark_stale)
    statement.add_rows(side_tables.insert_blobs, plan.blob_rows)
    statement.add_rows(side_tables.insert_references, plan.blob_references())


def _add_store_rows(statement: CombinedStatement, store: StoreTables, plan: ModelPlan) -> None:
    deleted_claims, moved_claims, new_claims = plan.claim_rows()
    statement.add_rows(store.delete_claims, deleted_claims)
    statement.add_rows(store.move_claims, moved_claims)
    statement.add_rows(store.insert_claims, new_claims)
    deleted_references, new_references = plan.reference_rows()
    statement.add_rows(store.delete_references, deleted_references)
    statement.add_rows(store.insert_references, new_references)
    statement.add_rows(store.insert_keys, plan.key_rows())
    statement.add_rows(store.insert_tasks, plan.task_rows)
    statement.add_rows(store.insert_changes, plan.purge_rows())


async def _erase(connection: Any, store: StoreTables, plan: ModelPlan) -> None:
    """Delete what the batch purges and prunes, and note the bytes that are to be erased."""
    erasures, tables = plan.erasures, plan.tables
    if purged_ids := erasures.purged_ids:
        await connection.execute(store.delete_keys_of, plan.model, purged_ids)
        for sql in (tables.purge_heads, tables.history.purge, tables.side_tables.release):
            await connection.execute(sql, purged_ids)
        if tables.states.temporal:
            await connection.execute(tables.states.purge, purged_ids)
        await purge_other_states(connection, tables, purged_ids)
    statement = CombinedStatement()
    pruned = [(resource_id, version) for resource_id, version, _ in erasures.pruned]
    statement.add_rows(tables.history.prune, pruned)
    statement.add_rows(tables.side_tables.release_versions, pruned)
    statement.add_rows(store.delete_changes, erasures.purged)
    nothing = (None, None, None)
    rows: list[tuple[Any, ...]] = [(*position, True, False, *nothing) for position in erasures.purged]
    rows += [(*position, False, True, plan.model, *resource) for *resource, position in erasures.pruned]
    rows += [(*position, True, deferred, *nothing) for _, _, position, deferred in erasures.orphans]
    statement.add_rows(store.insert_erasures, list(dict.fromkeys(rows)))
    if erasures.orphans:
        statement.add(tables.side_tables.delete_blobs, [file_id for file_id, *_ in erasures.orphans])
        keys = [(plan.model, key, deferred) for _, key, _, deferred in erasures.orphans]
        statement.add_rows(store.insert_blob_erasures, keys)
    await statement.execute(connection)


async def _apply_states(connection: Any, plan: ModelPlan) -> None:
    tables = plan.tables
    for sql, rows in plan.states():
        if rows:
            await connection.execute(sql, *columns_of(rows))
    pruned: list[tuple[Any, ...]] = [(resource_id, version) for resource_id, version, _ in plan.erasures.pruned]
    if pruned:
        if tables.states.temporal:
            await connection.execute(tables.states.prune, *columns_of(pruned))
        await prune_other_states(connection, tables, pruned)
