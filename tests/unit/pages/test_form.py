"""The address that a submitted form stands for."""

import pytest

from autocrud.pages.form import local_time, replaced, submitted_query, utc_time

Pairs = list[tuple[str, str]]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("q", ""), ("year", "1949")], None),
        ([("_form", "1"), ("q", ""), ("limit", "20")], [("limit", "20")]),
        ([("_form", "1"), ("cursor", "x"), ("sort", "year")], [("sort", "year")]),
        (
            [("_form", "1"), ("a", "1"), ("_field", "year"), ("_operator", "gte"), ("_value", " 1949 ")],
            [("a", "1"), ("year__gte", "1949")],
        ),
        ([("_form", "1"), ("_field", "year"), ("_operator", "gte"), ("_value", "")], []),
        ([("_form", "1"), ("_at", "2026-01-02T03:04")], [("at", "2026-01-02T03:04:00Z")]),
        ([("_form", "1"), ("at", "2026-01-02T03:04:05Z"), ("_at", "")], []),
        (
            [("_form", "1"), ("at", "2026-01-02T03:04:00.123456Z"), ("_at", "2026-01-02T03:04")],
            [("at", "2026-01-02T03:04:00.123456Z")],
        ),
        ([("_form", "1"), ("at", "x"), ("_at", "yesterday")], [("at", "yesterday")]),
    ],
)
def test_submitted_form_becomes_a_query(pairs: Pairs, expected: Pairs | None) -> None:
    """Without empty controls. Other requests are left alone."""
    assert submitted_query(pairs) == expected


def test_replaced_parameter_starts_on_the_first_page() -> None:
    """Another order has another first page."""
    pairs = [("year", "1949"), ("sort", "title"), ("cursor", "x")]
    assert replaced(pairs, sort="-title") == [("year", "1949"), ("sort", "-title")]
    assert replaced(pairs, sort=None) == [("year", "1949")]


def test_times_are_shown_and_read_in_utc() -> None:
    """Whatever offset the address has."""
    assert local_time("2026-01-02T03:04:05.678901Z") == "2026-01-02T03:04:05"
    assert local_time("2026-01-02T03:04:05+02:00") == "2026-01-02T01:04:05"
    assert [local_time(text) for text in (None, "", "yesterday", "2026-01-02T03:04:05")] == [""] * 4
    assert utc_time("2026-01-02T03:04:05+02:00") == "2026-01-02T03:04:05+02:00"
