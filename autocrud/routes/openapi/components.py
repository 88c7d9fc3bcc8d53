"""Components of an OpenAPI document: adds schemas and parameters, and refers to them."""

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, count
from typing import Any

from pydantic_core import to_jsonable_python

from autocrud.routes.openapi.partial_schemas import REF, PartialSchemas, base_name, component_of, ref_to

_TEXTS = frozenset({"title", "description", "examples"})
# Keywords whose members have names of their own, such as `title`.
_MEMBERS = frozenset({"properties", "patternProperties", "$defs"})


class Components:
    """The components of one document.

    Args:
        document: an OpenAPI document, to whose components the methods add.

    Attributes:
        schemas: schemas by name.
        merge_patches: builder of merge patches (RFC 7396): `Movie-Input` becomes `MoviePatch`.
        cut_answers: builder of answers that `fields=` cuts: `Movie-Output` becomes `PartialMovie`.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self._components: dict[str, Any] = document.setdefault("components", {})
        self.schemas: dict[str, Any] = self._components.setdefault("schemas", {})
        self._schema_names: dict[str, str] = {}
        self._names: dict[tuple[str, str], str] = {}
        self.merge_patches = PartialSchemas(self.schemas, lambda name: f"{base_name(name)}Patch", removable=True)
        self.cut_answers = PartialSchemas(self.schemas, lambda name: f"Partial{base_name(name)}", removable=False)

    def add_schema(self, name: str, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Add a schema once. Return a reference to it.

        A model of the application may have the name; the schema gets another name then.
        """
        if name not in self._schema_names:
            component = name
            while component in self.schemas:
                component += "_"
            self._schema_names[name] = component
            # The name is taken before the schema is built, so that its own parts get other names.
            self.schemas[component] = {}
            self.schemas[component] = build()
        return ref_to(self._schema_names[name])

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema that a reference refers to; any other schema unchanged."""
        name = component_of(schema)
        return schema if name is None else self.schemas[name]

    def add_parameter(self, name: str, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Add a parameter, unless the document has the name already. Return a reference to it."""
        parameters = self._components.setdefault("parameters", {})
        if name not in parameters:
            parameters[name] = build()
        return {"$ref": f"#/components/parameters/{name}"}

    def add(self, kind: str, names: Sequence[str], part: dict[str, Any]) -> dict[str, Any]:
        """Add a part under the first name that is free, unless an equal part is there. Return a reference to it.

        Args:
            kind: kind of component, such as `responses`.
            names: names to try. Numbers follow the last one.
        """
        key = (kind, json.dumps(to_jsonable_python(part), sort_keys=True))
        if key not in self._names:
            parts = self._components.setdefault(kind, {})
            candidates = chain(names, (f"{names[-1]}{number}" for number in count(2)))
            self._names[key] = next(name for name in candidates if name not in parts)
            parts[self._names[key]] = part
        return {"$ref": f"#/components/{kind}/{self._names[key]}"}

    def add_definitions(self, definitions: Mapping[str, Any], label: str) -> dict[str, str]:
        """Add definitions of a JSON schema. Return the name of each definition's component.

        Args:
            label: label of the model. It begins the name of a definition whose own name another component has.
        """
        names: dict[str, str] = {}
        for name, definition in definitions.items():
            # FastAPI adds the module to the name of two classes with one name.
            qualified = [other for other in self.schemas if other.endswith(f"__{name}")]
            candidate = next((other for other in [name, *qualified] if self._has_room(other, definition)), label + name)
            while not self._has_room(candidate, definition):
                candidate += "_"
            self.schemas.setdefault(candidate, definition)
            names[name] = candidate
        return names

    def _has_room(self, name: str, schema: Mapping[str, Any]) -> bool:
        """Return True if no component has the name, or the component allows the same values."""
        return name not in self.schemas or _constraints(self.schemas[name]) == _constraints(schema)


def _constraints(schema: Any) -> Any:
    """Return a schema without texts, and without the default null, which FastAPI leaves out."""
    if isinstance(schema, list):
        return [_constraints(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    constraints = {}
    for key, part in schema.items():
        if key in _MEMBERS:
            constraints[key] = {name: _constraints(member) for name, member in part.items()}
        elif key not in _TEXTS and (key, part) != ("default", None):
            constraints[key] = _constraints(part)
    return constraints


def with_components(schema: Any, names: Mapping[str, str]) -> Any:
    """Return a JSON schema whose references to definitions are references to components of these names."""
    if isinstance(schema, dict):
        renamed = {key: with_components(part, names) for key, part in schema.items()}
        if isinstance(schema.get("$ref"), str):
            renamed["$ref"] = _rename(schema["$ref"], names)
        if isinstance(schema.get("mapping"), dict) and "propertyName" in schema:  # a discriminator
            renamed["mapping"] = {value: _rename(part, names) for value, part in schema["mapping"].items()}
        return renamed
    return [with_components(part, names) for part in schema] if isinstance(schema, list) else schema


def _rename(reference: str, names: Mapping[str, str]) -> str:
    return f"{REF}{names[reference.rpartition('/')[2]]}"
