"""The decision: accepts or refuses each transaction of a batch. A pure function, and the only judge of all backends."""

from collections.abc import Sequence
from dataclasses import dataclass

from autocrud.storage.decision.claims import claim_refusals
from autocrud.storage.decision.overlay import MissingState, Overlay
from autocrud.storage.decision.references import reference_refusal_steps
from autocrud.storage.decision.state import ReadSet, ReadState
from autocrud.storage.decision.writes import apply_check, apply_contract, apply_write, register_blob
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.time_slice import Steps, run_to_end
from autocrud.storage.ports.transactions import Transaction, TransactionItem, TransactionOutcome, VersionCheck
from autocrud.storage.ports.types import Blob, Item, Outcome, Write, abort_unless_all_accepted

_STORED_ITEMS = (Write, Blob, Contract)  # a tuple, because a check against a union takes three times as long


@dataclass(frozen=True, slots=True)
class Decision:
    """Outcome of a batch.

    Attributes:
        outcomes: of each transaction, the outcome of each item.
        accepted: writes, blobs and contracts of the accepted transactions, in order. To apply them cannot fail.
    """

    outcomes: list[TransactionOutcome]
    accepted: list[Item]


@dataclass(frozen=True, slots=True)
class MoreReads:
    """State that must be loaded before the batch can be decided."""

    reads: ReadSet


def decide(state: ReadState, batch: Sequence[Transaction]) -> Decision | MoreReads:
    """Decide a batch without a pause. See `decision_steps`."""
    return run_to_end(decision_steps(state, batch))


def decision_steps(state: ReadState, batch: Sequence[Transaction]) -> Steps[Decision | MoreReads]:
    """Accept or refuse each transaction, in order. A later transaction sees the effects of the accepted ones before.

    Args:
        state: state as of one moment, with everything in `read_set_of(batch)`. It is not changed.

    Returns the decision, or the state that is missing. Load it as of the same moment, add it, and decide again.
    """
    overlay = Overlay(state)
    outcomes: list[TransactionOutcome] = []
    accepted: list[Item] = []
    missing = ReadSet()
    for transaction in batch:
        try:
            outcome = yield from _decide_one(overlay, transaction)
        except MissingState as error:
            # The other transactions may need more state, too. Their outcomes do not count.
            missing.add(error.reads)
            overlay.revert()
            continue
        outcomes.append(outcome)
        if not any(outcome):
            accepted += [item for item in transaction.items if isinstance(item, _STORED_ITEMS)]
    return MoreReads(missing) if missing else Decision(outcomes, accepted)


def _decide_one(overlay: Overlay, transaction: Transaction) -> Steps[TransactionOutcome]:
    overlay.begin()
    outcome: TransactionOutcome = []
    for item in transaction.items:
        outcome.append(_apply_item(overlay, item))
        yield
    if not any(outcome) and overlay.disputes:
        violations = claim_refusals(overlay, transaction)
        outcome = [violations.get(number) for number in range(len(outcome))]
    if not any(outcome) and overlay.changes_references:
        refusals = yield from reference_refusal_steps(overlay, transaction)
        outcome = [refusals.get(number) for number in range(len(outcome))]
    if any(outcome):
        overlay.revert()
        return abort_unless_all_accepted(outcome) if len(outcome) > 1 else outcome
    return outcome


def _apply_item(overlay: Overlay, item: TransactionItem) -> Outcome:
    if isinstance(item, Write):
        return apply_write(overlay, item)
    if isinstance(item, Blob):
        return register_blob(overlay, item)
    if isinstance(item, VersionCheck):
        return apply_check(overlay, item)
    if isinstance(item, Contract):
        return apply_contract(overlay, item)
    overlay.changes_references = True  # a dependent is judged with the references
    return None
