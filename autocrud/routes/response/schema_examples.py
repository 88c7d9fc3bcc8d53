"""Builds examples from JSON schemas, so that OpenAPI shows a valid body for each operation of each model."""

from typing import Any

_FORMAT_EXAMPLES = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "uuid": "0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e",
    "email": "ada@example.com",
    "uri": "https://example.com/",
}
_MAX_DEPTH = 8


def example_of(schema: dict[str, Any]) -> Any:
    """Return an example value: the schema's own example, or a value built from the types."""
    return _example(schema, schema.get("$defs", {}), 0)


def _example(schema: Any, definitions: dict[str, Any], depth: int) -> Any:
    """Return an example; None for a boolean schema or beyond the depth, which ends the recursion of a model."""
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    if schema.get("examples"):
        return schema["examples"][0]
    for key in ("example", "const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if "$ref" in schema:
        return _example(definitions.get(schema["$ref"].rpartition("/")[2]), definitions, depth + 1)
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        for option in schema.get(key, ()):
            if option.get("type") != "null":
                return _example(option, definitions, depth + 1)
    return _by_type(schema, definitions, depth)


def _by_type(schema: dict[str, Any], definitions: dict[str, Any], depth: int) -> Any:
    """Return the smallest value of a schema's type; None for an unknown type."""
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            return {name: _example(part, definitions, depth + 1) for name, part in properties.items()}
        case "array":
            item = _example(schema.get("items"), definitions, depth + 1)
            return [item] * max(schema.get("minItems", 1), 1) if "items" in schema else []
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
        case "string":
            text = _FORMAT_EXAMPLES.get(schema.get("format", ""), "text")
            return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    return None
