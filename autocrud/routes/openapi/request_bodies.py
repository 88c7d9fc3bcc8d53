"""Request bodies of patches and bulk writes in OpenAPI, derived from the model's own request body."""

from functools import partial
from typing import Any

from pydantic import TypeAdapter

from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.routes.openapi.components import Components
from autocrud.routes.openapi.document import Completion
from autocrud.routes.openapi.json_patch import MEDIA_TYPE as OPERATIONS
from autocrud.routes.openapi.json_patch import json_patch
from autocrud.routes.openapi.partial_schemas import ref_to

MERGE = "application/merge-patch+json"
_JSON = "application/json"
_ID = {"type": "string", "description": "Id of the resource."}
_IF_MATCH = {"type": "string", "description": "Carry out the operation only if the resource has this ETag."}
_IF_NONE_MATCH = {
    "type": "string", "const": "*", "description": "Create the resource with this `id`, unless the id exists."
}  # fmt: skip


def merge_example(example: Any) -> dict[str, Any]:
    """Return an example of a merge patch, from an example of a whole resource."""
    return dict(list(example.items())[:1]) if isinstance(example, dict) else {}


def complete_merge_patch(operation: dict[str, Any], components: Components) -> None:
    """Describe a merge patch, from FastAPI's schema of a whole resource."""
    content = operation["requestBody"]["content"][MERGE]
    content["schema"] = components.merge_patches.build(_without_examples(content["schema"]))


def complete_patch(operation: dict[str, Any], components: Components) -> None:
    """Describe both formats of a patch, from FastAPI's schema of a whole resource."""
    operation["requestBody"]["content"][OPERATIONS]["schema"] = json_patch(components)
    complete_merge_patch(operation, components)


def bulk_completion(label: str, *, has_unique: bool) -> Completion:
    """Return the completion of a bulk write: the body is a union of operations, told apart by `op`.

    Args:
        label: label of the model, which begins the names of the components.
        has_unique: True if the model has a unique constraint, by which a create can find a resource.
    """

    def complete(operation: dict[str, Any], components: Components) -> None:
        content = operation["requestBody"]["content"][_JSON]
        resource = _without_examples(content["schema"])
        item = components.add_schema(
            f"{label}BulkOperation", lambda: _build_union(label, resource, components, has_unique)
        )
        array = {"type": "array", "items": item}
        request = components.add_schema(f"{label}BulkRequest", lambda: build_object({"operations": array}))
        content["schema"] = {"anyOf": [request, array]}

    return complete


def _build_union(label: str, resource: dict[str, Any], components: Components, has_unique: bool) -> dict[str, Any]:
    """Return the schema of one bulk operation.

    Args:
        resource: schema of the model's data.
    """
    merge = components.merge_patches.build(resource)
    preconditions = precondition_schemas(components)
    changed = {"id": _ID, "if_match": preconditions["if_match"]}
    if_none_match = {"if_none_match": preconditions["if_none_match"]}
    patch = json_patch(components)
    on_conflict = {"on_conflict": on_conflict_schema(components)} if has_unique else {}
    schemas = {
        "create": (f"{label}BulkCreate", {"data": resource}, {"id": _ID} | if_none_match | on_conflict),
        "update": (f"{label}BulkUpdate", {"id": _ID, "data": resource}, changed | if_none_match),
        # An operation has either `patch` or `merge`. As two schemas they would have one value of the discriminator.
        "patch": (f"{label}BulkPatch", {"id": _ID}, changed | {"patch": patch, "merge": merge}),
        "delete": ("BulkDelete", {"id": _ID}, changed),
        "restore": ("BulkRestore", {"id": _ID}, changed),
    }
    references: dict[str, dict[str, Any]] = {}
    for op, (name, required, optional) in schemas.items():
        constant = {"op": {"type": "string", "const": op}}
        references[op] = components.add_schema(name, partial(build_object, constant | required, optional))
    mapping = {op: reference["$ref"] for op, reference in references.items()}
    return {
        "description": "An operation of a bulk write. `op` tells its kind.",
        "oneOf": list(references.values()),
        "discriminator": {"propertyName": "op", "mapping": mapping},
    }


def precondition_schemas(components: Components) -> dict[str, dict[str, Any]]:
    """Return references to the schemas of `if_match` and `if_none_match`."""
    return {
        "if_match": components.add_schema("BulkIfMatch", _IF_MATCH.copy),
        "if_none_match": components.add_schema("BulkIfNoneMatch", _IF_NONE_MATCH.copy),
    }


def on_conflict_schema(components: Components) -> dict[str, Any]:
    """Return a reference to the schema of `on_conflict`, which the route of a create may have added already."""
    schema = TypeAdapter(OnConflict).json_schema()
    schema.pop("description", None)
    return ref_to(components.add_definitions({"OnConflict": schema}, "Bulk")["OnConflict"])


def build_object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with these members, and no others."""
    properties = (optional or {}) | required
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _without_examples(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: part for key, part in schema.items() if key != "examples"}
