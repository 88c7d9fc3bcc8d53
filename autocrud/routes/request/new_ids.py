"""New ids: `$name` in the operations of a request stands for the id of a resource that the request creates."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autocrud.errors import FieldError, InvalidData
from autocrud.schema.forms.field_names import Shape, value_at
from autocrud.schema.model_spec import ModelSpec

_NAME = re.compile(r"\$[A-Za-z0-9_.-]{1,64}")
_MARK = "$"

Resolve = Callable[[str], str]


class NewIds:
    """The names of one request, and their ids."""

    def __init__(self) -> None:
        self._ids: dict[str, str | None] = {}

    def declare(self, name: str, resource_id: str | None) -> None:
        """Add a name.

        Args:
            resource_id: id of the new resource; None if its operation has to run first.

        Raises:
            InvalidData: the name is malformed, or another operation has it.
        """
        if not _NAME.fullmatch(name):
            raise _invalid("id", f"{name!r} must be $ and 1 to 64 letters, digits, '_', '-' or '.'")
        if name in self._ids:
            raise _invalid("id", f"{name!r} is the name of another new resource")
        self._ids[name] = resource_id

    def bind(self, name: str, resource_id: str) -> None:
        """Set the id of a name whose operation has run."""
        self._ids[name] = resource_id

    def resolve(self, field: str, text: str) -> str:
        """Return the id for a text that begins with `$`; any other text unchanged.

        Raises:
            InvalidData: no operation creates a resource with this name, or the operation has not run yet.
        """
        if not text.startswith(_MARK):
            return text
        if text not in self._ids:
            raise _invalid(field, f"{text!r} is not the name of a resource that this request creates")
        resource_id = self._ids[text]
        if resource_id is None:
            raise _invalid(field, f"{text!r} has no id yet: its on_conflict must come first")
        return resource_id

    def resolve_reference(self, field: str, text: str) -> str:
        """Return the id for a value of a reference field. `$$` stands for a `$` that begins a literal value."""
        return text.removeprefix(_MARK) if text.startswith(_MARK * 2) else self.resolve(field, text)


def replace_references(spec: ModelSpec[Any], members: Mapping[str, Any], new_ids: NewIds) -> None:
    """Replace names by ids in the reference fields of an operation, in place.

    Args:
        members: parsed members of the operation: `data`, `merge` and `patch`.

    Raises:
        InvalidData: a name is unknown.
    """
    for field in spec.index_fields:
        if field.ref is None:
            continue

        def resolve(text: str, name: str = field.name) -> str:
            return new_ids.resolve_reference(name, text)

        for member in ("data", "merge"):
            if member in members:
                _replace_member(members, member, spec.names.root, field.path, resolve)
        patch = members.get("patch")
        for step in patch if isinstance(patch, list) else ():
            if isinstance(step, dict) and isinstance(step.get("path"), str) and "value" in step:
                _replace_step(spec, step, field.path, resolve)


def _replace_step(spec: ModelSpec[Any], step: dict[str, Any], path: Sequence[str], resolve: Resolve) -> None:
    """Replace names in the value of a step of a JSON Patch."""
    pointer = [token.replace("~1", "/").replace("~0", "~") for token in step["path"].split("/")[1:]]
    tokens, shape = spec.names.to_stored_path(pointer, None, [])
    remaining = list(path)
    for token in tokens:
        if remaining and token == remaining[0]:
            remaining.pop(0)
        elif not (token.isdecimal() or token == "-"):
            return
    _replace_member(step, "value", shape, remaining, resolve)


def _replace_member(container: Any, key: Any, shape: Shape, path: Sequence[str], resolve: Resolve) -> None:
    """Replace names in the values that a path leads to, through lists and through all names of a field."""
    value = container[key]
    if isinstance(value, list):
        for number in range(len(value)):
            _replace_member(value, number, shape.at(number), path, resolve)
    elif not path:
        if isinstance(value, str):
            container[key] = resolve(value)
    elif isinstance(value, dict):
        record = shape.record_for(value)
        item = None if record is None else record.field_of(path[0])
        if item is None:
            if path[0] in value:
                _replace_member(value, path[0], shape.at(path[0]), path[1:], resolve)
            return
        for *steps, name in item.find(value):
            _replace_member(value_at(value, tuple(steps)), name, item.shape, path[1:], resolve)


def _invalid(field: str, message: str) -> InvalidData:
    return InvalidData("The operation is not valid.", [FieldError(field, message)])
