"""JSON Patch (RFC 6902) in OpenAPI: one component for each operation, shared by all models."""

from typing import Any

from pydantic import TypeAdapter

from autocrud.routes.openapi.components import Components, with_components
from autocrud.versioning.json_patch import MAX_OPERATIONS, PatchOperation

MEDIA_TYPE = "application/json-patch+json"


def json_patch(components: Components) -> dict[str, Any]:
    """Return a reference to the schema of a JSON Patch. Add the schema, unless the document has it."""
    return components.add_schema("JsonPatch", lambda: _build(components))


def complete_answer(operation: dict[str, Any], components: Components) -> None:
    """Give the answer of an operation the schema of a JSON Patch."""
    operation["responses"]["200"]["content"][MEDIA_TYPE]["schema"] = json_patch(components)


def _build(components: Components) -> dict[str, Any]:
    schema = TypeAdapter(list[PatchOperation]).json_schema()
    definitions = {f"JsonPatch{name}": part for name, part in schema.pop("$defs").items()}
    for name, definition in definitions.items():
        definition["title"] = name
    components_of = components.add_definitions(definitions, "")
    names = {name.removeprefix("JsonPatch"): component for name, component in components_of.items()}
    described = {"description": "A JSON Patch (RFC 6902).", "maxItems": MAX_OPERATIONS}
    return {**described, **with_components(schema, names)}
