"""The opaque cursor of a page: a place in the order, bound to the query that it belongs to."""

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

from autocrud.errors import InvalidParameter
from autocrud.query.conditions import Position, Query


def encode_cursor(query: Query, position: Position) -> str:
    """Write the place as text for a URL."""
    fields = [position.created_time, position.resource_id, _fingerprint(query)]
    return urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


def decode_cursor(query: Query, cursor: str) -> Position:
    """Read the place that `encode_cursor` wrote for the same filters.

    Raises:
        InvalidParameter: it is no cursor, or one of another query.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        fields = json.loads(urlsafe_b64decode(padded.encode("ascii")))
        created_time, resource_id, fingerprint = fields
        if not (isinstance(created_time, str) and isinstance(resource_id, str)):
            raise ValueError("not a position")
    except (ValueError, TypeError, binascii.Error, RecursionError) as error:
        raise InvalidParameter("cursor", "is not a cursor that this service gave out") from error
    if fingerprint != _fingerprint(query):
        raise InvalidParameter("cursor", "belongs to a query with other filters")
    return Position(created_time, resource_id)


def _fingerprint(query: Query) -> str:
    conditions = sorted((condition.field, repr(condition.value)) for condition in query.where)
    return sha256(repr((conditions, query.include_deleted)).encode()).hexdigest()[:8]
