"""`fields=`: the parts of a resource's data that a client wants, by paths such as `title,address.city,cast.0`."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import InvalidParameter

_MAX_DEPTH = 32
_SHOWN_DEPTH = 6
_SHOWN_LENGTH = 2000
_ANY = r"[^,.\s]+(\.[^,.\s]+)*"
_OPTIONS = ("anyOf", "oneOf", "allOf")

# A tree of names; an empty one stands for the whole of what is there.
Tree = dict[str, "Tree"]


def parse_paths(text: str) -> Tree:
    """The paths of a `fields` parameter as a tree.

    Raises:
        ValueError: a path is empty.
    """
    tree: Tree = {}
    for path in text.split(","):
        names = path.strip().split(".")
        if not all(names) or len(names) > _MAX_DEPTH:
            raise ValueError(f"{path!r} is not a path such as address.city")
        _add(tree, names)
    return tree


def _add(tree: Tree, names: list[str]) -> None:
    """Add a path, unless the whole of what it is in is wanted already."""
    *outer, last = names
    for name in outer:
        if tree.get(name) == {}:
            return
        tree = tree.setdefault(name, {})
    tree[last] = {}


def check_paths(tree: Tree, schema: Mapping[str, Any]) -> None:
    """Look for each path in the model's JSON schema.

    Raises:
        InvalidParameter: one can lead nowhere.
    """
    definitions = schema.get("$defs", {})
    for path in _paths(tree):
        parts: list[Any] = [schema]
        for name in path:
            parts = [step for part in parts for step in _steps(part, name, definitions, 0)]
        if not parts:
            raise InvalidParameter("fields", f"{'.'.join(path)!r} is not a field")


def paths_pattern(schema: Mapping[str, Any]) -> str:
    """A regular expression for the `fields` that the model's JSON schema has, as far down as it is worth telling."""
    path = _pattern(schema, schema.get("$defs", {}), 0)
    if not path or len(path) > _SHOWN_LENGTH:
        path = _ANY
    return f"^{path}(,{path})*$"


def _pattern(schema: Any, definitions: Mapping[str, Any], depth: int) -> str:
    """Of the paths that begin within a value; empty where none do."""
    if depth > _SHOWN_DEPTH or schema is True or schema == {}:
        return _ANY
    if not isinstance(schema, dict):
        return ""
    if "$ref" in schema:
        return _pattern(definitions.get(schema["$ref"].rpartition("/")[2]), definitions, depth + 1)
    found = [_pattern(option, definitions, depth + 1) for key in _OPTIONS for option in schema.get(key, ())]
    for name, part in schema.get("properties", {}).items():
        found.append(re.escape(name) + _tail(_pattern(part, definitions, depth + 1)))
    if schema.get("additionalProperties") or (schema.get("type") == "object" and "properties" not in schema):
        found.append(_ANY)
    if schema.get("type") == "array":
        item = _pattern(schema.get("items", {}), definitions, depth + 1)
        found += ["(0|[1-9][0-9]{0,8})" + _tail(item), item]
    options = "|".join(dict.fromkeys(filter(None, found)))
    return options and f"({options})"


def _tail(pattern: str) -> str:
    return f"(\\.{pattern})?" if pattern else ""


def field_mask(data: bytes, tree: Tree) -> bytes:
    """The JSON cut to the tree."""
    return to_json(_cut(from_json(data), tree), inf_nan_mode="constants")


def _cut(value: Any, tree: Tree) -> Any:
    if not tree:
        return value
    if isinstance(value, dict):
        return {name: _cut(part, tree[name]) for name, part in value.items() if name in tree}
    if isinstance(value, list):
        of_each = {name: part for name, part in tree.items() if not name.isdecimal()}
        picked = ((part, tree.get(str(number))) for number, part in enumerate(value))
        return [_cut(part, of_each if own is None else own) for part, own in picked if own is not None or of_each]
    return value


def _paths(tree: Tree) -> Iterator[tuple[str, ...]]:
    for name, part in tree.items():
        if not part:
            yield (name,)
        for rest in _paths(part):
            yield (name, *rest)


def _steps(schema: Any, name: str, definitions: Mapping[str, Any], depth: int) -> Iterator[Any]:
    """The schemas of what a name leads to."""
    if schema is True or schema == {}:
        yield True
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return
    if "$ref" in schema:
        yield from _steps(definitions.get(schema["$ref"].rpartition("/")[2]), name, definitions, depth + 1)
    for key in _OPTIONS:
        for option in schema.get(key, ()):
            yield from _steps(option, name, definitions, depth + 1)
    yield from _members(schema, name)
    for key in ("items", "prefixItems"):
        options = schema.get(key, [])
        for option in options if isinstance(options, list) else [options]:
            yield from [option] if name.isdecimal() else _steps(option, name, definitions, depth + 1)


def _members(schema: dict[str, Any], name: str) -> Iterator[Any]:
    """The schemas of an object's member of that name."""
    if name in schema.get("properties", {}):
        yield schema["properties"][name]
    elif schema.get("additionalProperties"):
        yield schema["additionalProperties"]
    elif schema.get("type") == "object" and "properties" not in schema:
        yield True
