"""Decides a batch and applies it within an open transaction, with the log entry that is going to commit it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sqlite3 import Connection

from autocrud.errors import ConfigurationError
from autocrud.resource import CommitKind
from autocrud.storage.commit_log.records.entry import Entry, Lines, encode_lines
from autocrud.storage.commit_log.records.header import Tail
from autocrud.storage.decision.decide import Decision, MoreReads, decide
from autocrud.storage.decision.state import ReadState, read_set_of
from autocrud.storage.metadata.sqlite.engine.batch_apply import BatchApply, PlacedItem, place_item
from autocrud.storage.metadata.sqlite.engine.models import Models
from autocrud.storage.metadata.sqlite.engine.record_place import RecordPlace
from autocrud.storage.metadata.sqlite.engine.state_loader import load_state
from autocrud.storage.metadata.sqlite.engine.store_tables import set_tail
from autocrud.storage.ports.transactions import Position, Transaction, TransactionOutcome
from autocrud.storage.ports.types import Item, Write

Layout = Callable[[Lines, Tail], Entry]


@dataclass(frozen=True, slots=True)
class StagedBatch:
    """A decided batch.

    Attributes:
        entry: log entry of what was accepted and applied; None if all was refused.
        purges: True if the batch purges a resource.
    """

    outcomes: list[TransactionOutcome]
    entry: Entry | None
    purges: bool = False


def stage_batch(
    db: Connection, models: Models, batch: Sequence[Transaction], tail: Tail, layout: Layout
) -> StagedBatch:
    """Decide a batch, and apply what is accepted.

    Args:
        tail: the last entry, which the file has applied.
        layout: returns the entry for encoded lines, with its place in the log.
    """
    _require_models(models, batch)
    decision, state = _decide(db, models, batch)
    accepted = decision.accepted
    if not accepted:
        return StagedBatch(decision.outcomes, None)
    erases = _find_erased(db, models, accepted, state, tail) if any(map(_erases, accepted)) else ()
    entry = layout(encode_lines(accepted, erases), tail)
    placed = [place_item(entry, ordinal, item) for ordinal, item in enumerate(accepted)]
    BatchApply(db, models, state, is_replay=False).apply(placed)
    set_tail(db, entry.tail)
    return StagedBatch(decision.outcomes, entry, any(map(is_purge, accepted)))


def is_purge(item: object) -> bool:
    """Return True if an item of a transaction purges a resource."""
    return isinstance(item, Write) and item.kind is CommitKind.purge


def _erases(item: Item) -> bool:
    return is_purge(item) or (isinstance(item, Write) and bool(item.prunes))


def _decide(db: Connection, models: Models, batch: Sequence[Transaction]) -> tuple[Decision, ReadState]:
    state = load_state(db, models, read_set_of(batch))
    while isinstance(decision := decide(state, batch), MoreReads):
        state.add(load_state(db, models, decision.reads))
    return decision, state


def _find_erased(
    db: Connection, models: Models, items: Sequence[Item], state: ReadState, tail: Tail
) -> list[Sequence[Position]]:
    """Return the positions that each item erases: apply the items, and take that back.

    The records name these positions, so they must be known before the place of the records is.
    """
    placed = [
        PlacedItem(item, RecordPlace(tail.sequence + 1, ordinal, 0, 0, 0, 0), "0:0:0")
        for ordinal, item in enumerate(items)
    ]
    db.execute("SAVEPOINT trial")
    try:
        copy = ReadState(resources=dict(state.resources))
        found = BatchApply(db, models, copy, is_replay=False).apply(placed)
    finally:
        db.execute("ROLLBACK TO trial")
        db.execute("RELEASE trial")
    return [sorted(found.get(item.record.position, ())) for item in placed]


def _require_models(models: Models, batch: Sequence[Transaction]) -> None:
    """Refuse writes to models that this process has not opened: their rows would lack index values.

    Raises:
        ConfigurationError: a model is unknown.
    """
    written = {item.model for transaction in batch for item in transaction.items if isinstance(item, Write)}
    if unknown := written - models.attached.keys():
        raise ConfigurationError(f"no open storage of this store has the model {min(unknown)!r}")
