"""Spans: each operator selects the values for which `evaluate.holds` returns True."""

from itertools import product
from typing import Any

import pytest

from autocrud.query.conditions import Term
from autocrud.query.evaluate import holds
from autocrud.query.operators import Operator
from autocrud.query.resolver import Resolver
from autocrud.storage.metadata.memory.indexes.spans import find_span
from autocrud.testing.sample_writes import SAMPLE

_FIELDS = Resolver(SAMPLE).fields
_TEXTS = sorted(
    ["", "A", "a", "a\x00", "aA", "a\ud7ff", "a\uffff", "a\U0010ffff", "a\U0010ffffb", "b", "ß", "\U0010ffff"]
)
_NUMBERS = [-(2**63), -1, 0, 2, 2**63 - 1]
_COMPARISONS = [Operator.eq, Operator.gt, Operator.gte, Operator.lt, Operator.lte]


@pytest.mark.parametrize(("name", "values"), [("text", _TEXTS), ("number", _NUMBERS)])
def test_span_of_an_operator_equals_its_meaning(name: str, values: list[Any]) -> None:
    """Operands stand before, between, and after the values."""
    operands = [*values, 1] if name == "number" else [*values, "aa", "\ue000"]
    cases: list[tuple[Operator, Any]] = list(product(_COMPARISONS, operands))
    cases += [(Operator.between, pair) for pair in product(operands, operands)]
    cases += [(Operator.starts_with, operand) for operand in operands if name == "text"]
    for operator, operand in cases:
        span = find_span(operator, operand, values)
        assert span is not None
        field = _FIELDS[name]
        expected = [value for value in values if holds(Term(field, operator, operand), {field.column: value})]
        assert values[span[0] : span[1]] == expected, (operator, operand)


def test_span_of_another_operator_is_none() -> None:
    """The values that contain a text are not neighbours."""
    assert find_span(Operator.contains, "a", _TEXTS) is None
    assert find_span(Operator.eq, None, _TEXTS) == (0, 0)
