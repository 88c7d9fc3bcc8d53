"""The decision against a naive store: random batches over two models, loaded in pieces."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.storage.decision.comparison import compare
from tests.unit.storage.decision.random_batches import batches

EXAMPLES = int(os.environ.get("AUTOCRUD_TEST_EXAMPLES", "200"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(batches, min_size=1, max_size=4), st.integers(0, 2**32))
def test_5_decision_equals_the_naive_store(sequence: list[object], seed: int) -> None:
    """Outcomes, refusals and accepted items are equal, with every order of loading."""
    compare(sequence, seed)  # type: ignore[arg-type]
