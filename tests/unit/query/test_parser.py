"""Parser of `qb=`: allowed syntax only, never evaluated."""

import pytest

from autocrud import QB
from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Condition
from autocrud.query.parser import parse_expression


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('QB["year"].gte(1949)', QB["year"].gte(1949)),
        ('(QB["year"] == 1949) | ~QB["title"].contains("x")', (QB["year"] == 1949) | ~QB["title"].contains("x")),
        ('QB["year"].in_([1, 2]) & (QB["title"] != None)', QB["year"].in_([1, 2]) & (QB["title"] != None)),  # noqa: E711
        ('1949 <= QB["year"]', QB["year"] >= 1949),
    ],
)
def test_parse_expression_equals_the_python_expression(text: str, expected: Condition) -> None:
    """Methods, comparisons in both directions, and the operators `&`, `|`, `~`."""
    assert parse_expression(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        '__import__("os").system("true")',
        'QB["a"].__class__',
        'QB["a"].eq(open("x"))',
        'QB["a"].eq(1) and QB["b"].eq(2)',
        "(" * 200,
        'QB["a"].eq(1)' + ' | QB["a"].eq(1)' * 300,
    ],
)
def test_parse_expression_of_other_syntax_raises(text: str) -> None:
    """The error names the parameter, and nothing is executed."""
    with pytest.raises(InvalidParameter) as caught:
        parse_expression(text)
    assert caught.value.errors[0].field == "qb"
