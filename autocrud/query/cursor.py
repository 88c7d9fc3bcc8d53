"""Cursors: encode the start of the next page as opaque text, bound to one query, and decode it."""

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
    """Encode a position as text that is safe in a URL.

    Args:
        model: the name of the listed model.
    """
    return urlsafe_b64encode(to_json([_fingerprint(query, model), *position.values])).decode().rstrip("=")


def decode_cursor(query: Query, cursor: str, model: str = "") -> Position:
    """Decode the position that `encode_cursor` encoded for the same model, filters, order and point in time.

    Raises:
        InvalidParameter: the text is not a cursor, or is the cursor of another query.
    """
    return Position(_decode(_fingerprint(query, model), cursor, [key.field for key in query.order]))


def encode_keys(query_parts: Any, keys: Sequence[ColumnValue]) -> str:
    """Encode the keys of a group.

    Args:
        query_parts: the parts of the aggregate query: a condition, then plain values.
    """
    return urlsafe_b64encode(to_json([_checksum(query_parts), *keys])).decode().rstrip("=")


def decode_keys(query_parts: Any, cursor: str, fields: Sequence[IndexField]) -> tuple[ColumnValue, ...]:
    """Decode the keys that `encode_keys` encoded for the same query parts.

    Raises:
        InvalidParameter: the text is not a cursor, or is the cursor of another query.
    """
    return _decode(_checksum(query_parts), cursor, fields, nullable=True)


def _decode(
    fingerprint: str, cursor: str, fields: Sequence[IndexField], *, nullable: bool = False
) -> tuple[ColumnValue, ...]:
    try:
        content = from_json(urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        content = None
    if not isinstance(content, list) or not content or not isinstance(content[0], str):
        raise InvalidParameter("cursor", "is not a cursor of this service; pass the next_cursor of the previous page")
    cursor_fingerprint, *values = content
    if cursor_fingerprint != fingerprint:
        raise InvalidParameter(
            "cursor", "belongs to another query; keep the filters, the order and the point in time of the first page"
        )
    # The fingerprint is a checksum without a secret, so a client can forge values that an engine would fail on.
    is_valid = len(values) == len(fields) and all(
        nullable or field.nullable if value is None else is_column_value(field.kind, value)
        for field, value in zip(fields, values, strict=False)
    )
    if not is_valid:
        raise InvalidParameter("cursor", "is not a cursor of this service; pass the next_cursor of the previous page")
    return tuple(values)


def _checksum(query_parts: Any) -> str:
    condition, *rest = query_parts
    return f"{zlib.crc32(repr((_shape(condition), rest)).encode()):08x}"


def _fingerprint(query: Query, model: str) -> str:
    order = [(key.field.unversioned_column, key.descending) for key in query.order]
    at = None if query.at is None else timestamp(query.at)
    return f"{zlib.crc32(repr((model, _shape(query.where), order, query.include_deleted, at)).encode()):08x}"


def _shape(condition: Condition | None) -> Any:
    """Return the condition as plain values. The order of parts in `And` and `Or` has no effect on the result."""
    match condition:
        case And(parts) | Or(parts):
            return (type(condition).__name__, sorted(map(repr, map(_shape, parts))))
        case Not(part):
            return ("Not", _shape(part))
        case Term(field, operator, value):
            return (field.unversioned_column, operator.value, value)
        case Matches(field, text):
            return (field.unversioned_column, text)
        case ReferenceFilter(field, model, part):
            # The condition, not the ids of the resources that match it: these may change from page to page.
            return (field.unversioned_column, model, _shape(part))
    return None
