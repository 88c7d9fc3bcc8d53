"""Claims and references of a store in SQLite: the statements on the two tables that all models share."""

import json
from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import NamedTuple

from autocrud.storage.decision.state import BINDING_ACTIONS, MAX_REFERRERS, ClaimKey, Referrer, ResourceKey
from autocrud.storage.ports.claims import Claim, StoredReference

_BINDING = ", ".join(f"'{action.value}'" for action in sorted(BINDING_ACTIONS))
_INSERT_CLAIM = "INSERT OR REPLACE INTO claims VALUES (?, ?, ?, ?, ?)"
_INSERT_REFERENCE = "INSERT OR REPLACE INTO stored_references VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class Facts(NamedTuple):
    """Claims and references of one resource, as the tables hold them."""

    claims: tuple[Claim, ...] = ()
    references: tuple[StoredReference, ...] = ()
    live: bool = True


NO_FACTS = Facts()


def load_facts(db: Connection, model: str, resource_ids: Sequence[str]) -> dict[str, Facts]:
    """Return the claims and references of resources that have any, by id."""
    ids = json.dumps(resource_ids)
    claims: dict[str, list[Claim]] = {}
    columns = "resource_id, unique_set, digest"
    selection = "model = ? AND resource_id IN (SELECT value FROM json_each(?))"
    for resource_id, *claim in db.execute(f"SELECT {columns} FROM claims WHERE {selection}", (model, ids)):
        claims.setdefault(resource_id, []).append(Claim(*claim))
    references: dict[str, list[StoredReference]] = {}
    columns = "resource_id, field, target_model, target_id, on_delete, must_exist"
    sql = f"SELECT {columns} FROM stored_references WHERE {selection}"
    for resource_id, field, target, target_id, on_delete, must_exist in db.execute(sql, (model, ids)):
        found = StoredReference(field, target, target_id, on_delete, bool(must_exist))
        references.setdefault(resource_id, []).append(found)
    return {
        resource_id: Facts(tuple(claims.get(resource_id, ())), tuple(references.get(resource_id, ())))
        for resource_id in claims.keys() | references.keys()
    }


def load_holders(db: Connection, keys: Iterable[ClaimKey]) -> dict[ClaimKey, str]:
    """Return the ids of live resources that have these claims."""
    selection = json.dumps([(model, *claim) for model, claim in keys])
    sql = (
        "SELECT c.model, c.unique_set, c.digest, c.resource_id FROM json_each(?) CROSS JOIN claims c"
        " INDEXED BY claims_by_digest ON c.live = 1 AND c.model = json_extract(value, '$[0]')"
        " AND c.unique_set = json_extract(value, '$[1]') AND c.digest = json_extract(value, '$[2]')"
    )
    return {(model, Claim(names, digest)): holder for model, names, digest, holder in db.execute(sql, (selection,))}


def load_referrers(db: Connection, target: ResourceKey) -> list[Referrer]:
    """Return live referrers with a binding action, those with `set_null` last: the order of the actions' texts."""
    sql = (
        "SELECT model, resource_id, field, on_delete FROM stored_references INDEXED BY stored_references_by_target"
        f" WHERE live = 1 AND target_model = ? AND target_id = ? AND on_delete IN ({_BINDING})"
        f" ORDER BY on_delete, model, resource_id, field LIMIT {MAX_REFERRERS}"
    )
    return [Referrer(*row) for row in db.execute(sql, target)]


def replace_facts(db: Connection, changes: Iterable[tuple[ResourceKey, Facts, Facts]]) -> None:
    """Store claims and references of resources, each with those that are stored and those that are to be."""
    claims: list[tuple[object, ...]] = []
    references: list[tuple[object, ...]] = []
    old_claims: list[ResourceKey] = []
    old_references: list[ResourceKey] = []
    for key, before, after in changes:
        is_removed = after is NO_FACTS  # and on a replay, the state before may be incomplete
        if before.claims or is_removed:
            old_claims.append(key)
        if before.references or is_removed:
            old_references.append(key)
        claims += [(*key, *claim, after.live) for claim in after.claims]
        references += [(*key, *reference, after.live) for reference in after.references]
    db.executemany("DELETE FROM claims WHERE model = ? AND resource_id = ?", old_claims)
    db.executemany("DELETE FROM stored_references WHERE model = ? AND resource_id = ?", old_references)
    db.executemany(_INSERT_CLAIM, claims)
    db.executemany(_INSERT_REFERENCE, references)


def add_facts(db: Connection, key: ResourceKey, facts: Facts) -> list[tuple[Claim, str]]:
    """Add claims and references to those of a resource, but for claims that another live resource holds.

    Returns the claims that are disputed, each with its holder.
    """
    disputed: list[tuple[Claim, str]] = []
    find = (
        "SELECT resource_id FROM claims INDEXED BY claims_by_digest WHERE live = 1 AND model = ? AND unique_set = ?"
        " AND digest = ? AND resource_id <> ? LIMIT 1"
    )
    for claim in facts.claims:
        holder = db.execute(find, (key[0], *claim, key[1])).fetchone() if facts.live else None
        if holder is None:
            db.execute(_INSERT_CLAIM, (*key, *claim, facts.live))
        else:
            disputed.append((claim, holder[0]))
    rows = [(*key, *reference, facts.live) for reference in facts.references]
    db.executemany(_INSERT_REFERENCE, rows)
    return disputed
