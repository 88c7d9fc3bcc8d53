"""The opaque cursor of a page: a place in the order, bound to the query that it belongs to."""

import binascii
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.columns import is_column_value
from autocrud.errors import InvalidParameter
from autocrud.query.conditions import And, Condition, Not, Or, Position, Query, Term


def encode_cursor(query: Query, position: Position) -> str:
    """Write the place as text for a URL."""
    return urlsafe_b64encode(to_json([_fingerprint(query), *position.values])).decode().rstrip("=")


def decode_cursor(query: Query, cursor: str) -> Position:
    """Read the place that `encode_cursor` wrote for the same filters and the same order.

    Raises:
        InvalidParameter: it is no cursor, or one of another query.
    """
    try:
        found = from_json(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        found = None
    if not isinstance(found, list) or not found or not isinstance(found[0], str):
        raise InvalidParameter("cursor", "is not a cursor that this service gave out")
    fingerprint, *values = found
    if fingerprint != _fingerprint(query):
        raise InvalidParameter("cursor", "belongs to a query with other filters, or in another order")
    keys = [key.field for key in query.order]
    fits = len(values) == len(keys) and all(
        field.nullable if value is None else is_column_value(field.kind, value)
        for field, value in zip(keys, values, strict=False)
    )
    if not fits:
        raise InvalidParameter("cursor", "is not a cursor that this service gave out")
    return Position(tuple(values))


def _fingerprint(query: Query) -> str:
    order = [(key.field.column, key.descending) for key in query.order]
    return f"{zlib.crc32(repr((_shape(query.where), order, query.include_deleted)).encode()):08x}"


def _shape(condition: Condition | None) -> Any:
    """The condition as plain values; what combines others has them in any order."""
    match condition:
        case And(parts) | Or(parts):
            return (type(condition).__name__, sorted(map(repr, map(_shape, parts))))
        case Not(part):
            return ("Not", _shape(part))
        case Term(field, operator, value):
            return (field.column, operator.value, value)
    return None
