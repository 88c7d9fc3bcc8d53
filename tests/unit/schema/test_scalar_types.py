"""Scalar types: column kinds, and the types that filters read values as."""

from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, NewType

import pytest
from pydantic import (
    UUID7,
    AnyUrl,
    AwareDatetime,
    EmailStr,
    Field,
    FutureDatetime,
    HttpUrl,
    IPvAnyAddress,
    NaiveDatetime,
    PastDate,
    PositiveInt,
    PostgresDsn,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    conint,
)
from typing_extensions import TypeAliasType

from autocrud.schema.column_types import ColumnKind
from autocrud.schema.scalar_types import column_kind, filter_type, non_null

UserId = NewType("UserId", int)
Alias = TypeAliasType("Alias", str | None)


class Level(IntEnum):
    low = 1


class Mixed(Enum):
    text = "a"
    number = 1


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (bool, ColumnKind.boolean),
        (int | None, ColumnKind.integer),
        (Annotated[Decimal, Field(gt=0)], ColumnKind.decimal),
        (datetime, ColumnKind.datetime),
        (date, ColumnKind.date),
        (UserId, ColumnKind.integer),
        (Alias, ColumnKind.text),
        (Literal["a", "b", None], ColumnKind.text),
        (Level, ColumnKind.integer),
        (AwareDatetime, ColumnKind.datetime),
        (NaiveDatetime | None, ColumnKind.datetime),
        (FutureDatetime, ColumnKind.datetime),
        (PastDate, ColumnKind.date),
        (HttpUrl, ColumnKind.text),
        (AnyUrl | None, ColumnKind.text),
        (PostgresDsn, ColumnKind.text),
        (IPv4Address, ColumnKind.text),
        (IPvAnyAddress, ColumnKind.text),
        (EmailStr, ColumnKind.text),
        (PositiveInt, ColumnKind.integer),
        (StrictStr, ColumnKind.text),
        (conint(gt=1), ColumnKind.integer),
        (UUID7, ColumnKind.uuid),
        (int | bool, None),
        (Literal["a", 1], None),
        (Mixed, None),
        (bytes, None),
        (None, None),
    ],
    ids=repr,
)
def test_column_kind_follows_the_scalar_type(annotation: Any, kind: ColumnKind | None) -> None:
    """bool is not an integer and datetime is not a date; two kinds in one annotation have no column."""
    assert column_kind(annotation) is kind


def test_non_null_removes_none_and_keeps_constraints() -> None:
    """`Annotated` metadata survives the removal."""
    adapter = TypeAdapter(non_null(Annotated[int | None, Field(ge=3)]))
    assert adapter.validate_python(3) == 3
    for value in (None, 2):
        with pytest.raises(ValueError, match="validation error"):
            adapter.validate_python(value)


def test_filter_type_has_no_limits_and_keeps_conversions() -> None:
    """A filter may compare with a value that the field cannot have."""
    limited = Annotated[str, StringConstraints(to_lower=True, max_length=1)] | None
    assert TypeAdapter(filter_type(limited)).validate_strings("ABC") == "abc"
    assert TypeAdapter(filter_type(Annotated[int, Field(gt=0)] | None)).validate_strings("-1") == -1
    assert TypeAdapter(filter_type(PastDate | None)).validate_strings("9999-12-31") == date(9999, 12, 31)
