"""Query builder: conditions in Python."""

import pytest

from autocrud import QB
from autocrud.query.conditions import And, Compare, Not, Or
from autocrud.query.operators import Operator


@pytest.mark.parametrize(
    ("condition", "operator"),
    [
        (QB["year"] == 1949, Operator.eq),
        (QB["year"] != 1949, Operator.ne),
        (QB["year"] > 1949, Operator.gt),
        (QB["year"] >= 1949, Operator.gte),
        (QB["year"] < 1949, Operator.lt),
        (QB["year"] <= 1949, Operator.lte),
    ],
)
def test_comparison_equals_the_operator_method(condition: Compare, operator: Operator) -> None:
    """Python's comparison operators and the methods build the same condition."""
    assert condition == Compare("year", operator, 1949)
    assert condition == getattr(QB["year"], operator.value)(1949)


def test_conditions_combine_to_a_tree() -> None:
    """With `&`, `|` and `~`."""
    first, second = QB["a"].eq(1), QB["b"].is_null()
    assert first & second == And((first, second))
    assert first | second == Or((first, second))
    assert ~first == Not(first)


def test_field_name_may_be_a_path() -> None:
    """The resolver judges the name, not the builder."""
    assert QB["cast.name"].contains("x") == Compare("cast.name", Operator.contains, "x")
