"""Patches of JSON documents, by RFC 6902 and RFC 7396, and the difference of two documents as such a patch."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed, make_patch
from jsonpointer import EndOfList, JsonPointerException, resolve_pointer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from autocrud.errors import FieldError, InvalidPatch, MalformedBody, PatchFailed, PayloadTooLarge

MAX_OPERATIONS = 1000

_Pointer = Annotated[str, Field(pattern=r"^(/([^~]|~[01])*)?$", examples=["/title"])]


class _Operation(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    path: _Pointer


class Add(_Operation):
    """Sets a member, or inserts an item in front of the one at the index; `-` stands for the end."""

    op: Literal["add"]
    value: Any = Field(examples=["Emma"])


class Remove(_Operation):
    """Removes what is there."""

    op: Literal["remove"]


class Replace(_Operation):
    """Puts a value in the place of the one that is there."""

    op: Literal["replace"]
    value: Any = Field(examples=["Emma"])


class Move(_Operation):
    """Removes a value, and adds it elsewhere."""

    op: Literal["move"]
    from_: _Pointer = Field(alias="from")


class Copy(_Operation):
    """Adds a copy of a value elsewhere."""

    op: Literal["copy"]
    from_: _Pointer = Field(alias="from")


class Test(_Operation):
    """Fails the whole patch unless this value is there."""

    __test__ = False

    op: Literal["test"]
    value: Any = Field(examples=["Emma"])


PatchOperation = Annotated[Add | Remove | Replace | Move | Copy | Test, Field(discriminator="op")]
_OPERATIONS: TypeAdapter[list[Any]] = TypeAdapter(Annotated[list[PatchOperation], Field(max_length=MAX_OPERATIONS)])


def patch_schema() -> dict[str, Any]:
    """The JSON schema of a JSON Patch, whole in one place."""
    schema = TypeAdapter(list[PatchOperation]).json_schema()
    definitions = schema.pop("$defs")
    options = [definitions[option["$ref"].rpartition("/")[2]] for option in schema["items"]["oneOf"]]
    return schema | {"maxItems": MAX_OPERATIONS, "items": {"oneOf": options}}


class Patch(ABC):
    """A change of a document, to be applied to whatever the document is by then."""

    @abstractmethod
    def apply(self, document: Any, limit: int) -> Any:
        """The changed document; the given one may be changed on the way.

        Args:
            limit: bytes of JSON that copies may add.

        Raises:
            PatchFailed: it does not fit the document.
            PayloadTooLarge: it copies too much.
        """


class OperationsPatch(Patch):
    """A JSON Patch (RFC 6902): operations in order, all of them or none.

    Raises:
        MalformedBody: the body is not JSON.
        InvalidPatch: it is not a JSON Patch.
    """

    def __init__(self, body: bytes) -> None:
        try:
            operations = _OPERATIONS.validate_json(body)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False, include_context=False)
            if found[0]["type"] == "json_invalid":
                raise MalformedBody(f"The body is not JSON: {found[0]['msg']}.") from error
            fields = [FieldError(_pointer(item["loc"]), item["msg"]) for item in found]
            raise InvalidPatch("The body is not a JSON Patch (RFC 6902).", fields) from error
        self._operations: list[dict[str, Any]] = [item.model_dump(by_alias=True) for item in operations]

    def apply(self, document: Any, limit: int) -> Any:
        copied = 0
        for number, operation in enumerate(self._operations):
            try:
                if operation["op"] == "copy":
                    source = resolve_pointer(document, operation["from"])
                    if isinstance(source, EndOfList):
                        raise JsonPointerException("there is nothing behind the end of a list")
                    copied += len(to_json(source, inf_nan_mode="constants"))
                    if copied > limit:
                        raise PayloadTooLarge(limit)
                document = JsonPatch([operation]).apply(document, in_place=True)
            except JsonPatchTestFailed as error:
                reason = "the value there is another, or there is none"
                raise PatchFailed(number, operation["op"], operation["path"], reason) from error
            except (JsonPatchException, JsonPointerException) as error:
                raise PatchFailed(number, operation["op"], operation["path"], str(error)) from error
        return document


class MergePatch(Patch):
    """A JSON Merge Patch (RFC 7396): members are merged, null removes one.

    Raises:
        MalformedBody: the body is not JSON.
    """

    def __init__(self, body: bytes) -> None:
        try:
            self._patch = from_json(body)
        except ValueError as error:
            raise MalformedBody(f"The body is not JSON: {error}.") from error

    def apply(self, document: Any, limit: int) -> Any:
        return _merged(document, self._patch)


def difference(before: Any, after: Any) -> list[dict[str, Any]]:
    """A JSON Patch which, applied to the one document, gives the other."""
    operations: list[dict[str, Any]] = make_patch(before, after).patch
    return operations


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
    """Where in the patch something is wrong. Behind the index Pydantic names the kind of operation."""
    index, *rest = location or ("",)
    return "".join(f"/{part}" for part in (index, *rest[1:])) if location else "(body)"
