"""Commit of a journal: all writes at one commit point, or the first refusal."""

from typing import cast
from uuid import uuid4

from autocrud.errors import Aborted, AutoCRUDError, Conflict, StorageUnavailable, UniqueViolation
from autocrud.manager.transaction.journal import Journal, JournalItem
from autocrud.references.committer import PlannedWrite, ReferenceCommitter
from autocrud.storage.ports.transactions import Transaction, TransactionOutcome, VersionCheck


async def commit(journal: Journal, committer: ReferenceCommitter) -> None:
    """Commit the writes and checks of a journal, if there are any.

    Raises:
        AutoCRUDError: the first refusal, with the operation; nothing is stored.
        StorageUnavailable: the outcome is unknown; a read shows it.
    """
    items = journal.items()
    if not items:
        return
    request = str(uuid4())
    for item in journal.writes:
        cast(PlannedWrite, item.item).write.request = request
    outcomes = await _commit(journal, committer, items)
    refusals = [(item, error) for item, error in zip(items, outcomes, strict=True) if error is not None]
    if not refusals:
        return
    item, error = next((pair for pair in refusals if not isinstance(pair[1], Aborted)), refusals[0])
    if isinstance(error, StorageUnavailable):
        raise error
    resource_id = item.resource_id
    if item.is_upsert and isinstance(error, UniqueViolation) and error.holder is not None:
        # A holder appeared after the search for it. The next attempt finds the holder.
        resource_id = error.holder
        error = Conflict(resource_id, 0, reason=f"{error.holder!r} has taken the same {error.field} meanwhile.")
    name_operation(error, item.operation, item.node.name, resource_id)
    raise error


async def _commit(journal: Journal, committer: ReferenceCommitter, items: list[JournalItem]) -> TransactionOutcome:
    if journal.writes or journal.store is None:
        return await committer.commit([item.item for item in items])
    checks = [item.item for item in items if isinstance(item.item, VersionCheck)]
    return (await journal.store.commit([Transaction(checks)]))[0]


def name_operation(error: AutoCRUDError, number: int, model: str, resource_id: str | None) -> None:
    """Set the operation of the transaction that an error belongs to."""
    if error.operation is None:
        error.operation, error.operation_model, error.operation_id = number, model, resource_id
        error.add_note(f"In operation {number} of the transaction, on {model}.")
