"""Request body of a transaction in OpenAPI: operations of bulk writes, with their models."""

from collections.abc import Sequence
from typing import Any

from autocrud.manager.transaction.transaction import MAX_OPERATIONS
from autocrud.routes.openapi.components import Components
from autocrud.routes.openapi.document import Completion
from autocrud.routes.openapi.json_patch import json_patch
from autocrud.routes.openapi.request_bodies import build_object, on_conflict_schema, precondition_schemas

_ID = {"type": "string", "description": "Id of the resource, or `$name` of a new one."}
_DATA = {"description": "Data, as for a bulk write of the model."}


def transaction_example(models: Sequence[str]) -> dict[str, Any]:
    """Return an example of a request body."""
    first, last = models[0], models[-1]
    tag = '"1-20260102030405000000"'
    return {
        "operations": [
            {"op": "create", "model": first, "id": "$new", "data": {}},
            {"op": "check", "model": last, "id": "a", "if_match": tag},
        ]
    }


def transaction_completion(models: Sequence[str], ops: Sequence[str]) -> Completion:
    """Return the completion of the route: its body is a list of operations.

    Args:
        models: names of the models that take part.
        ops: kinds of operations.
    """

    def build_operation(components: Components) -> dict[str, Any]:
        kinds = {"op": {"enum": list(ops)}, "model": {"enum": list(models)}}
        data = {"data": _DATA, "merge": {}, "patch": json_patch(components)}
        choices = precondition_schemas(components) | {"on_conflict": on_conflict_schema(components)}
        return build_object(kinds, {"id": _ID} | data | choices)

    def complete(operation: dict[str, Any], components: Components) -> None:
        item = components.add_schema("TransactionOperation", lambda: build_operation(components))
        operations = {"type": "array", "items": item, "maxItems": MAX_OPERATIONS}
        request = components.add_schema("TransactionRequest", lambda: build_object({"operations": operations}))
        operation["requestBody"]["content"]["application/json"]["schema"] = request

    return complete
