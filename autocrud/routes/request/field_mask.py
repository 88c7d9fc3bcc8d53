"""Field masks (`fields=`): cut a resource's data to paths such as `title,address.city,cast.0`."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import InvalidParameter
from autocrud.routes.request.patterns import escape_pattern

_MAX_DEPTH = 32
# Limits of the regular expression in OpenAPI; deeper or longer ones are replaced by a pattern of any path.
_PATTERN_DEPTH = 6
_PATTERN_LENGTH = 2000
_ANY_PATH = r"[^,.\s]+(\.[^,.\s]+)*"
_OPTIONS = ("anyOf", "oneOf", "allOf")

# A tree of names; an empty tree selects the whole value.
Tree = dict[str, "Tree"]


def parse_paths(text: str) -> Tree:
    """Return the paths of a `fields` parameter as a tree.

    Raises:
        ValueError: a path has an empty name, or more than 32 names.
    """
    tree: Tree = {}
    for path in text.split(","):
        names = path.strip().split(".")
        if not all(names) or len(names) > _MAX_DEPTH:
            raise ValueError(f"{path!r} is not a path such as address.city")
        _add_path(tree, names)
    return tree


def _add_path(tree: Tree, names: list[str]) -> None:
    """Add a path. Has no effect if the tree selects the whole of an outer value already."""
    *outer, last = names
    for name in outer:
        if tree.get(name) == {}:
            return
        tree = tree.setdefault(name, {})
    tree[last] = {}


def check_paths(tree: Tree, schema: Mapping[str, Any]) -> None:
    """Check each path against the model's JSON schema.

    Raises:
        InvalidParameter: the schema has no such path.
    """
    definitions = schema.get("$defs", {})
    for path in _leaf_paths(tree):
        parts: list[Any] = [schema]
        for name in path:
            parts = [step for part in parts for step in _member_schemas(part, name, definitions, 0)]
        if not parts:
            raise InvalidParameter("fields", f"{'.'.join(path)!r} is not a field")


def paths_pattern(schema: Mapping[str, Any]) -> str:
    """Return a regular expression of the paths in a JSON schema, for OpenAPI; of any path if it would be too long."""
    path = _pattern(schema, schema.get("$defs", {}), 0)
    if not path or len(path) > _PATTERN_LENGTH:
        path = _ANY_PATH
    return f"^{path}(,{path})*$"


def _pattern(schema: Any, definitions: Mapping[str, Any], depth: int) -> str:
    """Return the pattern of the paths inside a value; empty if the value has no members."""
    if depth > _PATTERN_DEPTH or schema is True or schema == {}:
        return _ANY_PATH
    if not isinstance(schema, dict):
        return ""
    if "$ref" in schema:
        return _pattern(definitions.get(schema["$ref"].rpartition("/")[2]), definitions, depth + 1)
    patterns = [_pattern(option, definitions, depth + 1) for key in _OPTIONS for option in schema.get(key, ())]
    for name, part in schema.get("properties", {}).items():
        patterns.append(escape_pattern(name) + _optional_tail(_pattern(part, definitions, depth + 1)))
    if schema.get("additionalProperties") or (schema.get("type") == "object" and "properties" not in schema):
        patterns.append(_ANY_PATH)
    if schema.get("type") == "array":
        item = _pattern(schema.get("items", {}), definitions, depth + 1)
        patterns += ["(0|[1-9][0-9]{0,8})" + _optional_tail(item), item]
    options = "|".join(dict.fromkeys(filter(None, patterns)))
    return options and f"({options})"


def _optional_tail(pattern: str) -> str:
    """Return the pattern of a dot and an inner path, which may be absent."""
    return f"(\\.{pattern})?" if pattern else ""


def field_mask(data: bytes, tree: Tree) -> bytes:
    """Return the JSON data cut to the paths of the tree."""
    return to_json(_cut(from_json(data), tree), inf_nan_mode="constants")


def _cut(value: Any, tree: Tree) -> Any:
    """Return a value cut to the tree. In an array, numbers select items and other names apply to each item."""
    if not tree:
        return value
    if isinstance(value, dict):
        return {name: _cut(part, tree[name]) for name, part in value.items() if name in tree}
    if isinstance(value, list):
        common = {name: part for name, part in tree.items() if not name.isdecimal()}
        numbered = ((part, tree.get(str(number))) for number, part in enumerate(value))
        return [
            _cut(part, common if by_number is None else by_number)
            for part, by_number in numbered
            if common or by_number is not None
        ]
    return value


def _leaf_paths(tree: Tree) -> Iterator[tuple[str, ...]]:
    """Yield the path to each leaf of the tree."""
    for name, part in tree.items():
        if not part:
            yield (name,)
        for rest in _leaf_paths(part):
            yield (name, *rest)


def _member_schemas(schema: Any, name: str, definitions: Mapping[str, Any], depth: int) -> Iterator[Any]:
    """Yield the schemas of the members or items that a name selects in a value."""
    if schema is True or schema == {}:
        yield True
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return
    if "$ref" in schema:
        yield from _member_schemas(definitions.get(schema["$ref"].rpartition("/")[2]), name, definitions, depth + 1)
    for key in _OPTIONS:
        for option in schema.get(key, ()):
            yield from _member_schemas(option, name, definitions, depth + 1)
    yield from _property_schemas(schema, name)
    for key in ("items", "prefixItems"):
        options = schema.get(key, [])
        for option in options if isinstance(options, list) else [options]:
            yield from [option] if name.isdecimal() else _member_schemas(option, name, definitions, depth + 1)


def _property_schemas(schema: dict[str, Any], name: str) -> Iterator[Any]:
    """Yield the schemas of an object's property."""
    if name in schema.get("properties", {}):
        yield schema["properties"][name]
    elif schema.get("additionalProperties"):
        yield schema["additionalProperties"]
    elif schema.get("type") == "object" and "properties" not in schema:
        yield True
