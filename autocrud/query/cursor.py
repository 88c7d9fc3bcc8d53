"""The opaque cursor of a page: a place in the order, bound to the query that it belongs to."""

import binascii
import re
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Position, Query

_CURSOR = re.compile(r"(?P<time>[0-9T:.Z-]{27})/(?P<id>[^/]{1,128})/(?P<query>[0-9a-f]{8})")


def encode_cursor(query: Query, position: Position) -> str:
    """Write the place as text for a URL."""
    text = f"{position.created_time}/{position.resource_id}/{_fingerprint(query)}"
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(query: Query, cursor: str) -> Position:
    """Read the place that `encode_cursor` wrote for the same filters.

    Raises:
        InvalidParameter: it is no cursor, or one of another query.
    """
    try:
        text = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error):
        text = ""
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidParameter("cursor", "is not a cursor that this service gave out")
    if match["query"] != _fingerprint(query):
        raise InvalidParameter("cursor", "belongs to a query with other filters")
    return Position(match["time"], match["id"])


def _fingerprint(query: Query) -> str:
    conditions = sorted((condition.field, repr(condition.value)) for condition in query.where)
    return f"{zlib.crc32(repr((conditions, query.include_deleted)).encode()):08x}"
