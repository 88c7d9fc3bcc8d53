"""Column kinds, and the conversion of JSON values to column values.

A column value is one text, integer or float. Two column values compare as the JSON values do. An engine may use a
better type of its own.
"""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from autocrud.resource import timestamp

ColumnValue = str | int | float | None
T = TypeVar("T")
# The value of an index column: a scalar, or the items of a list.
IndexValue = ColumnValue | tuple[ColumnValue, ...]

# An index row of PostgreSQL holds no more; every backend has the same limit.
MAX_TEXT_BYTES = 2000
MAX_DIGITS = 1000

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_ANY_DATE = date(2000, 1, 2)  # a time has the same UTC time of day on each date
_OTHER_FORM = "is stored as a text of another form"  # without the text, which a log should not have
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


class NormalFormError(ValueError):
    """The JSON value is not in the form that the kind's own types are stored in. Another form may mean the same."""


def column_value(kind: ColumnKind, json_value: Any) -> ColumnValue:
    """Convert a stored JSON value to the column value.

    Raises:
        NormalFormError: the value has another form than values of this kind.
        ValueError: the value does not fit the column; the message gives the reason.
    """
    if json_value is None:
        return None
    if type(json_value) not in _JSON_TYPES[kind]:
        raise NormalFormError(f"is indexed as {kind.value}, but is stored as {type(json_value).__name__}")
    try:
        return _CONVERT[kind](json_value)
    except NormalFormError as error:
        raise NormalFormError(f"is indexed as {kind.value}, but {error}") from None


def size_of_text(text: str) -> int:
    """Return the size of a text in UTF-8.

    Raises:
        ValueError: the text is not valid Unicode.
    """
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("must not contain a lone surrogate, which is not valid Unicode") from None


def check_text(text: str) -> str:
    """Return the text if a column can hold it.

    Raises:
        ValueError: the text is too long, or has a character that a column cannot hold.
    """
    if size_of_text(text) > MAX_TEXT_BYTES:
        raise ValueError(f"an index field's text must have at most {MAX_TEXT_BYTES} bytes in UTF-8")
    if "\0" in text:
        raise ValueError("an index field's text must not contain the character U+0000")
    return text


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


def _integer(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise ValueError("an index field's integer must fit in 64 bits")
    return value


def _real(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _decimal(value: Any) -> str:
    try:
        number = Decimal(str(value))
    except ArithmeticError:
        raise NormalFormError(_OTHER_FORM) from None
    if not number.is_finite():
        raise ValueError("must be a finite number")
    number = number.normalize(_EXACT)
    if not (number.is_zero() or (number.adjusted() < MAX_DIGITS and _places(number) <= MAX_DIGITS)):
        raise ValueError(f"an index field's number must have at most {MAX_DIGITS} digits before and after the point")
    return decimal_key(number)


def _places(number: Decimal) -> int:
    """Return the number of digits after the point."""
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


def _datetime(value: str) -> str:
    moment = _parse(datetime.fromisoformat, value)
    # A time without an offset counts as UTC: otherwise it has no order among times with an offset.
    return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _date(value: str) -> str:
    return _parse(date.fromisoformat, value).isoformat()


def _time(value: str) -> str:
    """Return the time of day in UTC. A time without an offset counts as UTC."""
    moment = _parse(time.fromisoformat, value)
    if moment.utcoffset():
        moment = datetime.combine(_ANY_DATE, moment).astimezone(UTC).time()
    return moment.replace(tzinfo=None).isoformat("microseconds")


def _uuid(value: str) -> str:
    return str(_parse(UUID, value))


def _parse(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except (ValueError, OverflowError):
        raise NormalFormError(_OTHER_FORM) from None


_JSON_TYPES: dict[ColumnKind, tuple[type, ...]] = {
    ColumnKind.text: (str,),
    ColumnKind.integer: (int,),
    ColumnKind.real: (float, int),
    ColumnKind.boolean: (bool,),
    ColumnKind.decimal: (str, float, int),
    ColumnKind.datetime: (str,),
    ColumnKind.date: (str,),
    ColumnKind.time: (str,),
    ColumnKind.uuid: (str,),
}
_CONVERT: dict[ColumnKind, Callable[[Any], ColumnValue]] = {
    ColumnKind.text: check_text,
    ColumnKind.integer: _integer,
    ColumnKind.real: _real,
    ColumnKind.boolean: int,
    ColumnKind.decimal: _decimal,
    ColumnKind.datetime: _datetime,
    ColumnKind.date: _date,
    ColumnKind.time: _time,
    ColumnKind.uuid: _uuid,
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
    return column_value(kind, bool(value) if kind is ColumnKind.boolean else value)


_PYTHON_TYPES: dict[ColumnKind, type | tuple[type, ...]] = {
    ColumnKind.integer: int,
    ColumnKind.boolean: int,
    ColumnKind.real: (int, float),
}
