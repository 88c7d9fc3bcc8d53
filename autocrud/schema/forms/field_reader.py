"""FieldReader: reads one field of a document that may lack other fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer, SchemaValidator, core_schema, from_json

from autocrud.schema.exact_numbers import ExactValidator, dump_json
from autocrud.schema.forms.core_schemas import Node, stored_schema
from autocrud.schema.forms.field_names import ABSENT, value_at

_RECORD_TYPES = frozenset({"model-fields", "dataclass-args", "typed-dict"})


class FieldReader:
    """Validates one field as the model does, and returns the field's value in the stored form.

    Args:
        schema: core schema of the model.
        path: names that lead to the field in the stored form.
    """

    def __init__(self, schema: Node, path: Sequence[str]) -> None:
        self._path = tuple(path)
        self._definitions: dict[str, Node] = {}
        self._config: Any = None
        self._node = self._find(schema, self._path)
        if self._node is None:
            return
        node: Any = self._node
        parts: Any = list(self._definitions.values())
        complete: Any = core_schema.definitions_schema(node, parts) if parts else node
        validator = SchemaValidator(complete, self._config)
        self._validator = ExactValidator(validator.validate_json, complete)
        self._serializer = SchemaSerializer(stored_schema(complete), self._config)

    def read(self, document: Any) -> Any:
        """Return the value of the field; None if the field is null or invalid, or is absent and has no default.

        Args:
            document: a document with the names of the stored form.
        """
        if self._node is None:
            return None
        part = value_at(document, self._path)
        try:
            if part is ABSENT:
                value = self._node.get("default")
            else:
                value = self._validator.validate_json(dump_json(part), by_alias=True, by_name=True)
            return from_json(self._serializer.to_json(value, round_trip=True, warnings=False))
        except (ValidationError, PydanticSerializationError):
            return None

    def _find(self, node: Node, path: Sequence[str]) -> Node | None:
        """Return the schema of the field at a path; None if a union on the way has several fields of the name."""
        kind = node["type"]
        if kind == "definitions":
            self._definitions |= {item["ref"]: item for item in node["definitions"]}
        if kind == "definition-ref":
            return self._find(self._definitions[node["schema_ref"]], path)
        self._config = node.get("config") or self._config
        if kind in _RECORD_TYPES:
            field = _field_of(node["fields"], path[0])
            if field is None or len(path) == 1:
                return None if field is None else field["schema"]
            return self._find(field["schema"], path[1:])
        return self._find(node["schema"], path) if "schema" in node else None


def _field_of(fields: Any, name: str) -> Any:
    if isinstance(fields, Mapping):
        return fields.get(name)
    return next((field for field in fields if field["name"] == name), None)
