"""Partial schemas: a model's schema in which every member is optional, for merge patches and for cut answers."""

from collections.abc import Callable
from typing import Any

REF = "#/components/schemas/"
# Marks a member of a component whose schema becomes partial when the document is completed.
CUT = "x-cut"
# Keywords that describe a complete object: its name, the members that must be there, and the values of absent ones.
_COMPLETE = frozenset({"title", "required", "default", "examples", "example", "discriminator", "minProperties"})
_UNIONS = ("anyOf", "oneOf", "allOf")


def ref_to(name: str) -> dict[str, Any]:
    """Return a reference to a component."""
    return {"$ref": f"{REF}{name}"}


def component_of(schema: Any) -> str | None:
    """Return the name of the component that a schema refers to; None if the schema is no reference."""
    reference = schema.get("$ref", "") if isinstance(schema, dict) else ""
    return reference.removeprefix(REF) if reference.startswith(REF) else None


class PartialSchemas:
    """Builds partial variants of components, and adds the variants to the components.

    Args:
        schemas: schemas of the document's components, by name; variants are added.
        rename: returns the name of a component's partial variant.
        removable: True if null stands for the removal of a member of a mapping, as in a merge patch (RFC 7396).
    """

    def __init__(self, schemas: dict[str, Any], rename: Callable[[str], str], *, removable: bool) -> None:
        self._schemas = schemas
        self._rename = rename
        self._removable = removable
        self._names: dict[str, str] = {}

    def build(self, schema: Any) -> Any:
        """Return the partial variant of a schema. Scalars and arrays are returned unchanged."""
        if not isinstance(schema, dict):
            return schema
        name = component_of(schema)
        if name is not None:
            return self._build_component(name) if self._has_members(schema, set()) else ref_to(name)
        variant = {key: value for key, value in schema.items() if key not in _COMPLETE}
        for union in _UNIONS:
            if union in variant:
                variants = [self.build(part) for part in variant.pop(union)]
                # Alternatives that differ in required members only are no longer disjoint.
                variant["allOf" if union == "allOf" else "anyOf"] = _distinct(variants)
        if "properties" in variant:
            variant["properties"] = {key: self.build(part) for key, part in variant["properties"].items()}
        if isinstance(variant.get("additionalProperties"), dict) and variant["additionalProperties"]:
            variant["additionalProperties"] = self._build_mapping_value(variant["additionalProperties"])
        return variant

    def _build_component(self, name: str) -> dict[str, Any]:
        if name not in self._names:
            variant_name = self._rename(name)
            while variant_name in self._schemas:
                variant_name += "_"
            self._names[name] = variant_name
            # The name is taken before the schema is built, because a model may refer to itself.
            self._schemas[variant_name] = {}
            variant: dict[str, Any] = self.build(self._schemas[name])
            variant.pop("description", None)  # that of the complete component
            self._schemas[variant_name] = variant
        return ref_to(self._names[name])

    def _build_mapping_value(self, schema: dict[str, Any]) -> dict[str, Any]:
        value: dict[str, Any] = self.build(schema)
        return {"anyOf": _distinct([value, {"type": "null"}])} if self._removable else value

    def _has_members(self, schema: Any, visited: set[str]) -> bool:
        """Return True if values of the schema may be objects with members that a partial variant can leave out."""
        if not isinstance(schema, dict):
            return False
        name = component_of(schema)
        if name is not None:
            if name in visited or name not in self._schemas:
                return False
            return self._has_members(self._schemas[name], visited | {name})
        if schema.get("type") == "object" or "properties" in schema:
            return True
        return any(self._has_members(part, visited) for union in _UNIONS for part in schema.get(union, ()))


def base_name(component: str) -> str:
    """Return the name of a component without the suffix that tells input from output."""
    return component.removesuffix("-Input").removesuffix("-Output")


def _distinct(schemas: list[Any]) -> list[Any]:
    distinct: list[Any] = []
    for schema in schemas:
        if schema not in distinct:
            distinct.append(schema)
    return distinct
