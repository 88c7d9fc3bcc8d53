"""Patches of JSON documents (RFC 6902, RFC 7396)."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed
from jsonpointer import EndOfList, JsonPointer, JsonPointerException, resolve_pointer
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from autocrud.errors import (
    FieldError,
    FieldErrors,
    InvalidData,
    InvalidPatch,
    MalformedBody,
    PatchFailed,
    PayloadTooLarge,
)
from autocrud.schema.exact_numbers import has_inexact_numbers, load_json
from autocrud.schema.forms.name_map import PatchNames
from autocrud.schema.forms.validation_errors import error_items
from autocrud.schema.nesting import MAX_DEPTH, NESTING_MESSAGE, is_too_deep

MAX_OPERATIONS = 1000
_MISSING: Any = object()
# Messages of the library that hold nothing but tokens of the path. Other messages quote the document.
_SAFE_REASON = re.compile(
    r"(the )?index .{0,9} ?is (out of bounds|beyond the end of the list)|'[^']*' is not a valid sequence index"
    r"|can't \w+ the whole document|the index is beyond the end of the list"
)

_MAX_DIGITS = 100  # of a number in a pointer; no list has so many items


def _check_pointer(pointer: str) -> str:
    tokens = pointer.split("/")[1:]
    if len(tokens) > MAX_DEPTH:
        raise ValueError(f"leads more than {MAX_DEPTH} levels deep")
    if any(token.isdecimal() and len(token) > _MAX_DIGITS for token in tokens):
        raise ValueError(f"has a number of more than {_MAX_DIGITS} digits")
    return pointer


_Pointer = Annotated[str, Field(pattern=r"^(/([^~]|~[01])*)?$", examples=["/title"]), AfterValidator(_check_pointer)]


class _Operation(BaseModel):
    model_config = ConfigDict(populate_by_name=True, defer_build=True)  # few processes need the validators

    path: _Pointer


class Add(_Operation):
    """Sets a member, or inserts an item before an index; `-` is the end."""

    op: Literal["add"]
    value: Any = Field(examples=["Emma"])


class Remove(_Operation):
    """Removes the value at the path."""

    op: Literal["remove"]


class Replace(_Operation):
    """Replaces the value at the path."""

    op: Literal["replace"]
    value: Any = Field(examples=["Emma"])


class Move(_Operation):
    """Moves a value to another path."""

    op: Literal["move"]
    from_: _Pointer = Field(alias="from")


class Copy(_Operation):
    """Adds a copy of a value at another path."""

    op: Literal["copy"]
    from_: _Pointer = Field(alias="from")


class Test(_Operation):
    """Fails the whole patch unless the path has this value."""

    __test__ = False

    op: Literal["test"]
    value: Any = Field(examples=["Emma"])


PatchOperation = Annotated[Add | Remove | Replace | Move | Copy | Test, Field(discriminator="op")]
_OPERATIONS: TypeAdapter[list[Any]] = TypeAdapter(
    Annotated[list[PatchOperation], Field(max_length=MAX_OPERATIONS)], config=ConfigDict(defer_build=True)
)


class Patch(ABC):
    """A change that applies to the newest state of a document."""

    @abstractmethod
    def apply(self, document: Any, limit: int, names: PatchNames | None = None) -> Any:
        """Return the changed document. The given document may be modified.

        Args:
            limit: maximum number of bytes of JSON that copies may add.
            names: translates the names in the patch to those of the document; None if they are equal.

        Raises:
            InvalidData: a name is neither a field nor an alias.
            PatchFailed: an operation does not apply to the document.
            PayloadTooLarge: the copies exceed the limit.
        """


class OperationsPatch(Patch):
    """A JSON Patch (RFC 6902): operations in order, all or none.

    Args:
        body: the JSON of the patch, or its operations.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidPatch: the body is not a JSON Patch.
    """

    def __init__(self, body: bytes | Sequence[Any]) -> None:
        try:
            if isinstance(body, bytes):
                operations = _OPERATIONS.validate_json(body)
                if has_inexact_numbers(body):
                    exact = _OPERATIONS.validate_python(load_json(body))
                    pairs = zip(operations, exact, strict=True)
                    operations = [item if item.op == "test" else exact_item for item, exact_item in pairs]
            else:
                operations = _OPERATIONS.validate_python(list(body))
        except ValidationError as error:
            found = error_items(error)
            if found[0]["type"] == "json_invalid":
                raise MalformedBody(f"The body is not JSON: {found[0]['msg']}.") from error
            fields = (FieldError(_pointer(item["loc"]), item["msg"]) for item in found)
            raise InvalidPatch("The body is not a JSON Patch (RFC 6902).", fields) from error
        self._operations: list[dict[str, Any]] = [item.model_dump(by_alias=True) for item in operations]
        self._may_nest = any(
            operation["op"] in ("copy", "move") or isinstance(operation.get("value"), list | dict)
            for operation in self._operations
        )

    def apply(self, document: Any, limit: int, names: PatchNames | None = None) -> Any:
        copied = 0
        for number, sent in enumerate(self._operations):
            operation = sent if names is None else _renamed(sent, document, names)
            try:
                if operation["op"] == "copy":
                    source = resolve_pointer(document, operation["from"])
                    if isinstance(source, EndOfList):
                        raise JsonPointerException("the index is beyond the end of the list")
                    copied += len(to_json(source, inf_nan_mode="constants"))
                    if copied > limit:
                        raise PayloadTooLarge(limit)
                document = JsonPatch([operation]).apply(document, in_place=True)
            except (RecursionError, PydanticSerializationError) as error:
                raise PatchFailed(number, sent["op"], sent["path"], f"the document {NESTING_MESSAGE}") from error
            except JsonPatchTestFailed as error:
                reason = "the path has another value, or none"
                raise PatchFailed(number, sent["op"], sent["path"], reason) from error
            except (JsonPatchException, JsonPointerException) as error:
                reason = _reason(str(error), sent, operation, document)
                raise PatchFailed(number, sent["op"], sent["path"], reason) from error
        if self._may_nest and is_too_deep(document):
            raise InvalidData("The changed document is not valid.", [FieldError("(body)", NESTING_MESSAGE)])
        return document


class MergePatch(Patch):
    """A JSON Merge Patch (RFC 7396): members are merged, and null removes a member.

    Args:
        body: the JSON of the patch, or its members; values must be those of JSON.

    Raises:
        MalformedBody: the body is not JSON.
    """

    def __init__(self, body: bytes | Mapping[str, Any]) -> None:
        try:
            self._patch = load_json(body) if isinstance(body, bytes) else dict(body)
        except ValueError as error:
            raise MalformedBody(f"The body is not JSON: {error}.") from error

    def apply(self, document: Any, limit: int, names: PatchNames | None = None) -> Any:
        errors = FieldErrors()
        patch = self._patch if names is None else names.to_stored_patch(self._patch, document, errors)
        _raise_unknown_names(errors)
        return _merged(document, patch)


def as_patch(patch: Any) -> Patch:
    """Return a patch for a patch, for members to merge, or for the operations of a JSON Patch.

    Raises:
        InvalidPatch: the operations are not a JSON Patch, or the object is no patch.
    """
    if isinstance(patch, Patch):
        return patch
    if isinstance(patch, str) or not isinstance(patch, Mapping | Sequence):
        kind = type(patch).__name__
        reason = "must be members to merge, a list of operations, a MergePatch or an OperationsPatch"
        raise InvalidPatch(f"A patch {reason}, not {kind}.", [FieldError("patch", reason)])
    return MergePatch(patch) if isinstance(patch, Mapping) else OperationsPatch(patch)


def _renamed(operation: dict[str, Any], document: Any, names: PatchNames) -> dict[str, Any]:
    """Return an operation with the names of the stored form.

    Raises:
        InvalidData: a name is neither a field nor an alias.
    """
    errors, value_errors = FieldErrors(), FieldErrors()
    result = dict(operation)
    for key in ("path", "from"):
        if key in operation:
            tokens = JsonPointer(operation[key]).parts
            stored_tokens, shape = names.to_stored_path(tokens, document, errors)
            result[key] = JsonPointer.from_parts(stored_tokens).path
            if key == "path" and "value" in operation:
                result["value"] = names.to_stored_value(operation["value"], shape, value_errors)
    for error in value_errors:
        tokens = [token for token in error.field.split(".") if token]
        errors.append(FieldError("/".join([operation["path"], *tokens]), error.message))
    _raise_unknown_names(errors)
    return result


def _reason(message: str, sent: Mapping[str, Any], operation: Mapping[str, Any], document: Any) -> str:
    """Return the reason of a failure in the names of the client, without values of the document."""
    if _SAFE_REASON.fullmatch(message):
        return message
    if "from" in operation and resolve_pointer(document, operation["from"], _MISSING) is _MISSING:
        return f"no value is at {sent['from']}"
    return "the path leads to no value" if sent["op"] != "add" else "the path leads to no object or list"


def _raise_unknown_names(errors: Sequence[FieldError]) -> None:
    if errors:
        raise InvalidData("The patch names fields that the model does not have.", errors)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return merged


def _pointer(location: Sequence[int | str]) -> str:
    """Return the path of a fault in the patch, without the kind of operation that Pydantic adds."""
    index, *rest = location or ("",)
    return "".join(f"/{part}" for part in (index, *rest[1:])) if location else "(body)"
