"""Tables of a store in SQLite: the end of the log, models, contracts, changes, claims, references, erasures, tasks."""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Any, NamedTuple

from autocrud.resource import CommitKind
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.transactions import Position, StoreChange

LAYOUT = 9  # of all tables; counted up with each change of them

_TABLES = (
    """CREATE TABLE IF NOT EXISTS log (
        one INTEGER PRIMARY KEY CHECK (one = 1), sequence INTEGER NOT NULL, header_hash TEXT NOT NULL,
        time TEXT NOT NULL, unit INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL
    )""",
    "CREATE TABLE IF NOT EXISTS store (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS models (folder TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS contracts (model TEXT PRIMARY KEY NOT NULL, contract TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS changes (
        sequence INTEGER NOT NULL, ordinal INTEGER NOT NULL, model TEXT NOT NULL, resource_id TEXT NOT NULL,
        version INTEGER NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (sequence, ordinal)
    ) WITHOUT ROWID""",
    # No unique index on the live claims: applying what the log holds never judges.
    """CREATE TABLE IF NOT EXISTS claims (
        model TEXT NOT NULL, resource_id TEXT NOT NULL, unique_set TEXT NOT NULL, digest TEXT NOT NULL,
        live INTEGER NOT NULL, PRIMARY KEY (model, resource_id, unique_set, digest)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS claims_by_digest ON claims (digest, unique_set, model) WHERE live = 1",
    """CREATE TABLE IF NOT EXISTS stored_references (
        model TEXT NOT NULL, resource_id TEXT NOT NULL, field TEXT NOT NULL, target_model TEXT NOT NULL,
        target_id TEXT NOT NULL, on_delete TEXT NOT NULL, must_exist INTEGER NOT NULL, live INTEGER NOT NULL,
        PRIMARY KEY (model, resource_id, field, target_model, target_id)
    ) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS stored_references_by_target ON stored_references (
        target_id, target_model, on_delete) WHERE live = 1""",
    """CREATE TABLE IF NOT EXISTS erasures (
        place TEXT PRIMARY KEY NOT NULL, step INTEGER NOT NULL, purged INTEGER NOT NULL, deferred INTEGER
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS on_delete_tasks (
        model TEXT NOT NULL, resource_id TEXT NOT NULL, time TEXT NOT NULL, by TEXT,
        PRIMARY KEY (model, resource_id, time)
    ) WITHOUT ROWID""",
)


class Erasure(NamedTuple):
    """A part of the storage that is to be erased for good.

    Attributes:
        place: key of an object, or locator of bytes in the log.
        step: objects go first (1), then their records (2), then other records (3): what a crash leaves can be replayed.
        purged: the entry that gave it up; no snapshot from before it may remain.
    """

    place: str
    step: int
    purged: int


def create_store_tables(db: Connection) -> None:
    """Create the missing tables. Everything of an earlier layout is dropped first, because the log can rebuild it."""
    (layout,) = db.execute("PRAGMA user_version").fetchone()
    if layout != LAYOUT:
        _drop_everything(db)
        db.execute(f"PRAGMA user_version = {LAYOUT}")
    for statement in _TABLES:
        db.execute(statement)


def read_store_id(db: Connection) -> str | None:
    """Return the id of the store that the file is an index of; None for a new file."""
    row = db.execute("SELECT id FROM store").fetchone()
    return None if row is None else str(row[0])


def set_store_id(db: Connection, store_id: str) -> None:
    """Remember the id of the store."""
    db.execute("INSERT OR IGNORE INTO store VALUES (1, ?)", (store_id,))


def read_tail(db: Connection) -> Tail:
    """Return the last log entry that has been applied."""
    row = db.execute('SELECT sequence, header_hash, time, unit, start, "end" FROM log').fetchone()
    return EMPTY_TAIL if row is None else Tail(*row)


def set_tail(db: Connection, tail: Tail) -> None:
    """Store the last log entry that has been applied."""
    db.execute("INSERT OR REPLACE INTO log VALUES (1, ?, ?, ?, ?, ?, ?)", tail)


def add_models(db: Connection, folders: Iterable[str]) -> None:
    """Note that these models have been written to."""
    db.executemany("INSERT OR IGNORE INTO models VALUES (?)", [(folder,) for folder in folders])


def stored_models(db: Connection) -> set[str]:
    """Return the folders of all models that were ever written to."""
    return {folder for (folder,) in db.execute("SELECT folder FROM models")}


def is_stored(db: Connection, folder: str) -> bool:
    """Return True if a model was ever written to."""
    return db.execute("SELECT 1 FROM models WHERE folder = ?", (folder,)).fetchone() is not None


def set_contracts(db: Connection, contracts: Iterable[Contract]) -> None:
    """Store the newest contracts of models."""
    rows = [(contract.model, contract.to_json().decode()) for contract in contracts]
    db.executemany("INSERT OR REPLACE INTO contracts VALUES (?, ?)", rows)


def load_contracts(db: Connection, models: Iterable[str]) -> dict[str, Contract | None]:
    """Return the newest contract of each model; None if the model has none."""
    found: dict[str, Contract | None] = dict.fromkeys(models)
    for model, content in db.execute("SELECT model, contract FROM contracts"):
        if model in found:
            found[model] = Contract.from_json(model, content)
    return found


def add_changes(db: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add committed writes to the changes: sequence, ordinal, model, id, version, kind."""
    db.executemany("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)", rows)


def delete_changes(db: Connection, model: str, resource_id: str, sequences: Iterable[int]) -> None:
    """Delete the changes of a purged resource, which are in these batches."""
    delete = "DELETE FROM changes WHERE sequence = ? AND model = ? AND resource_id = ?"
    db.executemany(delete, [(sequence, model, resource_id) for sequence in set(sequences)])


def changes_after(db: Connection, after: Position, limit: int) -> list[StoreChange]:
    """Return at most `limit` changes behind a position."""
    where = "(sequence, ordinal) > (?, ?) ORDER BY sequence, ordinal LIMIT ?"
    rows = db.execute(
        f"SELECT sequence, ordinal, model, resource_id, version, kind FROM changes WHERE {where}", (*after, limit)
    )
    return [
        StoreChange(Position(sequence, ordinal), model, resource_id, version, CommitKind(kind))
        for sequence, ordinal, model, resource_id, version, kind in rows
    ]


def last_position(db: Connection) -> Position | None:
    """Return the position of the last committed write."""
    row = db.execute("SELECT sequence, ordinal FROM changes ORDER BY sequence DESC, ordinal DESC LIMIT 1").fetchone()
    return None if row is None else Position(*row)


def add_erasure(db: Connection, erasure: Erasure, *, deferred: bool) -> None:
    """Note that something is to be erased: as part of what asked for it, or when there is time."""
    db.execute("INSERT OR IGNORE INTO erasures VALUES (?, ?, ?, ?)", (*erasure, deferred))


def pending_erasures(db: Connection, deferred: bool) -> list[Erasure]:
    """Return the pending erasures; the deferred ones only if `deferred` is set."""
    rows = db.execute("SELECT place, step, purged FROM erasures WHERE deferred <= ?", (deferred,))
    return [Erasure(*row) for row in rows]


def delete_erasures(db: Connection, erasures: Iterable[Erasure]) -> None:
    """Note that these are erased."""
    db.executemany("DELETE FROM erasures WHERE place = ?", [(erasure.place,) for erasure in erasures])


def has_tasks(db: Connection) -> bool:
    """Return True if the store has on-delete tasks."""
    return db.execute("SELECT 1 FROM on_delete_tasks LIMIT 1").fetchone() is not None


def _drop_everything(db: Connection) -> None:
    tables = "SELECT type, name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    # Virtual tables first: their shadow tables go with them.
    rows = db.execute(f"{tables} ORDER BY sql NOT LIKE 'CREATE VIRTUAL%'").fetchall()
    for _, name in rows:
        escaped = name.replace('"', '""')
        db.execute(f'DROP TABLE IF EXISTS "{escaped}"')
