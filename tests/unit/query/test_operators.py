"""Operators: the table, and the operators of each field."""

from autocrud.query.builder import FieldBuilder
from autocrud.query.operators import OPERATORS, Operator, operators_for
from tests.unit.query.models import FILMS


def test_every_operator_has_a_row_and_a_builder_method() -> None:
    """A new operator needs both."""
    assert OPERATORS.keys() == set(Operator)
    for operator in Operator:
        assert callable(getattr(FieldBuilder, "in_" if operator is Operator.in_ else operator.value))


def test_operators_for_a_field_depend_on_its_kind() -> None:
    """Lists have item operators, texts have text operators, and only ordered fields have `gte`."""
    year, title, genres = (operators_for(FILMS.fields[name]) for name in ("year", "title", "genres"))
    assert Operator.gte in year
    assert Operator.icontains not in year
    assert Operator.icontains in title
    assert Operator.contains_all in genres
    assert Operator.gte not in genres
    assert all(Operator.is_null in found for found in (year, title, genres))
