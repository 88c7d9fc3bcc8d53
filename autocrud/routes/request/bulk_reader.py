"""Reading operations: a line of NDJSON, or an item of a JSON array, in one pass with the model's own validation."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema, from_json, to_json

from autocrud.errors import (
    AutoCRUDError,
    FieldError,
    InvalidData,
    MalformedBody,
    PayloadTooLarge,
    PreconditionRequired,
)
from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.routes.request.etag import parse_tags
from autocrud.schema.model_spec import ModelSpec
from autocrud.versioning.encoder import Parsed
from autocrud.versioning.json_patch import MergePatch, OperationsPatch, Patch

_DATA = "autocrud-data"
_MAX_NAMES_IN_MESSAGE = 20
_OBJECT = '{"operations": [...]}, or the array alone'


class OperationReader:
    """Reads the operations on one model.

    Args:
        limit: bytes of one operation.
        needs_if_match: the model's name, where a change needs a precondition.
    """

    def __init__(self, spec: ModelSpec[Any], limit: int, needs_if_match: str | None) -> None:
        self._validate = _validator(spec).validate_json
        self._name = spec.name
        self._limit = limit
        self._needs_if_match = needs_if_match

    def read(self, line: bytes) -> BulkOperation:
        """The operation of a line. What is wrong with it, it carries."""
        try:
            if len(line) > self._limit:
                raise PayloadTooLarge(self._limit)
            found: dict[str, Any] = self._validate(line)
            op = found["op"]
            if op == "create" and "if_none_match" not in found:
                return BulkOperation(BulkOp.create, found.get("id"), Parsed(found["data"]))
            return self._operation(BulkOp(op), found)
        except ValidationError as error:
            return _refused(line, _error_of(error, self._name))
        except AutoCRUDError as error:
            return _refused(line, error)

    async def portions(self, stream: AsyncIterator[bytes]) -> AsyncIterator[Sequence[BulkOperation]]:
        """The operations of an NDJSON body, as many at a time as have arrived. A line that is too long is passed by."""
        rest, skipping = b"", False
        async for data in stream:
            first, *others = data.split(b"\n")
            rest = b"" if skipping else rest + first
            lines = []
            if others:
                lines = [*([] if skipping else [rest]), *others[:-1]]
                rest, skipping = others[-1], False
            found = [self.read(line) for line in lines if not line.isspace() and line]
            if len(rest) > self._limit:
                found.append(self.read(rest))
                rest, skipping = b"", True
            if found:
                yield found
        if rest.strip():
            yield [self.read(rest)]

    def array(self, body: bytes) -> list[BulkOperation]:
        """The operations of a JSON body.

        Raises:
            MalformedBody, InvalidData: it is not an array of operations.
        """
        try:
            content = from_json(body)
        except ValueError as error:
            raise MalformedBody(f"The body is not JSON: {error}.") from error
        if isinstance(content, dict) and content.keys() == {"operations"}:
            content = content["operations"]
        if not isinstance(content, list):
            raise InvalidData("The body has no operations.", [FieldError("(body)", f"must be {_OBJECT}")])
        errors = [
            FieldError(str(n), "must be an object") for n, item in enumerate(content) if not isinstance(item, dict)
        ]
        if errors:
            raise InvalidData("The body has what is no operation.", errors[:20])
        return [self.read(to_json(item, inf_nan_mode="constants")) for item in content]

    def _operation(self, op: BulkOp, found: dict[str, Any]) -> BulkOperation:
        absent, tags = "if_none_match" in found, None
        if "if_match" in found:
            if absent:
                raise _invalid("if_match", "excludes if_none_match: nothing can be both")
            tags = parse_tags("if_match", found["if_match"])
        elif self._needs_if_match is not None and not absent:
            raise PreconditionRequired(self._needs_if_match)
        if absent and "id" not in found:
            raise _invalid("id", "must be given with if_none_match")
        value = Parsed(found["data"]) if "data" in found else None
        patch = _patch(found) if op is BulkOp.patch else None
        return BulkOperation(op, found.get("id"), value, patch, tags, absent)


def _patch(found: dict[str, Any]) -> Patch:
    if ("patch" in found) == ("merge" in found):
        raise _invalid("patch", "one of patch (RFC 6902) and merge (RFC 7396) must be given")
    if "patch" in found:
        return OperationsPatch(to_json(found["patch"], inf_nan_mode="constants"))
    return MergePatch(to_json(found["merge"], inf_nan_mode="constants"))


def _invalid(field: str, message: str) -> InvalidData:
    return InvalidData("The operation is not valid.", [FieldError(field, message)])


def _refused(line: bytes, error: AutoCRUDError) -> BulkOperation:
    """An operation that could not be read, with the id of its resource, if that can be."""
    try:
        found = from_json(line) if len(line) < 65536 else None
    except ValueError:
        found = None
    values = found if isinstance(found, dict) else {}
    resource_id, op = values.get("id"), values.get("op")
    known = BulkOp(op) if isinstance(op, str) and op in set(BulkOp) else BulkOp.create
    return BulkOperation(known, resource_id if isinstance(resource_id, str) else None, refused=error)


def _error_of(error: ValidationError, model: str) -> AutoCRUDError:
    """What is wrong with data, as a POST of it would say; or with the operation around it."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return MalformedBody(f"The line is not JSON: {found[0]['msg'].removeprefix('Invalid JSON: ')}.")
    # The first of a location is the kind of the operation.
    places = [(item["loc"][1:], item) for item in found]
    if all(place[:1] == ("data",) and (place[1:] or item["type"] != "missing") for place, item in places):
        errors = [FieldError(".".join(map(str, place[1:])) or "(body)", item["msg"]) for place, item in places]
        return InvalidData(f"The {model} is not valid.", errors)
    errors = [FieldError(".".join(map(str, place)) or "op", item["msg"]) for place, item in places]
    return InvalidData("The operation is not valid.", errors)


def _validator(spec: ModelSpec[Any]) -> SchemaValidator:
    """Validates a JSON operation, and in it the data as the model's own adapter does.

    The schema is built by hand because the config of a Pydantic model around it would reach into TypedDicts.
    """
    data: Any = spec.adapter.core_schema
    definitions: list[Any] = []
    if data["type"] == "definitions":
        data, definitions = data["schema"], list(data["definitions"])
    if data["type"] != "definition-ref":
        definitions.append(data if "ref" in data else {**data, "ref": _DATA})
        data = core_schema.definition_reference_schema(definitions[-1]["ref"])
    text, anything = core_schema.str_schema(strict=True), core_schema.any_schema()
    star = core_schema.literal_schema(["*"])

    def form(op: str, required: dict[str, Any], optional: dict[str, Any]) -> Any:
        fields = {"op": core_schema.typed_dict_field(core_schema.literal_schema([op]), required=True)}
        for schemas, needed in ((required, True), (optional, False)):
            fields |= {name: core_schema.typed_dict_field(schema, required=needed) for name, schema in schemas.items()}
        return core_schema.typed_dict_schema(fields, extra_behavior="forbid")

    guard = {"if_match": text}
    choices = {
        "create": form("create", {"data": data}, {"id": text, "if_none_match": star}),
        "update": form("update", {"id": text, "data": data}, {**guard, "if_none_match": star}),
        "patch": form("patch", {"id": text}, {**guard, "patch": anything, "merge": anything}),
        "delete": form("delete", {"id": text}, guard),
        "restore": form("restore", {"id": text}, guard),
    }
    union = core_schema.tagged_union_schema(choices, "op")
    return SchemaValidator(core_schema.definitions_schema(union, definitions))
