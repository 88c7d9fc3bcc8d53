"""Rules of access: their verdicts, and what they combine to."""

import itertools
from typing import Any

import pytest

from autocrud import QB
from autocrud.access import Access, Principal, Rule, anyone, authenticated, nobody, owner, role, where
from autocrud.policy.access import Right
from autocrud.policy.rules import Verdict
from autocrud.query.conditions import And, Compare, Condition, Not, Or

ANN = Principal("ann", {"editor"})
OWN = QB["created_by"].eq("ann")
ROWS = [{"created_by": name, "status": status} for name in ("ann", "bob") for status in ("draft", "published")]


def holds(verdict: Verdict, row: dict[str, Any]) -> bool:
    """Return True if a verdict allows a row."""
    match verdict:
        case bool():
            return verdict
        case And(parts):
            return all(holds(part, row) for part in parts)
        case Or(parts):
            return any(holds(part, row) for part in parts)
        case Not(part):
            return not holds(part, row)
        case Compare(field, _, value):
            return bool(row[field] == value)
    raise TypeError(verdict)


@pytest.mark.parametrize(
    ("rule", "principal", "verdict"),
    [
        (anyone(), None, True),
        (nobody(), ANN, False),
        (authenticated(), None, False),
        (authenticated(), ANN, True),
        (role("editor"), ANN, True),
        (role("admin", "editor"), ANN, True),
        (role("admin"), ANN, False),
        (role("editor"), None, False),
        (owner(), ANN, OWN),
        (owner(), None, False),
        (where(OWN), None, OWN),
        (role("editor") | owner(), ANN, True),
        (role("admin") | owner(), ANN, OWN),
        (role("editor") & owner(), ANN, OWN),
        (role("admin") & owner(), ANN, False),
        (~owner(), ANN, ~OWN),
        (~owner(), None, True),
    ],
)
def test_rule_has_a_verdict(rule: Rule, principal: Principal | None, verdict: Verdict) -> None:
    assert rule.verdict(principal) == verdict


def test_combined_rules_equal_the_logic_of_their_verdicts() -> None:
    """For every pair of rules, every principal and every row."""
    rules = [anyone(), nobody(), authenticated(), role("editor"), owner(), where(QB["status"].eq("draft"))]
    for (first, second), who, row in itertools.product(itertools.product(rules, rules), (None, ANN), ROWS):
        one, two = (holds(rule.verdict(who), row) for rule in (first, second))
        assert holds((first & second).verdict(who), row) is (one and two)
        assert holds((first | second).verdict(who), row) is (one or two)
        assert holds((~first).verdict(who), row) is (not one)


def test_right_without_a_rule_has_the_default() -> None:
    access = Access(read=anyone(), default=role("admin"))
    assert access.rule_of(Right.read).verdict(None) is True
    assert [right for right in Right if access.rule_of(right).verdict(ANN) is True] == [Right.read]
    assert Access().rule_of(Right.delete).verdict(ANN) is True
    assert Access().rule_of(Right.delete).verdict(None) is False


def test_tenant_limits_every_right() -> None:
    """A principal without a tenant has no resources, not those without a tenant."""
    access = Access(tenant="org")
    inside = Principal("ann", tenant="acme")
    for right in Right:
        verdict = access.rule_of(right).verdict(inside)
        assert isinstance(verdict, Condition)
        assert holds(verdict, {"org": "acme"})
        assert not holds(verdict, {"org": "other"})
        assert access.rule_of(right).verdict(ANN) is False


def test_rules_have_no_truth_value() -> None:
    with pytest.raises(TypeError, match="combine rules with &"):
        bool(anyone())
