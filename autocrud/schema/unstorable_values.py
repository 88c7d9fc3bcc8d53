"""Unstorable values: find numbers that are not finite, and texts that are not valid Unicode. JSON lacks both."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

SURROGATE_MESSAGE = "must not contain a lone surrogate, which is not valid Unicode"
_SEQUENCES = (list, tuple, set, frozenset, deque)
_CLOSED_TYPES = {"string", "integer", "boolean", "null"}
# JSON has one of these in the place of a number that is not finite, by the model's `ser_json_inf_nan`.
_TRACES = (b"null", b"NaN", b"Infinity")


def may_hold_floats(schema: Any) -> bool:
    """Return True if values of a JSON schema, of an open schema too, may be or contain numbers that are not finite."""
    if schema is True or schema == {}:
        return True
    if not isinstance(schema, Mapping):
        return False
    if any(map(may_hold_floats, schema.get("$defs", {}).values())):
        return True
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if choices:
        return any(map(may_hold_floats, choices))
    if "$ref" in schema or "const" in schema or "enum" in schema:
        return False
    kind = schema.get("type")
    if kind == "object":
        parts = [*schema.get("properties", {}).values(), *schema.get("patternProperties", {}).values()]
        names = schema.get("propertyNames", False)
        return any(map(may_hold_floats, [*parts, schema.get("additionalProperties", False), names]))
    if kind == "array":
        items = [*schema.get("prefixItems", ()), *([schema["items"]] if "items" in schema else [])]
        return not items or any(map(may_hold_floats, items))
    return kind not in _CLOSED_TYPES


def may_show_non_finite(data: bytes) -> bool:
    """Return True if JSON that Pydantic wrote may stand for a value with a number that is not finite."""
    return any(trace in data for trace in _TRACES)


def non_finite_paths(value: Any) -> Iterator[str]:
    """Yield the path of each number in a Python value that is not finite."""
    return _find_paths(value, _is_not_finite)


def surrogate_paths(value: Any) -> Iterator[str]:
    """Yield the path of each text in a Python value that contains a lone surrogate."""
    return _find_paths(value, _has_surrogate)


def _find_paths(value: Any, is_found: Callable[[Any], bool], path: str = "") -> Iterator[str]:
    """Yield the path of each part for which `is_found` holds. The path of the value itself is `(body)`.

    For the key of a mapping, the path is that of the mapping.
    """
    if isinstance(value, Mapping):
        if any(map(is_found, value)):
            yield path or "(body)"
        for key, part in value.items():
            yield from _find_paths(part, is_found, f"{path}.{key}" if path else str(key))
    elif isinstance(value, _SEQUENCES):
        for number, part in enumerate(value):
            yield from _find_paths(part, is_found, f"{path}.{number}" if path else str(number))
    elif is_found(value):
        yield path or "(body)"


def _is_not_finite(value: Any) -> bool:
    if isinstance(value, Decimal):
        return not value.is_finite()
    return isinstance(value, float) and not math.isfinite(value)


def _has_surrogate(value: Any) -> bool:
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)
