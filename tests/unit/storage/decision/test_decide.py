"""The decision against a naive store: random batches over two models, loaded in pieces."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autocrud.resource import timestamp
from autocrud.storage.decision import overlay
from autocrud.storage.decision.decide import Decision, decide
from autocrud.storage.decision.references import UncheckedReferrers
from autocrud.storage.decision.state import ReadState, Referrer, ResourceKey, ResourceState
from autocrud.storage.ports.claims import StoredReference
from autocrud.storage.ports.transactions import Transaction
from autocrud.testing.sample_writes import create_write, delete_write, sample
from tests.unit.storage.decision.comparison import compare
from tests.unit.storage.decision.random_batches import Batch, batches

EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "200"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(batches, min_size=1, max_size=4), st.integers(0, 2**32))
def test_5_decision_equals_the_naive_store(sequence: list[Batch], seed: int) -> None:
    """Outcomes, refusals and accepted items are equal, with every order of loading."""
    compare(sequence, seed)


@pytest.mark.parametrize(("limit", "is_refused"), [(2, True), (3, False)])
def test_5_delete_with_all_loaded_referrers_is_refused_if_there_may_be_more(
    limit: int, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine loads a limited number of referrers, and the batch deletes all of these."""
    monkeypatch.setattr(overlay, "MAX_REFERRERS", limit)
    writes = {name: delete_write(create_write(name, sample())) for name in ("a", "b", "target")}
    for write in writes.values():
        write.model = "sample"
    references = (StoredReference("link", "sample", "target", "restrict"),)
    resources: dict[ResourceKey, ResourceState | None] = {
        ("sample", name): ResourceState(
            1, timestamp(write.meta.created_time), False, references=() if name == "target" else references
        )
        for name, write in writes.items()
    }
    referrers = [Referrer("sample", name, "link", "restrict") for name in ("a", "b")]
    state = ReadState(resources, referrers={("sample", name): [] for name in ("a", "b")}, contracts={"sample": None})
    state.referrers["sample", "target"] = referrers
    batch = [Transaction((write,)) for write in writes.values()]
    found = decide(state, batch)
    assert isinstance(found, Decision)
    assert isinstance(found.outcomes[2][0], UncheckedReferrers) is is_refused
    assert len(found.accepted) == (2 if is_refused else 3)
