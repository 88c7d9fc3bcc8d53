"""Tables that all models of a PostgreSQL schema share, and the statements on them."""

from autocrud.storage.decision.state import BINDING_ACTIONS, MAX_REFERRERS
from autocrud.storage.metadata.postgres.compiler import key_of, load_columns, quote, quote_text, rows_of

NEW_COMMITS = "new_commits"  # name of the statement that inserts commits
CLAIM = {"model": "text", "unique_set": "text", "digest": "text"}
CLAIM_ROW = {**CLAIM, "resource_id": "text"}
REFERENCE_ROW = {
    "target_model": "text",
    "target_id": "text",
    "model": "text",
    "resource_id": "text",
    "field": "text",
    "on_delete": "text",
}
CHANGE_ROW = {
    "sequence": "bigint",
    "ordinal": "integer",
    "model": "text",
    "resource_id": "text",
    "version": "bigint",
    "kind": "text",
}
KEY_ROW = {"model": "text", "key": "text", "fingerprint": "text", "expires": "text", "resource_id": "text"}
CONTRACT_ROW = {"model": "text", "contract": "text"}
TASK_ROW = {"model": "text", "resource_id": "text", "time": "text", "by": "text"}
POSITION = {"sequence": "bigint", "ordinal": "integer"}
ERASURE_ROW = {
    **POSITION,
    "is_purged": "boolean",
    "deferred": "boolean",
    "model": "text",
    "resource_id": "text",
    "version": "bigint",
}
BLOB_ERASURE_ROW = {"model": "text", "key": "text", "deferred": "boolean"}


class StoreTables:
    """Names and statements of the tables of one store.

    Args:
        schema: PostgreSQL schema of the tables.
    """

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.store = self._name("store")
        self.store_id = f"SELECT id FROM {self.store}"
        self.insert_store = f"INSERT INTO {self.store} VALUES ($1)"
        self.lock = key_of(f"store {schema}")
        self.batches, self.changes = self._name("batches"), self._name("changes")
        self.claims, self.references = self._name("claims"), self._name("stored_references")
        self.models, self.keys = self._name("models"), self._name("idempotency_keys")
        self.contracts = self._name("contracts")
        self.tasks = self._name("on_delete_tasks")
        self.erasures, self.blob_erasures = self._name("erasures"), self._name("blob_erasures")
        self._prepare_batches()
        self._prepare_constraints()
        self._prepare_side_tables()

    def insert_changes_of_commits(self, model: str) -> str:
        """Return the statement that adds the new commits of a model to the changes. It reads `NEW_COMMITS`."""
        return self._changes_of_commits % quote_text(model)

    def _prepare_batches(self) -> None:
        # The last row states where the next batch continues.
        tasks = f"EXISTS (SELECT 1 FROM {self.tasks})"
        self.load_tail = (
            f"SELECT {load_columns('t.header_hash', 't.sequence', flag=tasks, text1='t.time')} FROM (SELECT 1) AS one"
            f" LEFT JOIN (SELECT sequence, time, header_hash FROM {self.batches} ORDER BY sequence DESC LIMIT 1) t"
            " ON true"
        )
        self.insert_batch = f"INSERT INTO {self.batches} VALUES ($1, $2, $3, $4, $5)"
        self.last_moved = (
            f"SELECT sequence, header_hash FROM {self.batches} WHERE records IS NULL ORDER BY sequence DESC LIMIT 1"
        )
        self.nonce_of = f"SELECT nonce FROM {self.batches} WHERE sequence = $1"
        self.part_of_batch = (
            f"SELECT substring(records FROM $2::integer FOR $3::integer) FROM {self.batches} WHERE sequence = $1"
        )
        self.records_of = f"SELECT records FROM {self.batches} WHERE sequence = $1"
        self.replace_records = f"UPDATE {self.batches} SET records = $2 WHERE sequence = $1"
        self.empty_batches = f"UPDATE {self.batches} SET records = NULL WHERE sequence = ANY($1::bigint[])"
        self.batches_to_move = self._batches_to_move()
        self.backlog = (
            f"SELECT coalesce(sum(octet_length(records)), 0), min(sequence), (SELECT max(sequence) FROM {self.batches})"
            f" FROM {self.batches} WHERE records IS NOT NULL"
        )
        self.insert_changes = _insert(self.changes, CHANGE_ROW)
        self._changes_of_commits = (
            f"INSERT INTO {self.changes} ({', '.join(CHANGE_ROW)})"
            f" SELECT sequence, ordinal, %s, resource_id, version, kind FROM {NEW_COMMITS}"
        )
        self.delete_changes = _delete(self.changes, POSITION)
        self.changes_after = (
            f"SELECT sequence, ordinal, model, resource_id, version, kind FROM {self.changes}"
            " WHERE (sequence, ordinal) > ($1, $2) ORDER BY sequence, ordinal LIMIT $3"
        )
        self.last_change = f"SELECT sequence, ordinal FROM {self.changes} ORDER BY sequence DESC, ordinal DESC LIMIT 1"

    def _prepare_constraints(self) -> None:
        self.holders = _look_up(self.claims, CLAIM, "named.place, t.resource_id")
        self.load_holders = _look_up(self.claims, CLAIM, load_columns("t.resource_id", "named.place"))
        self.load_referrers = self._load_referrers()
        self.insert_claims = _insert(self.claims, CLAIM_ROW)
        self.delete_claims = _delete(self.claims, CLAIM)
        same = " AND ".join(f"c.{name} = row.{name}" for name in CLAIM)
        self.move_claims = (
            f"UPDATE {self.claims} c SET resource_id = row.resource_id FROM {rows_of(CLAIM_ROW)} WHERE {same}"
        )
        self.insert_references = (
            f"{_insert(self.references, REFERENCE_ROW)} ON CONFLICT"
            " (target_model, target_id, model, resource_id, field) DO UPDATE SET on_delete = excluded.on_delete"
        )
        self.delete_references = _delete(self.references, REFERENCE_ROW)

    def _prepare_side_tables(self) -> None:
        key_columns = load_columns("t.resource_id", "named.place", text1="t.fingerprint", text2="t.expires")
        self.load_keys = _look_up(self.keys, {"model": "text", "key": "text"}, key_columns)
        self.insert_keys = (
            f"{_insert(self.keys, KEY_ROW)} ON CONFLICT (model, key) DO UPDATE SET fingerprint = excluded.fingerprint,"
            " expires = excluded.expires, resource_id = excluded.resource_id"
        )
        self.delete_keys_of = f"DELETE FROM {self.keys} WHERE model = $1 AND resource_id = ANY($2::text[])"
        self.drop_expired_keys = f"DELETE FROM {self.keys} WHERE model = $1 AND expires < $2"
        self.insert_tasks = f"{_insert(self.tasks, TASK_ROW)} ON CONFLICT DO NOTHING"
        self.pending_deletions = (
            f"SELECT resource_id, time, by FROM {self.tasks} WHERE model = $1 AND (resource_id, time) > ($2, $3)"
            " ORDER BY resource_id, time LIMIT $4"
        )
        self.complete = _delete(self.tasks, {"model": "text", "resource_id": "text", "time": "text"})
        contract_columns = load_columns("t.model", "named.place", text1="t.contract")
        self.load_contracts = _look_up(self.contracts, {"model": "text"}, contract_columns)
        self.insert_contracts = (
            f"{_insert(self.contracts, CONTRACT_ROW)} ON CONFLICT (model) DO UPDATE SET contract = excluded.contract"
        )
        self.insert_models = f"INSERT INTO {self.models} SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
        self.stored_models = f"SELECT folder FROM {self.models} WHERE folder = ANY($1::text[])"
        self.all_models = f"SELECT folder FROM {self.models}"
        self.insert_erasures = f"{_insert(self.erasures, ERASURE_ROW)} ON CONFLICT DO NOTHING"
        self.insert_blob_erasures = f"{_insert(self.blob_erasures, BLOB_ERASURE_ROW)} ON CONFLICT DO NOTHING"
        self.has_erasures = (
            f"SELECT EXISTS (SELECT 1 FROM {self.erasures} WHERE deferred <= $1)"
            f" OR EXISTS (SELECT 1 FROM {self.blob_erasures} WHERE deferred <= $1)"
        )
        self.pending_erasures = f"SELECT {', '.join(ERASURE_ROW)} FROM {self.erasures} WHERE deferred <= $1"
        self.pending_blob_erasures = f"SELECT model, key FROM {self.blob_erasures} WHERE deferred <= $1"
        self.delete_erasures = _delete(self.erasures, {**POSITION, "is_purged": "boolean"})
        self.delete_blob_erasures = _delete(self.blob_erasures, {"model": "text", "key": "text"})

    def _name(self, name: str) -> str:
        return f"{quote(self.schema)}.{quote(name)}"

    def _batches_to_move(self) -> str:
        """Return the statement for the first batches that are not moved: at most so many, with so many bytes."""
        waiting = f"SELECT sequence, octet_length(records) AS size FROM {self.batches} WHERE records IS NOT NULL"
        sizes = (
            "SELECT sequence, sum(size) OVER (ORDER BY sequence) - size AS before FROM"
            f" ({waiting} ORDER BY sequence LIMIT $1) AS first_batches"
        )
        return (
            f"SELECT sequence, records FROM {self.batches} JOIN ({sizes}) AS sized USING (sequence)"
            " WHERE before < $2 ORDER BY sequence"
        )

    def _load_referrers(self) -> str:
        """Return the statement for the referrers of targets, with the place of each target."""
        actions = ", ".join(f"'{action.value}'" for action in sorted(BINDING_ACTIONS))
        found = (
            f"SELECT model, resource_id, field, on_delete FROM {self.references} r"
            " WHERE r.target_model = target.model AND r.target_id = target.resource_id"
            f" AND on_delete IN ({actions}) ORDER BY on_delete <> 'restrict', on_delete = 'set_null',"
            f" model, resource_id LIMIT {MAX_REFERRERS}"
        )
        columns = load_columns("r.resource_id", "target.place", text1="r.model", text2="r.field", text3="r.on_delete")
        return (
            f"SELECT {columns} FROM unnest($1::text[], $2::text[]) WITH ORDINALITY"
            f" AS target (model, resource_id, place) CROSS JOIN LATERAL ({found}) r"
        )


def _look_up(table: str, names: dict[str, str], columns: str) -> str:
    """Return the statement for the rows with these names, which come as arrays; `named.place` is their place."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(names.values(), 1))
    same = " AND ".join(f"t.{name} = named.{name}" for name in names)
    return (
        f"SELECT {columns} FROM unnest({arrays}) WITH ORDINALITY AS named ({', '.join(names)}, place)"
        f" JOIN {table} t ON {same}"
    )


def _insert(table: str, columns: dict[str, str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT row.* FROM {rows_of(columns)}"


def _delete(table: str, columns: dict[str, str]) -> str:
    same = " AND ".join(f"t.{name} = row.{name}" for name in columns)
    return f"DELETE FROM {table} t USING {rows_of(columns)} WHERE {same}"
