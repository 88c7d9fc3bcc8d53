"""Value comparison: the place of the first difference between two values of a model, or between two documents."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from autocrud.schema.type_inspection import fields_of

# The path of a value in a document or in an instance.
Place = list[int | str]


def first_change(before: Any, after: Any) -> Place | None:
    """Return the place of the first value of a document that has another value in a later document, or None."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        pairs = [(name, part, after[name]) for name, part in before.items() if name in after]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(number, *parts) for number, parts in enumerate(zip(before, after, strict=True))]
    else:
        return None if before == after else []
    return next(([name, *place] for name, old, new in pairs if (place := first_change(old, new)) is not None), None)


def find_hidden_value(value: Any) -> Place | None:
    """Return the place of a value that `exclude_if` leaves out of answers and that is not the default, or None."""
    if isinstance(value, BaseModel) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        parts: Any = _members(value)
        for name, info in fields_of(type(value)).items():
            is_hidden = info.exclude_if is not None and name in parts and info.exclude_if(parts[name])
            if is_hidden and parts[name] != info.get_default(call_default_factory=True, validated_data=parts):
                return [name]
    elif isinstance(value, Mapping):
        parts = value
    else:
        parts = dict(enumerate(value)) if isinstance(value, list | tuple) else {}
    places = ([name, *place] for name, part in parts.items() if (place := find_hidden_value(part)) is not None)
    return next(places, None)


def first_difference(first: Any, second: Any) -> Place | None:
    """Return the place of the first difference between two Python values; None if they are equal."""
    if isinstance(first, BaseModel) and isinstance(second, BaseModel):
        return _difference_of_members(*map(_members, (first, second))) if isinstance(first, type(second)) else []
    if dataclasses.is_dataclass(first) and type(first) is type(second) and not isinstance(first, type):
        return _difference_of_members(*map(_members, (first, second)))
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return _difference_of_members(first, second)
    if isinstance(first, list | tuple) and type(first) is type(second):
        if len(first) != len(second):
            return []
        return _difference_of_members(dict(enumerate(first)), dict(enumerate(second)))
    if first == second:
        # 1 and 1.0 are one number. Other values of two types, such as a date and a text, are never equal.
        return None
    # Values without an equality of their own are as equal as their JSON.
    has_equality = type(first).__eq__ is not object.__eq__  # type: ignore[comparison-overlap]
    return [] if has_equality or type(first) is not type(second) else None


def _members(value: Any) -> dict[str, Any]:
    """Return the fields of a record's instance, with its extra values."""
    if isinstance(value, BaseModel):
        fields = {name: value.__dict__[name] for name in type(value).model_fields if name in value.__dict__}
        return (value.__pydantic_extra__ or {}) | fields
    return {item.name: getattr(value, item.name) for item in dataclasses.fields(value) if hasattr(value, item.name)}


def _difference_of_members(first: Mapping[Any, Any], second: Mapping[Any, Any]) -> Place | None:
    for name in first.keys() | second.keys():
        if name not in first or name not in second:
            return [name]
        place = first_difference(first[name], second[name])
        if place is not None:
            return [name, *place]
    return None
