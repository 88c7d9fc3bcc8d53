"""Evaluation of conditions and sort keys in Python, the oracle of every engine."""

from typing import Any

import pytest

from autocrud import QB
from autocrud.query.conditions import Condition
from autocrud.query.evaluate import holds, sort_key
from tests.unit.query.models import FILMS, SPEC, Film


def row(**fields: Any) -> dict[str, Any]:
    """Return the column values of a film."""
    data = SPEC.dump(Film.model_validate({"title": "x", **fields}))
    return {field.column: value for field, value in zip(SPEC.index_fields, SPEC.index_values(data), strict=True)}


@pytest.mark.parametrize(
    ("condition", "fields", "expected"),
    [
        (QB["year"].gte(1949), {"year": 1949}, True),
        (QB["year"].gte(1949), {"year": None}, False),
        (~QB["year"].gte(1949), {"year": None}, True),
        (QB["year"].ne(1949), {"year": None}, True),
        (QB["year"].ne(None), {"year": None}, False),
        (QB["year"].between(1940, 1949), {"year": 1949}, True),
        (QB["rating"].eq("8.10"), {"rating": "8.1"}, True),
        (QB["genres"].contains_all(["a", "b"]), {"genres": ["b", "c", "a"]}, True),
        (QB["genres"].is_null(True), {"genres": []}, False),
        (QB["title"].icontains("STRASSE"), {"title": "Die Straße"}, True),
        (QB["title"].contains("STRASSE"), {"title": "Die Straße"}, False),
        (QB["title"].regex("^V.*a$"), {"title": "Vienna"}, True),
    ],
)
def test_holds_of_condition_returns_its_meaning(condition: Condition, fields: dict[str, Any], expected: bool) -> None:
    """Null holds for no comparison, and `~` inverts every condition."""
    assert holds(FILMS.condition(condition), row(**fields)) is expected


def test_holds_of_unresolved_condition_raises() -> None:
    """Only a resolved condition has a meaning."""
    with pytest.raises(TypeError, match="is not a condition of terms"):
        holds(QB["year"].eq(1), row())


@pytest.mark.parametrize(("sort", "expected"), [("year", [1, 2, None]), ("-year", [2, 1, None])])
def test_sort_key_puts_nulls_last(sort: str, expected: list[int | None]) -> None:
    """In both directions."""
    rows = [row(year=year) for year in (None, 2, 1)]
    ordered = sorted(rows, key=lambda item: sort_key(FILMS.sort(sort)[:1], item))
    assert [item["ix_year"] for item in ordered] == expected
