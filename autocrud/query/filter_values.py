"""Filter values: converts texts and Python values to the operands of terms."""

import csv
import re
from typing import Any

from pydantic import ValidationError

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import TermValue
from autocrud.query.operators import Operand, Operator, OperatorSpec
from autocrud.query.regex import canonicalize
from autocrud.schema.column_types import ColumnKind, ColumnValue, check_text
from autocrud.schema.index_field import IndexField

MAX_VALUES = 1000
_TIMES = {ColumnKind.datetime, ColumnKind.date, ColumnKind.time}
# Pydantic would read a number as a Unix timestamp, in seconds or milliseconds depending on its size.
_NUMBER = re.compile(r"\s*[+-]?[0-9._]+([eE][+-]?[0-9]+)?\s*")
# A query string has a space for a +, so that an offset such as +02:00 loses its sign.
_LOST_PLUS = re.compile(r" [0-9]{2}:?[0-9]{2}$")
_FLAGS = {"true": True, "false": False, "1": True, "0": False}


def term_value(field: IndexField, operator: Operator, meaning: OperatorSpec, value: Any) -> TermValue:
    """Return the operand of an operator for a value.

    Raises:
        ValidationError, ValueError, ArithmeticError: the value does not fit the field or the operator.
    """
    match meaning.takes:
        case Operand.value | Operand.item:
            return _non_null_value(field, value)
        case Operand.pair:
            values = _value_list(field, value)
            if len(values) != 2:
                raise ValueError("must be two values, such as 1,5")
            return values
        case Operand.values | Operand.items:
            return tuple(dict.fromkeys(_value_list(field, value)))
        case Operand.flag:
            return int(_parse_flag(value))
        case Operand.pattern:
            return canonicalize(_check_text(value))
        case Operand.text:
            text = _check_text(value)
            return text.casefold() if operator is Operator.icontains else text


def _non_null_value(field: IndexField, value: Any) -> ColumnValue:
    if isinstance(value, str) and field.kind in _TIMES and _NUMBER.fullmatch(value):
        raise ValueError("must be written as a date or a time, not as a number")
    try:
        column_value = None if value is None else field.filter_value(value)
    except ValidationError as error:
        if isinstance(value, str) and field.kind in _TIMES and _LOST_PLUS.search(value):
            raise ValueError("must be a time; write the + of its offset as %2B in a URL") from error
        raise
    if column_value is None:
        raise ValueError("must not be null; use is_null to select null values")
    return column_value


def _value_list(field: IndexField, value: Any) -> tuple[ColumnValue, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ValueError("must be a list of values")
    values = tuple(_non_null_value(field, item) for item in value)
    if not 1 <= len(values) <= MAX_VALUES:
        raise ValueError(f"must be a list of 1 to {MAX_VALUES} values")
    return values


def _parse_flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _FLAGS:
        return _FLAGS[value.lower()]
    raise ValueError("must be true or false")


def _check_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return check_text(value)


def split_list(name: str, text: str) -> list[str]:
    """Split comma-separated values. A value that contains a comma must be quoted, as in CSV (RFC 4180)."""
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise InvalidParameter(name, f"is not a comma-separated list of values: {error}") from error
    return (rows[0] if rows else []) or [""]
