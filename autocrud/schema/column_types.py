"""Column kinds, and the conversion of JSON values to column values.

A column value is one text, integer or float. Two column values compare as the JSON values do. An engine may use a
better type of its own.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from autocrud.resource import timestamp

ColumnValue = str | int | float | None
# The value of an index column: a scalar, or the items of a list.
IndexValue = ColumnValue | tuple[ColumnValue, ...]

# An index row of PostgreSQL holds no more; every backend has the same limit.
MAX_TEXT_BYTES = 2000
MAX_DIGITS = 1000

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_BIAS = 5000  # makes every exponent a positive number of four digits, so that texts sort as numbers do
_NINES = str.maketrans("0123456789", "9876543210")


class ColumnKind(StrEnum):
    """The type of an index column."""

    text = "text"
    integer = "integer"
    real = "real"
    boolean = "boolean"
    decimal = "decimal"
    datetime = "datetime"
    date = "date"
    time = "time"
    uuid = "uuid"


def column_value(kind: ColumnKind, json_value: Any) -> ColumnValue:
    """Convert a stored JSON value to the column value.

    Raises:
        ValueError, ArithmeticError: the value does not fit the column; the message gives the reason.
    """
    try:
        return None if json_value is None else _CONVERT[kind](json_value)
    except TypeError:
        raise ValueError(f"is indexed as {kind.value}, but is stored as {type(json_value).__name__}") from None


def decimal_key(number: Decimal) -> str:
    """Return a text that sorts as the number does: sign, exponent, digits. A negative number has inverted digits."""
    if number.is_zero():
        return "1"
    sign, digits, _ = number.as_tuple()
    text = f"{number.adjusted() + _BIAS:04d}{''.join(map(str, digits)).rstrip('0')}"
    # Of two negative numbers with a common prefix, the longer one is smaller: "~" sorts after every digit.
    return f"0{text.translate(_NINES)}~" if sign else f"2{text}"


def decimal_of(key: str) -> Decimal:
    """Return the number that `decimal_key` encoded."""
    if key == "1":
        return Decimal(0)
    text = key[1:-1].translate(_NINES) if key[0] == "0" else key[1:]
    exponent, digits = int(text[:4]) - _BIAS, text[4:]
    return Decimal((int(key[0] == "0"), tuple(map(int, digits)), exponent - len(digits) + 1))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is indexed as text, but is stored as {type(value).__name__}")
    if "\0" in value:
        raise ValueError("an index field's text must not contain the character U+0000")
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"an index field's text must have at most {MAX_TEXT_BYTES} bytes in UTF-8")
    return value


def _integer(value: Any) -> int:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("an index field's integer must fit in 64 bits")
    return number


def _decimal(value: Any) -> str:
    number = Decimal(str(value)).normalize(_EXACT)
    if not number.is_finite():
        raise ValueError("an index field's number must be finite")
    if not (number.is_zero() or (number.adjusted() < MAX_DIGITS and _places(number) <= MAX_DIGITS)):
        raise ValueError(f"an index field's number must have at most {MAX_DIGITS} digits before and after the point")
    return decimal_key(number)


def _places(number: Decimal) -> int:
    """Return the number of digits after the point."""
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _datetime(value: Any) -> str:
    moment = datetime.fromisoformat(_text(value))
    # A time without an offset counts as UTC: otherwise it has no order among times with an offset.
    return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _time(value: Any) -> str:
    return time.fromisoformat(_text(value)).isoformat("microseconds")


_CONVERT: dict[ColumnKind, Callable[[Any], ColumnValue]] = {
    ColumnKind.text: _text,
    ColumnKind.integer: _integer,
    ColumnKind.real: float,
    ColumnKind.boolean: int,
    ColumnKind.decimal: _decimal,
    ColumnKind.datetime: _datetime,
    ColumnKind.date: _text,
    ColumnKind.time: _time,
    ColumnKind.uuid: _text,
}


def is_column_value(kind: ColumnKind, value: Any) -> bool:
    """Return True if a column of this kind can hold the value, as read from a client's cursor."""
    expected = _PYTHON_TYPES.get(kind, str)
    if isinstance(value, bool) or not isinstance(value, expected):
        return False
    try:
        return _normalized(kind, value) == value
    except (ValueError, ArithmeticError, IndexError):
        return False


def _normalized(kind: ColumnKind, value: Any) -> ColumnValue:
    if kind is ColumnKind.decimal:
        return column_value(kind, str(decimal_of(value)))
    if kind is ColumnKind.uuid:
        return str(UUID(value))
    if kind is ColumnKind.date:
        return date.fromisoformat(value).isoformat()
    return column_value(kind, value)


_PYTHON_TYPES: dict[ColumnKind, type | tuple[type, ...]] = {
    ColumnKind.integer: int,
    ColumnKind.boolean: int,
    ColumnKind.real: (int, float),
}
