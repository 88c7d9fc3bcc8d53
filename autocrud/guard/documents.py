"""Documents without the fields that a principal may not see, and with them again."""

from collections.abc import Collection
from typing import Any

from autocrud.schema.exact_numbers import dump_json, load_json

Path = tuple[str, ...]  # of a field in the stored form

_ABSENT: Any = object()


def without_fields(data: bytes, paths: Collection[Path]) -> bytes:
    """Return stored JSON without the fields at these paths."""
    document = load_json(data)
    for path in paths:
        remove(document, path)
    return dump_json(document)


def value_at(document: Any, path: Path) -> Any:
    """Return the value at a path; `is_absent` tells if there is none."""
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return _ABSENT
        document = document[name]
    return document


def is_absent(value: Any) -> bool:
    """Return True for the result of `value_at` without a value."""
    return value is _ABSENT


def remove(document: Any, path: Path) -> None:
    """Remove the field at a path, if there is one."""
    parent = value_at(document, path[:-1])
    if isinstance(parent, dict):
        parent.pop(path[-1], None)


def copy_field(source: Any, target: Any, path: Path) -> None:
    """Give the field at a path of the target the value that the source has there. It goes if the source has none."""
    value, parent = value_at(source, path), value_at(target, path[:-1])
    if not isinstance(parent, dict):
        return  # the record with the field was removed
    if value is _ABSENT:
        parent.pop(path[-1], None)
    else:
        parent[path[-1]] = value
