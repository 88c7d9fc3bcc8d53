"""Column types: column values compare like the JSON values."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocrud.schema.column_types import ColumnKind, column_value, decimal_key, decimal_of, is_column_value

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12), max_value=10**12)


@given(first=DECIMALS, second=DECIMALS)
def test_decimal_key_sorts_like_the_number(first: Decimal, second: Decimal) -> None:
    """Equal numbers have equal keys, in any notation."""
    assert (decimal_key(first) < decimal_key(second)) is (first < second)
    assert (decimal_key(first) == decimal_key(second)) is (first == second)


@given(number=DECIMALS)
def test_decimal_of_returns_the_encoded_number(number: Decimal) -> None:
    """Without loss."""
    assert decimal_of(decimal_key(number)) == number


def test_column_value_of_a_time_is_in_utc() -> None:
    """Equal moments are equal texts; a time without an offset is UTC."""
    values = {
        column_value(ColumnKind.datetime, text)
        for text in ("2026-01-02T13:00:00+02:00", "2026-01-02T11:00:00Z", "2026-01-02T11:00:00")
    }
    assert len(values) == 1
    assert str(values.pop()).startswith(datetime(2026, 1, 2, 11, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S"))


@pytest.mark.parametrize(
    ("kind", "value"),
    [(ColumnKind.integer, 2**63), (ColumnKind.text, "x" * 2001), (ColumnKind.text, "a\0b"), (ColumnKind.integer, "x")],
)
def test_column_value_that_does_not_fit_raises(kind: ColumnKind, value: object) -> None:
    """The message gives the reason."""
    with pytest.raises((ValueError, ArithmeticError), match=r".+"):
        column_value(kind, value)


def test_is_column_value_checks_the_type() -> None:
    """A value from a cursor must have the column's type."""
    assert is_column_value(ColumnKind.integer, 1)
    assert not is_column_value(ColumnKind.integer, "1")
    assert is_column_value(ColumnKind.text, "a")
