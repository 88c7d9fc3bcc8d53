"""Nesting of documents: a limit that keeps every stored document readable by the JSON parser, in each envelope."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from autocrud.errors import FieldError, InvalidData

MAX_DEPTH = 100
NESTING_MESSAGE = f"is nested more than {MAX_DEPTH} levels deep"
# The parser of Pydantic reads at most 201 levels, and so many around a document leave the limit to the document.
_MARGIN = 201 - MAX_DEPTH
_MAX_INDEX_DIGITS = 18


def check_nesting(model: str, data: bytes) -> None:
    """Refuse JSON with too many levels.

    Raises:
        InvalidData: the JSON is nested too deeply.
    """
    try:
        from_json(b"[" * _MARGIN + data + b"]" * _MARGIN)
    except ValueError as error:
        raise InvalidData(f"The {model} is not valid.", [FieldError("(body)", NESTING_MESSAGE)]) from error


def is_too_deep(document: Any) -> bool:
    """Return True if a parsed document is nested too deeply."""
    level, depth = [document], 0
    while level:
        depth += 1
        level = [part for item in level for part in _parts(item)]
        if depth > MAX_DEPTH and level:
            return True
    return False


def as_index(token: str) -> int | None:
    """Return the number of a token of a path; None if no list can have so many items, or the token is no number."""
    return int(token) if token.isdecimal() and len(token) <= _MAX_INDEX_DIGITS else None


def _parts(item: Any) -> list[Any]:
    parts = item.values() if isinstance(item, Mapping) else item
    return [part for part in parts if isinstance(part, Mapping | list)] if isinstance(item, Mapping | list) else []
