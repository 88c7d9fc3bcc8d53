"""Scalar types: the column kind of a type, and the type that filters read their values as."""

import operator
import types
from collections.abc import Sequence
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import reduce
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import annotated_types
from pydantic import (
    AllowInfNan,
    AnyUrl,
    AwareDatetime,
    EmailStr,
    FutureDate,
    FutureDatetime,
    IPvAnyAddress,
    IPvAnyInterface,
    IPvAnyNetwork,
    NaiveDatetime,
    NameEmail,
    PastDate,
    PastDatetime,
    PostgresDsn,
    Secret,
    SecretBytes,
    SecretStr,
    Strict,
    StringConstraints,
)
from pydantic.fields import FieldInfo
from pydantic.types import UuidVersion

from autocrud.schema.column_types import ColumnKind

# Types that are not a subclass of the type that they validate to. Each of them restricts the values of this type.
_PLAIN_TYPES: dict[Any, type] = {
    AwareDatetime: datetime,
    NaiveDatetime: datetime,
    PastDatetime: datetime,
    FutureDatetime: datetime,
    PastDate: date,
    FutureDate: date,
}
_CONSTRAINTS = (annotated_types.BaseMetadata, annotated_types.GroupedMetadata, AllowInfNan, Strict, UuidVersion)
# Types that are stored as a text in one normal form.
_TEXT_TYPES: tuple[Any, ...] = (
    str, EmailStr, NameEmail, AnyUrl.__base__, PostgresDsn.__base__,
    IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network,
    IPvAnyAddress, IPvAnyInterface, IPvAnyNetwork,
)  # fmt: skip
_SECRET_TYPES = (Secret, SecretBytes, SecretStr)
_KINDS: tuple[tuple[Any, ColumnKind], ...] = (
    (bool, ColumnKind.boolean),
    (int, ColumnKind.integer),
    (float, ColumnKind.real),
    (Decimal, ColumnKind.decimal),
    (datetime, ColumnKind.datetime),
    (date, ColumnKind.date),
    (time, ColumnKind.time),
    (UUID, ColumnKind.uuid),
    (_TEXT_TYPES, ColumnKind.text),
)


def non_null(annotation: Any) -> Any:
    """Return the type without None. A query string has no null, so filters use this type."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return Annotated[(non_null(inner), *metadata)]
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return reduce(operator.or_, parts)
    return annotation


def column_kind(annotation: Any) -> ColumnKind | None:
    """Return the column kind for a field of this type, or None if the type cannot be indexed. Ignore None in unions."""
    kinds = {_scalar_kind(scalar) for scalar in _alternatives(annotation)}
    return kinds.pop() if len(kinds) == 1 else None


def _alternatives(annotation: Any) -> list[Any]:
    """Return the scalar types of an annotation. Resolve aliases, Annotated, unions, enums and literals."""
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


def filter_type(annotation: Any) -> Any:
    """Return the type that filters read values as: the same forms and conversions, without limits on the value.

    A filter may compare with any value, such as `due__lt` a past date on a field for future dates.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner, *metadata = arguments
        conversions = [item for part in metadata for item in _conversions(part)]
        return Annotated[(filter_type(inner), *conversions)] if conversions else filter_type(inner)
    if origin in (Union, types.UnionType):
        return reduce(operator.or_, map(filter_type, arguments))
    return _PLAIN_TYPES.get(annotation, annotation) if isinstance(annotation, type) else annotation


def with_text_conversions(annotation: Any, metadata: Sequence[Any]) -> Any:
    """Return the type with the conversions of `StringConstraints`, such as `to_lower`, without constraints."""
    conversions = [item for part in metadata if isinstance(part, StringConstraints) for item in _conversions(part)]
    return Annotated[(annotation, *conversions)] if conversions else annotation


def _conversions(metadata: Any) -> Sequence[Any]:
    """Return the parts of `Annotated` metadata that convert values."""
    if isinstance(metadata, FieldInfo):
        return [item for part in metadata.metadata for item in _conversions(part)]
    if isinstance(metadata, StringConstraints):
        flags = {name: getattr(metadata, name) for name in ("strip_whitespace", "to_upper", "to_lower")}
        return [StringConstraints(**flags)] if any(flags.values()) else []
    return [] if metadata is None or isinstance(metadata, _CONSTRAINTS) else [metadata]


def is_secret(annotation: Any) -> bool:
    """Return True if the type hides its value."""
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, _SECRET_TYPES)


def _scalar_kind(annotation: Any) -> ColumnKind | None:
    annotation = _PLAIN_TYPES.get(annotation, annotation) if isinstance(annotation, type) else annotation
    if not isinstance(annotation, type):
        return None
    # The order matters because bool is a subclass of int, and datetime is a subclass of date.
    for python_type, kind in _KINDS:
        if issubclass(annotation, python_type):
            return kind
    return None
