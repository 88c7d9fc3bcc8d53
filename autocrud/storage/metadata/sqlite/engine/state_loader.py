"""Loads the state that a decision reads from SQLite, with a constant number of statements per model."""

import json
from collections.abc import Iterable, Sequence
from sqlite3 import Connection

from autocrud.storage.decision.state import (
    NamedKey,
    ReadSet,
    ReadState,
    ResourceKey,
    ResourceState,
    StoredKey,
)
from autocrud.storage.metadata.sqlite.engine.claim_tables import NO_FACTS, load_facts, load_holders, load_referrers
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.store_tables import has_tasks, load_contracts


def load_state(db: Connection, models: Models, reads: ReadSet) -> ReadState:
    """Return the state that a read set names."""
    state = ReadState(has_tasks=has_tasks(db))
    load_resources(db, models, reads.resources, state)
    if reads.holders:
        holders = load_holders(db, reads.holders)
        state.holders = {key: holders.get(key) for key in reads.holders}
    for model, keys in _by_model(reads.keys):
        tables = models.find(db, model)
        stored = {} if tables is None else tables.side_tables.stored_keys(db, keys)
        state.keys |= {(model, key): StoredKey(*stored[key]) if key in stored else None for key in keys}
    for model, file_ids in _by_model(reads.blobs):
        tables = models.find(db, model)
        registered = set() if tables is None else tables.side_tables.registered(db, file_ids)
        state.blobs |= {(model, file_id): file_id in registered for file_id in file_ids}
    if reads.contracts:
        state.contracts = load_contracts(db, reads.contracts)
    state.referrers = {target: load_referrers(db, target) for target in reads.referrers}
    return state


def load_resources(db: Connection, models: Models, resources: Iterable[ResourceKey], state: ReadState) -> None:
    """Add resources to a state."""
    for model, resource_ids in _by_model(resources):
        tables = models.find(db, model)
        state.resources |= dict.fromkeys((model, resource_id) for resource_id in resource_ids)
        if tables is None:
            continue
        rows = db.execute(tables.select_states, (json.dumps(resource_ids),)).fetchall()
        facts = load_facts(db, model, [row[0] for row in rows]) if rows else {}
        for resource_id, version, created_time, is_deleted in rows:
            claims, references, _ = facts.get(resource_id, NO_FACTS)
            state.resources[model, resource_id] = ResourceState(
                version, created_time, bool(is_deleted), claims, references
            )


def _by_model(keys: Iterable[NamedKey]) -> Iterable[tuple[str, Sequence[str]]]:
    names: dict[str, list[str]] = {}
    for model, name in keys:
        names.setdefault(model, []).append(name)
    return names.items()
