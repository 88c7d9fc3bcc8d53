"""Conditions and queries: the expression tree and the total order."""

from datetime import UTC, datetime

import pytest

from autocrud import QB
from autocrud.query.conditions import Query, all_of, leaves
from tests.unit.query.models import FILMS


def test_condition_as_a_truth_value_raises() -> None:
    """`and`, `or` and `not` would lose a part of the expression."""
    with pytest.raises(TypeError, match=r"&|\|"):
        bool(QB["year"].eq(1))


def test_leaves_yields_every_comparison() -> None:
    """Through conjunctions, disjunctions and negations."""
    condition = (QB["a"].eq(1) | ~QB["b"].eq(2)) & QB["c"].eq(3)
    assert [getattr(leaf, "field", None) for leaf in leaves(condition)] == ["a", "b", "c"]
    assert list(leaves(None)) == []


def test_all_of_joins_conditions() -> None:
    """No condition is None, and one condition stays itself."""
    assert all_of() is None
    assert all_of(QB["a"].eq(1)) == QB["a"].eq(1)
    assert all_of(QB["a"].eq(1), QB["b"].eq(2)) == QB["a"].eq(1) & QB["b"].eq(2)


def test_query_order_is_total() -> None:
    """The last key is the id, in the direction of the last given key."""
    assert [(key.field.name, key.descending) for key in Query(sort=FILMS.sort("year")).order] == [
        ("year", False), ("created_time", False), ("resource_id", False),
    ]  # fmt: skip
    assert Query().order[-1].field.name == "resource_id"


def test_query_at_a_time_needs_history_for_filters() -> None:
    """An order by id and creation time does not, because these never change."""
    time = datetime(2026, 1, 1, tzinfo=UTC)
    assert not Query(at=time).needs_history
    assert Query(FILMS.condition(QB["year"].eq(1)), at=time).needs_history
