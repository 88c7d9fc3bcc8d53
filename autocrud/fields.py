"""What a model's annotations say about its fields, and how a field's value becomes an index column's value."""

import operator
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from enum import Enum, StrEnum
from functools import reduce
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema

from autocrud.resource import timestamp

ColumnValue = str | int | float | None

# What fits in an index row of PostgreSQL, and so holds on every backend.
MAX_TEXT_BYTES = 2000
MAX_DIGITS = 1000


@dataclass(frozen=True, slots=True)
class Index:
    """Marks a field that lists can filter by: `Annotated[str, Index()]`."""


@dataclass(frozen=True, slots=True)
class Unique(Index):
    """Marks an index field whose value no two live resources of the model may share. Null is no value."""


@dataclass(frozen=True, slots=True)
class FilterBounds:
    """Shows in OpenAPI what a column can hold, where the field's own type does not say it."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        bare = schema.keys().isdisjoint(("enum", "const", "format", "pattern"))
        return {**(_BOUNDS.get(schema.get("type", ""), {}) if bare else {}), **schema}


class ColumnKind(StrEnum):
    """The types that an index column can have."""

    text = "text"
    integer = "integer"
    real = "real"
    boolean = "boolean"
    decimal = "decimal"
    datetime = "datetime"
    date = "date"
    time = "time"
    uuid = "uuid"


@dataclass(frozen=True, slots=True)
class IndexField:
    """One index field of a model; `name` is the field's name in JSON, in filters and in the column."""

    name: str
    kind: ColumnKind
    unique: bool
    annotation: Any
    adapter: TypeAdapter[Any]

    def column_value(self, json_value: Any) -> ColumnValue:
        """Turn the field's stored JSON value into the column's.

        Equal values become equal columns, and the order of columns is the order of values (Decimal aside).

        Raises:
            ValueError: the value does not fit the column; the message says why.
        """
        return None if json_value is None else _CONVERT[self.kind](json_value)

    def filter_value(self, value: Any) -> ColumnValue:
        """Turn a filter's value, a Python value of the field's type, into the column's.

        Raises:
            ValueError: the value is not one that the field can have.
        """
        validate = self.adapter.validate_strings if isinstance(value, str) else self.adapter.validate_python
        python_value = validate(value)
        return self.column_value(self.adapter.dump_python(python_value, mode="json"))


def non_null(annotation: Any) -> Any:
    """The type without None, as a filter has it: in a query string there is no null."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return Annotated[(non_null(inner), *metadata)]
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return reduce(operator.or_, parts)
    return annotation


def column_kind(annotation: Any) -> ColumnKind | None:
    """The kind of column for a field of this type, or None if it cannot be indexed. Optional does not matter."""
    kinds = {_scalar_kind(scalar) for scalar in _alternatives(annotation)}
    return kinds.pop() if len(kinds) == 1 else None


def _alternatives(annotation: Any) -> list[Any]:
    """The types that a value may have, with aliases, Annotated, Optional, enums and literals taken apart."""
    origin = get_origin(annotation)
    if hasattr(annotation, "__value__"):
        return _alternatives(annotation.__value__)
    if hasattr(annotation, "__supertype__"):
        return _alternatives(annotation.__supertype__)
    if origin is Annotated:
        return _alternatives(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    if origin is Literal:
        return [type(value) for value in get_args(annotation) if value is not None]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [type(member.value) for member in annotation]
    return [] if annotation is type(None) else [annotation]


def _scalar_kind(annotation: Any) -> ColumnKind | None:
    if not isinstance(annotation, type):
        return None
    # The order matters: bool is an int, and datetime is a date.
    for python_type, kind in _KINDS:
        if issubclass(annotation, python_type):
            return kind
    return None


_KINDS: tuple[tuple[type, ColumnKind], ...] = (
    (bool, ColumnKind.boolean),
    (int, ColumnKind.integer),
    (float, ColumnKind.real),
    (Decimal, ColumnKind.decimal),
    (datetime, ColumnKind.datetime),
    (date, ColumnKind.date),
    (time, ColumnKind.time),
    (UUID, ColumnKind.uuid),
    (str, ColumnKind.text),
)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"is indexed as text, but is stored as {type(value).__name__}")
    if "\0" in value:
        raise ValueError("an index field may not hold the character U+0000")
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"an index field's text may have at most {MAX_TEXT_BYTES} bytes in UTF-8")
    return value


def _integer(value: Any) -> int:
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError("an index field's integer must fit in 64 bits")
    return number


_BOUNDS: dict[str, dict[str, Any]] = {
    "string": {"maxLength": MAX_TEXT_BYTES, "pattern": r"^[^\x00]*$"},
    "integer": {"minimum": -(2**63), "maximum": 2**63 - 1},
}


def _places(number: Decimal) -> int:
    """The digits after the point."""
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) else 0


_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def _decimal(value: Any) -> str:
    number = Decimal(str(value)).normalize(_EXACT)
    if not number.is_finite():
        raise ValueError("an index field's number must be finite")
    if not (number.is_zero() or (number.adjusted() < MAX_DIGITS and _places(number) <= MAX_DIGITS)):
        raise ValueError(f"an index field's number may have at most {MAX_DIGITS} digits on either side of the point")
    return str(abs(number) if number.is_zero() else number)


def _datetime(value: Any) -> str:
    moment = datetime.fromisoformat(_text(value))
    # A time without an offset is taken as UTC, so that all of them have one order.
    return timestamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


_CONVERT: dict[ColumnKind, Callable[[Any], ColumnValue]] = {
    ColumnKind.text: _text,
    ColumnKind.integer: _integer,
    ColumnKind.real: float,
    ColumnKind.boolean: int,
    ColumnKind.decimal: _decimal,
    ColumnKind.datetime: _datetime,
    ColumnKind.date: _text,
    ColumnKind.time: _text,
    ColumnKind.uuid: _text,
}
