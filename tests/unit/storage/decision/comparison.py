"""Comparison of `decide` with the naive store, over a sequence of batches."""

from collections.abc import Sequence
from random import Random
from typing import Any

from autocrud.errors import Referenced, UniqueViolation
from autocrud.storage.decision import decide as decision
from autocrud.storage.decision.references import MissingTargets, UnplannedReferrers
from autocrud.storage.decision.state import ReadSet, ReadState, read_set_of
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.transactions import Transaction
from autocrud.storage.ports.types import Blob, ContractExists, Outcome, Repeated, UnknownBlob, Write
from tests.unit.storage.decision.naive_store import NaiveStore, Refusal
from tests.unit.storage.decision.random_batches import Batch, Operation

_TABLES = ("resources", "holders", "keys", "blobs", "referrers", "contracts")


def compare(batches: Sequence[Batch], seed: int) -> None:
    """Decide batches one after the other, and compare each outcome with the naive store."""
    store, chance = NaiveStore(), Random(seed)
    for operations in batches:
        before = store.copy()
        transactions, expected = list[Transaction](), list[list[Refusal | None]]()
        for group in operations:
            transactions.append(_transaction(store, group))
            expected.append(store.judge(transactions[-1]))
        found = _decide(before, transactions, chance)
        assert [[_refusal(outcome) for outcome in outcomes] for outcomes in found.outcomes] == expected
        accepted = [
            item
            for transaction, outcome in zip(transactions, expected, strict=True)
            for item in transaction.items
            if not any(outcome) and isinstance(item, Write | Blob | Contract)
        ]
        assert [id(item) for item in found.accepted] == [id(item) for item in accepted]
        store.has_tasks = store.has_tasks and chance.random() < 0.7


def _transaction(store: NaiveStore, group: Sequence[Operation]) -> Transaction:
    """Return a transaction whose items fit the state that they meet, except for planted faults."""
    scratch, items = store.copy(), []
    for operation in group:
        items.append(operation.item(scratch))
        scratch.apply(items[-1])
    return Transaction(items)


def _decide(store: NaiveStore, transactions: Sequence[Transaction], chance: Random) -> decision.Decision:
    """Load state in pieces, decide, and load what is missing in pieces, too."""
    reads = read_set_of(transactions)
    state = store.read_state(reads if chance.random() < 0.5 else _part_of(reads, chance, 0))
    while True:
        before = _copy(state)
        found = decision.decide(state, transactions)
        assert state == before
        if isinstance(found, decision.Decision):
            return found
        assert found.reads
        assert not any(getattr(found.reads, table) & getattr(state, table).keys() for table in _TABLES)
        state.add(store.read_state(_part_of(found.reads, chance, 1)))


def _copy(state: ReadState) -> ReadState:
    return ReadState(
        dict(state.resources),
        dict(state.holders),
        dict(state.keys),
        dict(state.blobs),
        dict(state.referrers),
        state.has_tasks,
        dict(state.contracts),
    )


def _part_of(reads: ReadSet, chance: Random, least: int) -> ReadSet:
    """Return some of the names, at least so many."""
    names = [(table, name) for table in _TABLES for name in sorted(getattr(reads, table))]
    part = ReadSet()
    for table, name in chance.sample(names, chance.randint(min(least, len(names)), len(names))):
        getattr(part, table).add(name)
    return part


def _refusal(outcome: Outcome) -> Refusal | None:
    """Return the class of a refusal, and what it names."""
    names: tuple[Any, ...] = ()
    if isinstance(outcome, UniqueViolation):
        names = (outcome.fields, outcome.holder)
    elif isinstance(outcome, Repeated):
        names = (outcome.resource_id, outcome.fingerprint)
    elif isinstance(outcome, ContractExists):
        names = (outcome.stored,)
    elif isinstance(outcome, UnknownBlob):
        names = (outcome.file_id,)
    elif isinstance(outcome, MissingTargets):
        names = (outcome.references,)
    elif isinstance(outcome, UnplannedReferrers):
        names = (outcome.target,)
    elif isinstance(outcome, Referenced):
        assert outcome.resource_ids
    return None if outcome is None else (type(outcome), *names)
