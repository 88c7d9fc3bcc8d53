"""Spans: the values in a sorted list for which a comparison holds lie next to each other."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from autocrud.query.operators import Operator

# The first position of a span, and the position after its last value.
Span = tuple[int, int]


def find_span(
    operator: Operator, operand: Any, values: Sequence[Any], key: Callable[[Any], Any] | None = None
) -> Span | None:
    """Return the span of the values for which an operator holds; None if the operator has no span.

    Args:
        values: sorted values without null.
        key: returns the value of an element of `values`; None if the elements are the values.
    """
    if operand is None:
        return 0, 0
    end = len(values)
    match operator:
        case Operator.eq:
            return bisect_left(values, operand, key=key), bisect_right(values, operand, key=key)
        case Operator.gt:
            return bisect_right(values, operand, key=key), end
        case Operator.gte:
            return bisect_left(values, operand, key=key), end
        case Operator.lt:
            return 0, bisect_left(values, operand, key=key)
        case Operator.lte:
            return 0, bisect_right(values, operand, key=key)
        case Operator.between:
            first, last = operand
            start = bisect_left(values, first, key=key)
            return start, max(start, bisect_right(values, last, key=key))
        case Operator.starts_with:
            return find_prefix_span(operand, values)
    return None


def find_prefix_span(prefix: str, texts: Sequence[str]) -> Span:
    """Return the span of the texts that start with a prefix. Texts are sorted by code points."""
    # Texts that are cut to one length are still in order.
    return bisect_left(texts, prefix), bisect_right(texts, prefix, key=lambda text: text[: len(prefix)])
