"""The opaque cursor of a page: a place in the order, bound to the query that it belongs to."""

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import And, Condition, Matches, Not, Or, Position, Query, ReferenceFilter, Term
from autocrud.resource import timestamp
from autocrud.schema.column_types import ColumnValue, is_column_value
from autocrud.schema.index_field import IndexField


def encode_cursor(query: Query, position: Position, model: str = "") -> str:
    """Write the place as text for a URL.

    Args:
        model: whose resources are asked for.
    """
    return urlsafe_b64encode(to_json([_fingerprint(query, model), *position.values])).decode().rstrip("=")


def decode_cursor(query: Query, cursor: str, model: str = "") -> Position:
    """Read the place that `encode_cursor` wrote for the same model, the same filters and the same order.

    Raises:
        InvalidParameter: it is no cursor, or one of another query.
    """
    return Position(_decode(_fingerprint(query, model), cursor, [key.field for key in query.order]))


def encode_keys(asked: Any, keys: Sequence[ColumnValue]) -> str:
    """Write the place of a group.

    Args:
        asked: what the groups belong to: a condition first, then plain values.
    """
    return urlsafe_b64encode(to_json([_checksum(asked), *keys])).decode().rstrip("=")


def decode_keys(asked: Any, cursor: str, fields: Sequence[IndexField]) -> tuple[ColumnValue, ...]:
    """Read what `encode_keys` wrote for the same question.

    Raises:
        InvalidParameter: it is no cursor, or one of another question.
    """
    return _decode(_checksum(asked), cursor, fields, nullable=True)


def _decode(
    fingerprint: str, cursor: str, fields: Sequence[IndexField], *, nullable: bool = False
) -> tuple[ColumnValue, ...]:
    try:
        found = from_json(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        found = None
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        raise InvalidParameter("cursor", "is not a cursor that this service gave out")
    written, *values = found
    if written != fingerprint:
        raise InvalidParameter("cursor", "belongs to a query with other filters, in another order, or at another time")
    fits = len(values) == len(fields) and all(
        nullable or field.nullable if value is None else is_column_value(field.kind, value)
        for field, value in zip(fields, values, strict=False)
    )
    if not fits:
        raise InvalidParameter("cursor", "is not a cursor that this service gave out")
    return tuple(values)


def _checksum(asked: Any) -> str:
    condition, *rest = asked
    return f"{zlib.crc32(repr((_shape(condition), rest)).encode()):08x}"


def _fingerprint(query: Query, model: str) -> str:
    order = [(key.field.column, key.descending) for key in query.order]
    at = None if query.at is None else timestamp(query.at)
    return f"{zlib.crc32(repr((model, _shape(query.where), order, query.include_deleted, at)).encode()):08x}"


def _shape(condition: Condition | None) -> Any:
    """The condition as plain values; what combines others has them in any order."""
    match condition:
        case And(parts) | Or(parts):
            return (type(condition).__name__, sorted(map(repr, map(_shape, parts))))
        case Not(part):
            return ("Not", _shape(part))
        case Term(field, operator, value):
            return (field.column, operator.value, value)
        case Matches(field, text):
            return (field.column, text)
        case ReferenceFilter(field, model, part):
            # What was asked, and not what was found: that may change from page to page.
            return (field.column, model, _shape(part))
    return None
