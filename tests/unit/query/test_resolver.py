"""Resolver: names and text values become typed conditions and sort keys."""

import pytest

from autocrud import QB
from autocrud.errors import InvalidParameter
from autocrud.query.conditions import And, Term
from autocrud.query.operators import Operator
from autocrud.query.resolver import filters_by_deleted
from tests.unit.query.models import FILMS


def test_parse_mapping_of_parameters_returns_terms() -> None:
    """Texts take the type of their field."""
    condition = FILMS.condition(FILMS.parse_mapping({"year__gte": "1949", "genres": "Mystery"}))
    assert isinstance(condition, And)
    first, second = condition.parts
    assert isinstance(first, Term)
    assert isinstance(second, Term)
    assert (first.field.name, first.operator, first.value) == ("year", Operator.gte, 1949)
    assert (second.field.name, second.operator) == ("genres", Operator.contains)


@pytest.mark.parametrize(
    ("where", "field", "words"),
    [
        ({"nothing": "1"}, "nothing", "title"),
        ({"year__icontains": "1"}, "year__icontains", "between"),
        ({"year": "many"}, "year", "integer"),
        ({"year__between": [1]}, "year__between", "two"),
        ({"title__regex": "("}, "title__regex", "character"),
    ],
)
def test_parse_mapping_of_invalid_parameter_raises(where: dict[str, object], field: str, words: str) -> None:
    """The error names the parameter and the alternatives."""
    with pytest.raises(InvalidParameter) as caught:
        FILMS.condition(FILMS.parse_mapping(where))
    assert caught.value.errors[0].field == field
    assert words in caught.value.errors[0].message


def test_sort_of_names_returns_keys_with_direction() -> None:
    """A minus sign means descending."""
    assert [(key.field.name, key.descending) for key in FILMS.sort("-year,title")] == [("year", True), ("title", False)]


@pytest.mark.parametrize("text", ["", "year,-year", "nothing", "genres"])
def test_sort_of_invalid_text_raises(text: str) -> None:
    """Empty, repeated, unknown and unsortable fields."""
    with pytest.raises(InvalidParameter) as caught:
        FILMS.sort(text)
    assert caught.value.errors[0].field == "sort"


def test_filters_by_deleted_detects_the_metadata_field() -> None:
    """A filter by `is_deleted` includes deleted resources."""
    assert filters_by_deleted(FILMS.condition(QB["is_deleted"].eq(True)))
    assert not filters_by_deleted(FILMS.condition(QB["year"].eq(1)))
