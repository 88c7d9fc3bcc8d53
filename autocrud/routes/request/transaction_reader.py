"""Reads the operations of a transaction from JSON: each has the form of a bulk operation, and names its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fastapi.params import Depends
from uuid_utils import uuid7

from autocrud.errors import AutoCRUDError, FieldError, InvalidData, InvalidInput, MalformedBody
from autocrud.manager.bulk.operation import BulkOperation
from autocrud.manager.transaction.commit import name_operation
from autocrud.manager.transaction.transaction import MAX_OPERATIONS
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.routes.operation import ModelRoutes
from autocrud.routes.request.bulk_reader import OperationReader
from autocrud.routes.request.etag import parse_tags
from autocrud.routes.request.new_ids import NewIds, replace_references
from autocrud.routes.upsert_families import missing_family
from autocrud.schema.exact_numbers import dump_json, load_json
from autocrud.versioning.mutations import Tags

CHECK = "check"
# Route family that a model needs for an operation.
_FAMILIES = {
    "create": "create", "update": "replace", "patch": "patch", "delete": "delete", "restore": "restore", CHECK: "read",
}  # fmt: skip
OPS = tuple(_FAMILIES)
_NAME_MARK = b'"$'
_CHECK_MEMBERS = frozenset({"op", "id", "if_match"})


@dataclass(frozen=True)
class ServedModel:
    """A model that takes part in transactions.

    Args:
        families: route families of the model.
        dependencies: FastAPI dependencies that guard the model.
    """

    routes: ModelRoutes
    families: frozenset[str]
    dependencies: Sequence[Depends]

    @cached_property
    def reader(self) -> OperationReader:
        """Reader of the model's operations. The first request builds it."""
        return OperationReader(self.routes.spec, self.routes.max_body_bytes, self.routes.needs_if_match)


@dataclass(frozen=True, slots=True)
class RawOperation:
    """An operation whose members other than `model` are not read yet.

    Attributes:
        line: the members as JSON.
        new_name: `$name` of the new resource; None without one.
        on_conflict: effect of a create if a live resource holds the unique values, as given.
        must_be_absent: True if the operation has `if_none_match`.
    """

    number: int
    model: ServedModel
    op: Any
    line: bytes
    resource_id: Any
    new_name: str | None
    on_conflict: Any
    must_be_absent: bool

    @property
    def model_name(self) -> str:
        """Name of the model."""
        return self.model.routes.spec.name

    @property
    def is_upsert(self) -> bool:
        """True if the operation may take an existing resource."""
        return bool(self.op == "create" and self.on_conflict != OnConflict.error)

    def name(self, error: AutoCRUDError) -> None:
        """Set this operation as the operation of an error."""
        resource_id = self.resource_id if isinstance(self.resource_id, str) else None
        name_operation(error, self.number, self.model_name, resource_id)

    def read(self, new_ids: NewIds) -> BulkOperation | Tags:
        """Return the operation with ids in place of names; the tags of a check.

        Raises:
            InvalidInput, PreconditionRequired, PayloadTooLarge: the operation is invalid, as in a bulk write.
        """
        line = self.line
        if _NAME_MARK in line or self.op == CHECK:
            members = load_json(line)
            if isinstance(self.resource_id, str):
                members["id"] = new_ids.resolve("id", self.resource_id)
            replace_references(self.model.routes.spec, members, new_ids)
            if self.op == CHECK:
                return _read_check(members)
            line = dump_json(members)
        operation = self.model.reader.read(line)
        if operation.refused is not None:
            raise operation.refused
        return operation


def read_operations(models: Mapping[str, ServedModel], body: bytes) -> list[RawOperation]:
    """Return the operations of a request, with their models.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidData: the body is no list of operations, or is too long.
        InvalidInput: an operation names no model that takes part in transactions.
    """
    try:
        content = load_json(body)
    except ValueError as error:
        raise MalformedBody(f"The body is not JSON: {error}.") from error
    items = content.get("operations") if isinstance(content, dict) and len(content) == 1 else None
    if not isinstance(items, list):
        form = FieldError("(body)", 'must be {"operations": [...]}')
        raise InvalidData("The body is not a list of operations.", [form])
    if len(items) > MAX_OPERATIONS:
        limit = FieldError("operations", f"takes at most {MAX_OPERATIONS} operations")
        raise InvalidData("The transaction has too many operations.", [limit])
    return [_read_operation(models, number, item) for number, item in enumerate(items)]


def declare_new_ids(operations: Sequence[RawOperation]) -> NewIds:
    """Check that each model serves its operations, and return the names of new resources.

    Raises:
        InvalidData: a model does not serve the operation, or two operations declare one name.
    """
    new_ids = NewIds()
    for operation in operations:
        try:
            _check_op(operation)
            if operation.new_name is not None:
                new_ids.declare(operation.new_name, None if operation.is_upsert else str(uuid7()))
        except AutoCRUDError as error:
            operation.name(error)
            raise
    return new_ids


def _read_operation(models: Mapping[str, ServedModel], number: int, item: Any) -> RawOperation:
    if not isinstance(item, dict):
        error: InvalidInput = InvalidData("An operation is no object.", [FieldError(str(number), "must be an object")])
        error.operation = number
        raise error
    name = item.pop("model", None)
    model = models.get(name) if isinstance(name, str) else None
    if model is None:
        fault = "must be given" if name is None else f"{name!r} takes no part in transactions"
        message = f"{fault}; models: {', '.join(models)}"
        error = InvalidInput("The operation names no model.", [FieldError("model", message)])
        error.operation = number
        raise error
    op, resource_id = item.get("op"), item.get("id")
    on_conflict = item.get("on_conflict", OnConflict.error)
    is_named = op == "create" and isinstance(resource_id, str) and resource_id.startswith("$")
    new_name = resource_id if is_named else None
    if is_named and on_conflict != OnConflict.error:  # it finds its resource by unique values, and takes no id
        item.pop("id")
        resource_id = None
    return RawOperation(number, model, op, dump_json(item), resource_id, new_name, on_conflict, "if_none_match" in item)


def _check_op(operation: RawOperation) -> None:
    """Refuse an operation that the model does not serve.

    Raises:
        InvalidData: the kind of the operation is unknown, or the model has no route of this kind.
    """
    op = operation.op
    family = _FAMILIES.get(op) if isinstance(op, str) else None
    if family is None:
        raise _invalid("op", f"must be one of {', '.join(OPS)}")
    if family not in operation.model.families:
        raise _invalid("op", f"{op!r} is not served by {operation.model_name}, which has no route {family!r}")
    if operation.is_upsert and (family := missing_family(operation.on_conflict, operation.model.families)):
        choice = operation.on_conflict
        message = f"{choice!r} is not served by {operation.model_name}, which has no route {family!r}"
        raise _invalid("on_conflict", message)


def _read_check(members: Mapping[str, Any]) -> Tags:
    """Return the tags of a check.

    Raises:
        InvalidData: a member is unknown or missing, or no text.
        InvalidParameter: `if_match` is malformed.
    """
    if unknown := sorted(members.keys() - _CHECK_MEMBERS):
        raise _invalid(unknown[0], "is no member of a check; members: op, model, id, if_match")
    for name in ("id", "if_match"):
        if not isinstance(members.get(name), str):
            raise _invalid(name, "must be given to a check, as a text")
    return parse_tags("if_match", members["if_match"])


def _invalid(field_name: str, message: str) -> InvalidData:
    return InvalidData("The operation is not valid.", [FieldError(field_name, message)])
