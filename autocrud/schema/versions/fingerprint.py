"""Fingerprint: the fields of a model's stored form, by which a later start finds out how the model has changed."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema, to_json

ITEM, VALUE = "[]", "*"  # names in a path: the items of a list, and the values of a mapping

Kind = Mapping[str, Any]  # a JSON type with its limits, by their names in JSON Schema
Path = tuple[str, ...]

_LIMITS = (
    "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
)  # fmt: skip
_MAX_FIELDS = 2000  # models that refer to each other in many ways would have millions of paths


@dataclass(frozen=True)
class FieldForm:
    """Form of the values at one path.

    Attributes:
        path: names that lead from the model to the field; empty for the model itself.
        kinds: kinds of values, in a fixed order.
        required: True if the field has no default.
    """

    path: Path
    kinds: tuple[Kind, ...]
    required: bool


Fingerprint = tuple[FieldForm, ...]


def fingerprint_of(adapter: TypeAdapter[Any]) -> Fingerprint:
    """Return the fingerprint of a model. Every process with the same model returns the same one.

    Titles, descriptions, defaults, aliases and the names of classes are left out.
    """
    schema = adapter.json_schema(by_alias=False, mode="validation", schema_generator=_Generator)
    walk = _Walk(schema.get("$defs", {}))
    walk.add((), schema, True, {})
    return tuple(
        FieldForm(path, tuple(kinds[text] for text in sorted(kinds)), walk.required[path])
        for path, kinds in walk.kinds.items()
    )


class _Generator(GenerateJsonSchema):
    """Generator that describes a type without a JSON schema as any value, and warns of nothing."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        return

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        return {}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])  # a default may not be JSON


class _Walk:
    """Collects the kinds of each path of a JSON schema."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self.kinds: dict[Path, dict[bytes, Kind]] = {}
        self.required: dict[Path, bool] = {}
        self._definitions = definitions

    def add(self, path: Path, schema: Any, required: bool, parents: Mapping[str, Path]) -> None:
        """Add the forms of a schema.

        Args:
            parents: paths of the definitions that the schema is a part of, by name.
        """
        kinds = self.kinds.setdefault(path, {})
        self.required[path] = self.required.get(path, True) and required
        branches = list(self._branches(path, schema, parents))
        # A field of several alternatives is required if all of them require it.
        names = [set(branch.get("required", ())) for branch, _ in branches if "properties" in branch]
        for branch, inner in branches:
            for kind in _kinds_of(branch):
                kinds[to_json(kind)] = kind
            self._add_parts(path, branch, inner, set.intersection(*names) if names else set())

    def _add_parts(
        self, path: Path, schema: Mapping[str, Any], parents: Mapping[str, Path], required: Container[str]
    ) -> None:
        for name, part in schema.get("properties", {}).items():
            self.add((*path, name), part, name in required, parents)
        for part in schema.get("prefixItems", ()):
            self.add((*path, ITEM), part, True, parents)
        if isinstance(schema.get("items"), Mapping):
            self.add((*path, ITEM), schema["items"], True, parents)
        values = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
        for part in values:
            if isinstance(part, Mapping):
                self.add((*path, VALUE), part, True, parents)

    def _branches(
        self, path: Path, schema: Any, parents: Mapping[str, Path]
    ) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Path]]]:
        """Yield the alternatives of a schema, without references, each with its parents."""
        if not isinstance(schema, Mapping):
            return
        parts = [part for name in ("anyOf", "oneOf", "allOf") for part in schema.get(name, ())]
        reference = schema.get("$ref")
        if reference is not None:
            name = str(reference).rpartition("/")[2]
            definition = self._definitions.get(name, {})
            if name in parents:
                yield {"type": "recursive", "format": ".".join(parents[name])}, parents
            elif len(self.kinds) > _MAX_FIELDS:
                yield {"type": "object", "format": sha256(to_json(definition)).hexdigest()[:16]}, parents
            else:
                yield from self._branches(path, definition, {**parents, name: path})
        elif parts:
            for part in parts:
                yield from self._branches(path, part, parents)
        else:
            yield schema, parents


def _kinds_of(schema: Mapping[str, Any]) -> Iterator[Kind]:
    """Yield the kinds of a schema without references and alternatives."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        yield from ({"type": "value", "value": value} for value in values)
        return
    types = schema.get("type", "any")
    for name in [types] if isinstance(types, str) else types:
        limits = {limit: schema[limit] for limit in _LIMITS if limit in schema}
        extra = schema.get("additionalProperties")
        if isinstance(extra, bool) and name == "object":
            limits["extra"] = "allow" if extra else "forbid"
        yield {"type": name, **limits}
