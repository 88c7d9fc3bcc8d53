"""Cursors: the next page's position, bound to one query."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocrud import QB
from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Position, Query
from autocrud.query.cursor import decode_cursor, encode_cursor
from tests.unit.query.models import FILMS

QUERY = Query(FILMS.condition(QB["year"].gte(1940)), FILMS.sort("-year"))
TIME = "2026-01-02T03:04:05.000006Z"


@given(year=st.none() | st.integers(-(2**63), 2**63 - 1))
def test_decode_cursor_returns_the_encoded_position(year: int | None) -> None:
    """Any value of the sort key, including null."""
    position = Position((year, TIME, "a"))
    assert decode_cursor(QUERY, encode_cursor(QUERY, position)) == position


@pytest.mark.parametrize(
    "other",
    [
        Query(FILMS.condition(QB["year"].gte(1941)), FILMS.sort("-year")),
        Query(QUERY.where, FILMS.sort("year")),
        Query(QUERY.where, QUERY.sort, at=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_decode_cursor_of_another_query_raises(other: Query) -> None:
    """Other filters, order or time would skip or repeat resources."""
    with pytest.raises(InvalidParameter):
        decode_cursor(other, encode_cursor(QUERY, Position((1949, TIME, "a"))))


@pytest.mark.parametrize("text", ["", "x", "e30", "é", "AAAA" * 100])
def test_decode_cursor_of_other_text_raises(text: str) -> None:
    """The error names the parameter."""
    with pytest.raises(InvalidParameter) as caught:
        decode_cursor(QUERY, text)
    assert caught.value.errors[0].field == "cursor"
