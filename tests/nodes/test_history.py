"""Tests of the linearizability checker."""

import pytest

from tests.nodes.linearizability import Operation, violations

WRITE_1 = Operation("write", "a", 0, 1, 1, "one")
WRITE_2 = Operation("write", "a", 2, 5, 2, "two", 1)


@pytest.mark.parametrize("operation", [
    Operation("read", "a", 3, 4, 1, "one"),
    Operation("read", "a", 3, 4, 2, "two"),
    Operation("read", "a", 6, 7, 2, "two"),
    Operation("write", "a", 2, 6, 3, "three"),
    Operation("read", "b", 3, 4, 7, "lost answer"),
])  # fmt: skip
def test_checker_accepts_linearizable_histories(operation: Operation) -> None:
    """A read concurrent with a write may see either state."""
    lost = Operation("write", "b", 0, float("inf"), None, "lost answer")
    assert violations([WRITE_1, WRITE_2, lost, operation]) == []


@pytest.mark.parametrize(("operation", "wrong"), [
    (Operation("read", "a", 6, 7, 1, "one"), "began when version 2 was there"),
    (Operation("read", "a", 3, 4, 2, "one"), "not 'two'"),
    (Operation("read", "a", 1.2, 1.5, 2, "two"), "before it was written"),
    (Operation("write", "a", 6, 7, 2, "again"), "acknowledged twice"),
    (Operation("write", "a", 6, 7, 4, "on the wrong one", 2), "was written on 2"),
    (Operation("read", "a", 6, 7, 3, "thin air"), "which nobody wrote"),
])  # fmt: skip
def test_checker_finds_violations(operation: Operation, wrong: str) -> None:
    """Stale reads, reads of the future, lost updates, and values that nobody wrote."""
    assert wrong in "; ".join(violations([WRITE_1, WRITE_2, operation]))
