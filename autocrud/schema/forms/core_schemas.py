"""Core schemas: rewrite Pydantic's schema of a model for the stored form, for reading it, and for the shown form."""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

# A node of a core schema. Pydantic has a TypedDict per kind of node; a generic walk needs none of them.
Node = dict[str, Any]

FIELD_TYPES = frozenset({"model-field", "dataclass-field", "typed-dict-field"})
FUNCTION_TYPES = frozenset({"function-after", "function-before", "function-wrap", "function-plain"})
_CHILD_KEYS = (
    "schema", "items_schema", "keys_schema", "values_schema", "extras_schema", "extras_keys_schema", "lax_schema",
    "strict_schema", "json_schema", "python_schema", "return_schema", "choices", "steps", "definitions", "fields",
    "computed_fields",
)  # fmt: skip
_BYTES_WRITERS: dict[str, Callable[[bytes], str]] = {
    "utf8": bytes.decode,
    "base64": lambda value: urlsafe_b64encode(value).decode(),
    "hex": bytes.hex,
}
# Functions of these modules are parts of a type. All other functions are the user's.
_TYPE_MODULES = ("pydantic", "autocrud", "ipaddress", "pathlib")


def is_user_function(function: Any) -> bool:
    """Return True if a validator or serializer function belongs to the user's model."""
    while isinstance(function, partial):
        function = function.func
    module = getattr(function, "__module__", None) or type(function).__module__
    return str(module).partition(".")[0] not in _TYPE_MODULES


def has_user_validator(node: Node) -> bool:
    """Return True if a node calls a validator function of the user's model."""
    return node["type"] in FUNCTION_TYPES and is_user_function(node["function"]["function"])


def has_user_serializer(node: Node) -> bool:
    """Return True if a serializer of the user's model shapes the JSON of a node."""
    serialization = node.get("serialization") or {}
    if serialization.get("type") == "any":  # SerializeAsAny
        return True
    return "function" in serialization and is_user_function(serialization["function"])


def is_secret(node: Node) -> bool:
    """Return True for the schema of a secret: `SecretStr`, `SecretBytes` or `Secret[T]`."""
    if node["type"] != "json-or-python" or node["json_schema"]["type"] != "function-after":
        return False
    function = node["json_schema"]["function"]["function"]
    return hasattr(function, "get_secret_value") or getattr(function, "__qualname__", "").startswith("Secret.")


def walk(node: Node) -> Iterator[Node]:
    """Yield a node and all nodes below it. Recursive records are definitions, so the walk ends."""
    yield node
    for child in children(node):
        yield from walk(child)


def children(node: Node, *, without: Sequence[str] = ()) -> Iterator[Node]:
    """Yield the nodes directly below a node, except the nodes under some keys."""
    for key in _CHILD_KEYS:
        if key in node and key not in without:
            yield from _nodes_in(node[key])


def stored_schema(node: Node, *, keep_types: bool = False) -> Node:
    """Return the schema of the stored form's serializer.

    The result has no aliases, computed fields, `exclude_if` and user serializers. Sets are sorted. Bytes are written as
    the model reads them.

    Args:
        keep_types: keep the serializers that belong to custom types.
    """
    result = _map_children(node, partial(stored_schema, keep_types=keep_types))
    result.pop("computed_fields", None)
    if node["type"] in FIELD_TYPES:
        result.pop("serialization_alias", None)
        result.pop("serialization_exclude_if", None)
    if has_user_serializer(node) and not (keep_types and _is_type_serializer(node)):
        del result["serialization"]
    if "config" in node:
        result["config"] = _stored_config(node["config"])
    if node["type"] == "function-after" and node["schema"]["type"] == "bytes" and "serialization" in result:
        result["serialization"].setdefault(
            "return_schema", {"type": "bytes"}
        )  # encoded bytes have the model's encoding
    if is_secret(node):
        inner = stored_schema(node["json_schema"]["schema"], keep_types=keep_types)
        result["serialization"] = {"type": "function-plain", "function": _secret_value, "return_schema": inner}
    if node["type"] == "typed-dict" and "config" in node:
        result = _with_encoding(result, _BYTES_WRITERS[node["config"].get("val_json_bytes", "utf8")])
    return _sorted_set(result)


def shown_schema(node: Node) -> Node:
    """Return the schema of the shown form's serializer: the model's own, with sorted sets."""
    return _sorted_set(_map_children(node, shown_schema))


def reading_schema(node: Node) -> Node:
    """Return the schema that reads the stored form without the user's validator functions."""
    result = _map_children(node, reading_schema)
    if has_user_validator(node):
        inner = result.get("schema", {"type": "any"})
        return {**inner, **{key: result[key] for key in ("ref", "serialization") if key in result}}
    result.pop("now_op", None)  # a date that was in the future is past some day
    if node["type"] == "model":
        result["custom_init"] = False
        if not _private_attributes(node["cls"]):
            result.pop("post_init", None)
    return result


def has_user_post_init(node: Node) -> bool:
    """Return True if the model or dataclass of a node has a method that runs after validation."""
    if node["type"] == "dataclass":
        return bool(node.get("post_init"))
    if node["type"] != "model":
        return False
    definer = next((base for base in node["cls"].__mro__ if "model_post_init" in base.__dict__), BaseModel)
    return bool(node.get("custom_init")) or is_user_function(definer.__dict__["model_post_init"])


def _private_attributes(cls: Any) -> Mapping[str, Any]:
    return getattr(cls, "__private_attributes__", {})


def _is_type_serializer(node: Node) -> bool:
    """Return True if a serializer is part of a custom type, and not of a field or a model."""
    is_type = node["type"] in FUNCTION_TYPES or node["type"] in ("is-instance", "any", "json-or-python", "chain")
    return is_type and not node["serialization"].get("is_field_serializer")


def _with_encoding(node: Node, write: Callable[[bytes], str]) -> Node:
    """Return a node in which bytes have a serializer of their own.

    Pydantic reads bytes in a TypedDict by the config of the TypedDict, and writes them by the config around it.
    """
    if node["type"] == "bytes" and "serialization" not in node:
        text = {"type": "str"}
        return {**node, "serialization": {"type": "function-plain", "function": write, "return_schema": text}}

    def convert(child: Node) -> Node:
        return child if "config" in child else _with_encoding(child, write)

    return _map_children(node, convert)


def _stored_config(config: Mapping[str, Any]) -> dict[str, Any]:
    reading = {name: value for name, value in config.items() if not name.startswith("ser_json_")}
    return {**reading, "ser_json_bytes": config.get("val_json_bytes", "utf8")}


def _sorted_set(node: Node) -> Node:
    """Return a set's node with a serializer that sorts, because the order of a set depends on the process."""
    if node["type"] not in ("set", "frozenset") or "serialization" in node:
        return node
    inner = {key: value for key, value in node.items() if key != "ref"}
    return {**node, "serialization": {"type": "function-wrap", "function": _sort_items, "schema": inner}}


def _sort_items(value: Any, handler: Callable[[Any], Any]) -> Any:
    items = list(handler(value))
    if all(type(item) is str for item in items) or all(type(item) is int for item in items):
        return sorted(items)
    return sorted(items, key=to_json)


def _secret_value(secret: Any) -> Any:
    return None if secret is None else secret.get_secret_value()


def _map_children(node: Node, convert: Callable[[Node], Node]) -> Node:
    result = {key: _mapped(value, convert) if key in _CHILD_KEYS else value for key, value in node.items()}
    serialization = node.get("serialization")
    if serialization:
        parts = {key: convert(serialization[key]) for key in ("schema", "return_schema") if key in serialization}
        result["serialization"] = {**serialization, **parts}
    return result


def _mapped(part: Any, convert: Callable[[Node], Node]) -> Any:
    if isinstance(part, Mapping):
        if isinstance(part.get("type"), str):
            return convert(dict(part))
        return {name: _mapped(value, convert) for name, value in part.items()}
    if isinstance(part, list):
        return [_mapped(value, convert) for value in part]
    if isinstance(part, tuple):  # a choice of a union with its label
        return (_mapped(part[0], convert), *part[1:])
    return part


def _nodes_in(part: Any) -> Iterator[Node]:
    if isinstance(part, Mapping):
        if isinstance(part.get("type"), str):
            yield dict(part)
        else:
            for value in part.values():
                yield from _nodes_in(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from _nodes_in(value)
