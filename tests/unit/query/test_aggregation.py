"""Aggregation: figures of metrics and their JSON values."""

from decimal import Decimal

import pytest

from autocrud.errors import InvalidParameter
from autocrud.query.aggregation import Function, Metric, check_sum, compute_average, format_decimal, json_value
from autocrud.schema.column_types import ColumnKind, decimal_key
from tests.unit.query.models import FILMS

YEAR, RATING = FILMS.fields["year"], FILMS.fields["rating"]


@pytest.mark.parametrize(("number", "text"), [("1E+3", "1000"), ("7.90", "7.9"), ("0.000", "0"), ("-1.5", "-1.5")])
def test_format_decimal_has_no_exponent_and_no_trailing_zeros(number: str, text: str) -> None:
    """Equal decimals have one text."""
    assert format_decimal(Decimal(number)) == text


def test_compute_average_of_decimals_is_exact() -> None:
    """An average of floats is a float, and an average of nothing is null."""
    assert compute_average(Metric(Function.avg, RATING), Decimal("0.3"), 3) == Decimal("0.1")
    assert compute_average(Metric(Function.avg, YEAR), 3, 2) == 1.5
    assert compute_average(Metric(Function.avg, YEAR), None, 0) is None


def test_check_sum_of_infinity_raises() -> None:
    """JSON has no infinity. The error names the metric."""
    with pytest.raises(InvalidParameter, match="sum:year"):
        check_sum(Metric(Function.sum, YEAR), float("inf"))


def test_json_value_converts_column_values() -> None:
    """Booleans and decimals differ between column and JSON."""
    assert json_value(ColumnKind.boolean, 1) is True
    assert json_value(ColumnKind.decimal, decimal_key(Decimal("-2.50"))) == "-2.5"
    assert json_value(ColumnKind.text, None) is None
