"""Binary: the type of a field whose bytes are stored as a blob, outside the resource."""

import dataclasses
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

FILE_ID_PATTERN = "^[0-9a-f]{64}$"
_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,100}"
CONTENT_TYPE_PATTERN = rf"^{_TOKEN}/{_TOKEN}( ?;[ -~]{{0,150}})?$"
FILENAME_PATTERN = r"^[^\x00-\x1f\x7f/\\]{1,255}$"
OCTETS = "application/octet-stream"
EXAMPLE = {
    "file_id": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    "size": 5,
    "content_type": "text/plain",
    "filename": "hello.txt",
}

_INLINE_EXAMPLE = {"data": "aGVsbG8=", "content_type": "text/plain", "filename": "hello.txt"}

_BASE64_PATTERN = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_MARK = "x-autocrud-binary"
_TEXT = {"type": "string"}


def _decode_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return b64decode(value, validate=True)
    except (Base64Error, ValueError) as error:
        raise ValueError(f"must be base64 (RFC 4648): {error}") from error


_Inline = Annotated[
    bytes,
    BeforeValidator(_decode_base64),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "pattern": _BASE64_PATTERN}),
]


@dataclasses.dataclass(frozen=True)
class BinaryLimits:
    """The size and the media types that a binary field accepts; see `Binary`."""

    max_size: int | None = None
    content_types: tuple[str, ...] = ()

    def errors(self, value: "Binary") -> Iterator[str]:
        """Yield a message for each limit that the value exceeds. An unknown size or type passes."""
        size = value.size if value.data is None else len(value.data)
        if self.max_size is not None and size is not None and size > self.max_size:
            yield f"must be at most {self.max_size} bytes long"
        if value.awaits_type:
            return
        media_type = value.content_type.partition(";")[0].strip().lower()
        media_range = f"{media_type.partition('/')[0]}/*"
        if self.content_types and not {media_type, media_range} & set(self.content_types):
            yield f"content_type must be one of {', '.join(self.content_types)}"

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._attach, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        json_schema = handler(schema)
        limits = {"x-max-size": self.max_size, "x-content-types": list(self.content_types) or None}
        return json_schema | {name: value for name, value in limits.items() if value is not None}

    def _attach(self, value: Any) -> Any:
        """Attach the limits to each binary value. The service checks them once it has looked up the blob's size."""
        for _, binary in binaries(value):
            binary.limit(self)
        return value


class Binary(BaseModel):
    """A reference to an uploaded blob, as `POST /{model}/blobs` returns it, or a small blob inline, as `data`.

    Args:
        max_size: size limit of a field, in bytes, as in `Annotated[Binary, Binary(max_size=10_000_000)]`. The limits of
            a list apply to each item.
        content_types: media types that a field accepts, as in `["image/*"]`.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={_MARK: True})

    # `default` is a keyword here because pyright does not take a position for a default.
    file_id: str | None = Field(default=None, pattern=FILE_ID_PATTERN, description="The SHA-256 of the bytes, in hex.")
    size: int | None = Field(default=None, ge=0, description="Size in bytes. The service fills it in.")
    content_type: str = Field(
        default=OCTETS,
        pattern=CONTENT_TYPE_PATTERN,
        examples=["image/png"],
        description="A media type that the bytes were uploaded with; by default that of the last upload.",
    )
    filename: str | None = Field(default=None, pattern=FILENAME_PATTERN, examples=["vienna.png"])
    data: _Inline | None = Field(default=None, exclude=True, description="The bytes in base64, instead of `file_id`.")

    _limits: list[BinaryLimits] = PrivateAttr(default_factory=list)
    _is_typed: bool = PrivateAttr(default=False)

    if TYPE_CHECKING:
        # A type checker would derive the arguments from the fields, and refuse the limits.
        def __init__(
            self,
            *,
            file_id: str | None = None,
            size: int | None = None,
            content_type: str = OCTETS,
            filename: str | None = None,
            data: bytes | str | None = None,
            max_size: int | None = None,
            content_types: Sequence[str] | None = None,
        ) -> None: ...

    def __new__(cls, *_: Any, **values: Any) -> Any:
        """Return a value, or the limits if the call names `max_size` or `content_types`."""
        if "max_size" in values or "content_types" in values:
            return BinaryLimits(values.get("max_size"), tuple(values.get("content_types") or ()))
        return super().__new__(cls)

    @property
    def awaits_type(self) -> bool:
        """True if the value names a blob, and no type but the default, which generated clients send too."""
        return self.file_id is not None and self.content_type == OCTETS and not self._is_typed

    @model_validator(mode="after")
    def _require_id_or_data(self) -> "Binary":
        if (self.file_id is None) is (self.data is None):
            raise ValueError("exactly one of file_id and data must be given")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        json_schema = handler(schema)
        target = handler.resolve_ref_schema(json_schema)
        if handler.mode == "serialization":
            # Answers always have both fields; only requests may omit them.
            for name, json_type in (("file_id", "string"), ("size", "integer")):
                options = target["properties"][name]["anyOf"]
                non_null = next(option for option in options if option["type"] == json_type)
                target["properties"][name] = non_null | {"title": target["properties"][name]["title"]}
            target["required"] = list(target["properties"])
            target["examples"] = [EXAMPLE]
        else:
            by_id, inline = ({"required": [name], "properties": {name: _TEXT}} for name in ("file_id", "data"))
            target |= {"if": by_id, "then": {"properties": {"data": {"type": "null"}}}, "else": inline}
            target["examples"] = [_INLINE_EXAMPLE]
        return json_schema

    def take_type(self, content_type: str, filename: str | None) -> None:
        """Set the type and the name to those of an upload."""
        self.content_type, self.filename, self._is_typed = content_type, filename, True

    def limit(self, limits: BinaryLimits) -> None:
        """Add the limits of the field that holds this value."""
        self._limits.append(limits)

    def errors(self) -> list[str]:
        """Return a message for each limit that the value exceeds."""
        return [message for limits in self._limits for message in limits.errors(self)]


def binaries(value: Any, path: str = "") -> Iterator[tuple[str, Binary]]:
    """Yield the binary values inside a value of a model, each with its path."""
    if isinstance(value, Binary):
        yield path, value
        return
    parts: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, BaseModel):
        parts = iter({**value.__dict__, **(value.__pydantic_extra__ or {})}.items())
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
    elif isinstance(value, Mapping):
        parts = iter(value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = enumerate(value)
    for name, part in parts:
        yield from binaries(part, f"{path}.{name}" if path else str(name))


def has_binaries(schema: Any) -> bool:
    """Return True if a JSON schema has a binary field at any depth."""
    if isinstance(schema, Mapping):
        return schema.get(_MARK) is True or any(map(has_binaries, schema.values()))
    return isinstance(schema, list) and any(map(has_binaries, schema))


def largest_limit(schema: Any) -> int | None:
    """Return the largest `max_size` of the binary fields in a JSON schema; None if any has no limit."""
    sizes = list(_size_limits(schema, schema.get("$defs", {})))
    limits = [size for size in sizes if size is not None]
    return max(limits) if limits and len(limits) == len(sizes) else None


def _size_limits(schema: Any, definitions: Mapping[str, Any], limit: int | None = None) -> Iterator[int | None]:
    if isinstance(schema, Mapping):
        limit = schema.get("x-max-size", limit)
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if definitions.get(name, {}).get(_MARK) is True:
            yield limit
        for part in schema.values():
            yield from _size_limits(part, definitions, limit)
    elif isinstance(schema, list):
        for part in schema:
            yield from _size_limits(part, definitions, limit)


def blob_file_ids(data: Any) -> Iterator[str]:
    """Yield the `file_id` of each JSON object that looks like a reference to a blob."""
    if isinstance(data, Mapping):
        file_id = data.get("file_id")
        if isinstance(file_id, str) and "content_type" in data and re.fullmatch("[0-9a-f]{64}", file_id):
            yield file_id
        data = data.values()
    elif not isinstance(data, list):
        return
    for part in data:
        yield from blob_file_ids(part)


def find_blob_reference(data: Any, file_id: str) -> Mapping[str, Any]:
    """Return the first JSON object in a resource's data that refers to the blob; empty if no object does."""
    if isinstance(data, Mapping):
        if data.get("file_id") == file_id and "content_type" in data:
            return data
        data = data.values()
    elif not isinstance(data, Sequence) or isinstance(data, str):
        return {}
    return next((found for part in data if (found := find_blob_reference(part, file_id))), {})
