"""Reads bulk operations from NDJSON lines or a JSON array, and validates their data with the model's adapter."""

from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema, from_json

from autocrud.errors import (
    AutoCRUDError,
    FieldError,
    InvalidData,
    MalformedBody,
    PayloadTooLarge,
    PreconditionRequired,
)
from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.routes.request.etag import parse_tags
from autocrud.schema.exact_numbers import ExactValidator, dump_json, has_inexact_numbers, load_json
from autocrud.schema.forms.stored_form import Parsed
from autocrud.schema.forms.validation_errors import error_items
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.time_slice import TimeSlice
from autocrud.versioning.json_patch import MergePatch, OperationsPatch, Patch

_ON_CONFLICT = b'"on_conflict"'
_DATA_REF = "autocrud-data"
MAX_ARRAY = 50_000  # operations of a JSON body, whose results are all in memory
_MAX_NAMES_IN_MESSAGE = 20
_MAX_PARSED_BYTES = 64 * 1024  # of an invalid line, to find its id
_BODY_FORM = '{"operations": [...]} or an array of operations'


class OperationReader:
    """Reads the operations on one model.

    Args:
        limit: maximum size of one operation, in bytes.
        needs_if_match: the model's name if a change needs a precondition, else None.
    """

    def __init__(self, spec: ModelSpec[Any], limit: int, needs_if_match: str | None) -> None:
        # Data whose names differ from those of the validator is validated after it was renamed.
        self._renames = spec.names.rewrites_input
        self._spec = spec
        validator, schema = _validator(spec)
        self._validator = ExactValidator(validator.validate_json, schema)
        self._name = spec.name
        self._limit = limit
        self._needs_if_match = needs_if_match

    def read(self, line: bytes) -> BulkOperation:
        """Return the operation of a line. An invalid line becomes an operation that carries the error."""
        try:
            if len(line) > self._limit:
                raise PayloadTooLarge(self._limit)
            if _ON_CONFLICT in line and (upsert := self._read_upsert(line)) is not None:
                return upsert
            values: dict[str, Any] = self._validator.validate_json(line, by_alias=True, by_name=True)
            op = values["op"]
            if "data" in values:
                is_replacement = op == "update" and "if_none_match" not in values
                values["data"] = self._parsed(op, values["data"], line, is_replacement)
            # The common case of large loads.
            if op == "create" and "if_none_match" not in values:
                return BulkOperation(BulkOp.create, values.get("id"), values["data"])
            if op == "patch" and has_inexact_numbers(line):
                values |= load_json(line)
            return self._build_operation(BulkOp(op), values)
        except ValidationError as error:
            return _invalid_operation(line, _error_of(error, self._name))
        except AutoCRUDError as error:
            return _invalid_operation(line, error)

    def _read_upsert(self, line: bytes) -> BulkOperation | None:
        """Return the operation of a line if it is a create with `on_conflict`, whose data may lack fields; else None.

        Raises:
            InvalidData: a member is invalid, or the operation has other members.
            PreconditionRequired: the model requires a precondition for a change of the holder.
        """
        try:
            values = load_json(line)
        except ValueError:
            return None
        if not isinstance(values, dict) or values.get("op") != BulkOp.create or "on_conflict" not in values:
            return None
        if values["on_conflict"] == OnConflict.error:
            return self.read(dump_json({name: part for name, part in values.items() if name != "on_conflict"}))
        if unknown := sorted(values.keys() - {"op", "data", "on_conflict"}):
            raise _invalid(unknown[0], "is no member of a create with on_conflict; members: op, data, on_conflict")
        if values["on_conflict"] not in list(OnConflict):
            raise _invalid("on_conflict", f"must be one of {', '.join(OnConflict)}")
        if "data" not in values:
            raise _invalid("data", "is required")
        on_conflict = OnConflict(values["on_conflict"])
        if on_conflict.may_change and self._needs_if_match is not None:
            raise PreconditionRequired(self._needs_if_match)
        return BulkOperation(BulkOp.create, value=dump_json(values["data"]), on_conflict=on_conflict)

    def _parsed(self, op: str, data: Any, line: bytes, is_replacement: bool) -> Parsed[Any] | bytes:
        """Return validated data, or JSON if the meaning of a replacement depends on the current data.

        Raises:
            InvalidData: the model does not accept renamed data.
        """
        needs_current = self._spec.stored_form.needs_current
        if not self._renames and not (op == "update" and needs_current):
            return Parsed(data)
        exact = dump_json(load_json(line)["data"] if has_inexact_numbers(line) else data)
        return exact if is_replacement and needs_current else Parsed(self._spec.parse(exact))

    async def read_lines(self, stream: AsyncIterator[bytes]) -> AsyncIterator[Sequence[BulkOperation]]:
        """Yield the operations of an NDJSON body, as many at a time as have arrived.

        A line over the limit becomes an operation with an error; the rest of the line is skipped.
        """
        rest, skipping = b"", False
        async for data in stream:
            first, *next_lines = data.split(b"\n")
            rest = b"" if skipping else rest + first
            lines = []
            if next_lines:
                lines = [*([] if skipping else [rest]), *next_lines[:-1]]
                rest, skipping = next_lines[-1], False
            operations = [self.read(line) for line in lines if not line.isspace() and line]
            if len(rest) > self._limit:
                # A line without an end must not fill the memory.
                operations.append(self.read(rest))
                rest, skipping = b"", True
            if operations:
                yield operations
        if rest.strip():
            yield [self.read(rest)]

    async def read_array(self, body: bytes) -> list[BulkOperation]:
        """Return the operations of a JSON body. An invalid item becomes an operation that carries the error.

        Raises:
            MalformedBody: the body is not JSON.
            InvalidData: the body is not an array of objects, or is too long.
        """
        try:
            content = load_json(body)
        except ValueError as error:
            raise MalformedBody(f"The body is not JSON: {error}.") from error
        if isinstance(content, dict) and content.keys() == {"operations"}:
            content = content["operations"]
        if not isinstance(content, list):
            raise InvalidData("The body is not a list of operations.", [FieldError("(body)", f"must be {_BODY_FORM}")])
        if len(content) > MAX_ARRAY:
            limit = FieldError("(body)", f"takes at most {MAX_ARRAY} operations; send more as lines of NDJSON")
            raise InvalidData("The list has too many operations.", [limit])
        wrong_items = (n for n, item in enumerate(content) if not isinstance(item, dict))
        if errors := [FieldError(str(n), "must be an object") for n in islice(wrong_items, _MAX_NAMES_IN_MESSAGE)]:
            raise InvalidData("Some operations are not objects.", errors)
        # The validator reads JSON, so that data means the same as in a POST: strict types differ for Python objects.
        operations, time_slice = list[BulkOperation](), TimeSlice()
        for item in content:
            await time_slice.check()
            operations.append(self.read(dump_json(item)))
        return operations

    def _build_operation(self, op: BulkOp, values: dict[str, Any]) -> BulkOperation:
        """Return the operation of validated values.

        Raises:
            InvalidData: the preconditions, or `patch` and `merge`, exclude each other.
            InvalidParameter: `if_match` is malformed.
            PreconditionRequired: the model requires a precondition, and the operation has none.
        """
        must_be_absent, tags = "if_none_match" in values, None
        if "if_match" in values:
            if must_be_absent:
                raise _invalid("if_match", "excludes if_none_match: no resource satisfies both")
            tags = parse_tags("if_match", values["if_match"])
        elif self._needs_if_match is not None and not must_be_absent:
            raise PreconditionRequired(self._needs_if_match)
        if must_be_absent and "id" not in values:
            raise _invalid("id", "is required with if_none_match")
        value = values.get("data")
        patch = _patch(values) if op is BulkOp.patch else None
        return BulkOperation(op, values.get("id"), value, patch, tags, must_be_absent)


def _patch(values: dict[str, Any]) -> Patch:
    """Return the patch of an operation.

    Raises:
        InvalidData: the operation has both `patch` and `merge`, or neither.
    """
    if ("patch" in values) == ("merge" in values):
        raise _invalid("patch", "exactly one of patch (RFC 6902) and merge (RFC 7396) is required")
    if "patch" in values:
        return OperationsPatch(dump_json(values["patch"]))
    return MergePatch(dump_json(values["merge"]))


def _invalid(field: str, message: str) -> InvalidData:
    return InvalidData("The operation is not valid.", [FieldError(field, message)])


def _invalid_operation(line: bytes, error: AutoCRUDError) -> BulkOperation:
    """Return an operation that carries an error, with the kind and the id of the line if they can be read."""
    try:
        content = from_json(line) if len(line) < _MAX_PARSED_BYTES else None
    except ValueError:
        content = None
    values = content if isinstance(content, dict) else {}
    resource_id, op = values.get("id"), values.get("op")
    kind = BulkOp(op) if isinstance(op, str) and op in set(BulkOp) else BulkOp.create
    return BulkOperation(kind, resource_id if isinstance(resource_id, str) else None, refused=error)


def _error_of(error: ValidationError, model: str) -> AutoCRUDError:
    """Return the error of a POST of the data if only the data is invalid, else an error of the operation."""
    details = error_items(error)
    if details[0]["type"] == "json_invalid":
        return MalformedBody(f"The line is not JSON: {details[0]['msg'].removeprefix('Invalid JSON: ')}.")
    # The first item of a location is the tag of the union: the kind of the operation.
    located = [(item["loc"][1:], item) for item in details]
    # An operation without the data that it needs, or with data that it does not take, is itself at fault.
    of_operation = {"missing", "extra_forbidden"}
    if all(loc[:1] == ("data",) and (loc[1:] or item["type"] not in of_operation) for loc, item in located):
        errors = [FieldError(".".join(map(str, location[1:])) or "(body)", item["msg"]) for location, item in located]
        return InvalidData(f"The {model} is not valid.", errors)
    errors = [FieldError(".".join(map(str, location)) or "op", item["msg"]) for location, item in located]
    return InvalidData("The operation is not valid.", errors)


def _validator(spec: ModelSpec[Any]) -> tuple[SchemaValidator, Any]:
    """Return a validator of a JSON operation that validates the data as the model's adapter does, and its core schema.

    The schema is built by hand because the config of an enclosing Pydantic model would also apply to TypedDicts.
    """
    data: Any = core_schema.any_schema() if spec.names.rewrites_input else spec.adapter.core_schema
    definitions: list[Any] = []
    if data["type"] == "definitions":
        data, definitions = data["schema"], list(data["definitions"])
    if data["type"] != "definition-ref":
        definitions.append(data if "ref" in data else {**data, "ref": _DATA_REF})
        data = core_schema.definition_reference_schema(definitions[-1]["ref"])
    text, any_value = core_schema.str_schema(strict=True), core_schema.any_schema()
    star = core_schema.literal_schema(["*"])

    def operation_schema(op: str, required: dict[str, Any], optional: dict[str, Any]) -> Any:
        fields = {"op": core_schema.typed_dict_field(core_schema.literal_schema([op]), required=True)}
        for schemas, is_required in ((required, True), (optional, False)):
            fields |= {
                name: core_schema.typed_dict_field(schema, required=is_required) for name, schema in schemas.items()
            }
        return core_schema.typed_dict_schema(fields, extra_behavior="forbid")

    # A replacement that depends on the current data is validated after the resource was read.
    new_data = any_value if spec.stored_form.needs_current else data
    precondition = {"if_match": text}
    choices = {
        "create": operation_schema("create", {"data": data}, {"id": text, "if_none_match": star}),
        "update": operation_schema("update", {"id": text, "data": new_data}, {**precondition, "if_none_match": star}),
        "patch": operation_schema("patch", {"id": text}, {**precondition, "patch": any_value, "merge": any_value}),
        "delete": operation_schema("delete", {"id": text}, precondition),
        "restore": operation_schema("restore", {"id": text}, precondition),
    }
    union = core_schema.tagged_union_schema(choices, "op")
    schema = core_schema.definitions_schema(union, definitions)
    return SchemaValidator(schema), schema
