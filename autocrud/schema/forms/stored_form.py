"""Stored form: the JSON of a value by field names, without computed fields and user serializers, that reads back equal.

The shown form is the JSON that the model's own serializer writes. Both are equal for most models.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, SchemaSerializer, SchemaValidator, from_json

from autocrud.schema.forms.core_schemas import (
    FIELD_TYPES,
    Node,
    has_user_post_init,
    has_user_serializer,
    has_user_validator,
    is_secret,
    reading_schema,
    shown_schema,
    stored_schema,
    walk,
)
from autocrud.schema.forms.value_comparison import Place, find_hidden_value, first_change, first_difference

T = TypeVar("T")

# Python types of defaults that need no check, by the type of their schema; None alone fits no other type.
_DEFAULT_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "float": (float, int), "bool": (bool,), "list": (list,), "dict": (dict,),
    "set": (set,), "tuple": (tuple,), "bytes": (bytes,), "decimal": (Decimal,), "none": (object,), "any": (object,),
}  # fmt: skip
_TIME_FORMS = ("ser_json_timedelta", "ser_json_temporal")
_NATURAL_FACTORIES = (list, dict, set, tuple, str, int)


class NotReadable(Exception):
    """A value whose stored form cannot be read back as an equal value. `place` is the path of the field."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(reason)
        self.place = place


@dataclasses.dataclass(slots=True)
class Parsed(Generic[T]):
    """A value that the model's validator has made from JSON."""

    value: T


class StoredForm(Generic[T]):
    """Writes, reads and shows the values of one model.

    Args:
        schema: the core schema of the model.
        validator: the model's validator.

    Attributes:
        is_plain: True if every value that the model's validator makes from JSON can be read back. Other values are
            checked one by one.
        has_validators: True if functions of the user take part in the validation.
        is_shown: True if the shown form equals the stored form.
        reads_shown: True if the model reads each shown value as the stored value, apart from validators of the user.
    """

    def __init__(self, schema: Any, validator: Any) -> None:
        nodes = list(walk(schema))
        self._validator = validator
        self._serializer = SchemaSerializer(stored_schema(schema), _use_prebuilt=False)
        # Custom types may need their serializer, because Pydantic has none for their values.
        self._type_serializer = SchemaSerializer(stored_schema(schema, keep_types=True), _use_prebuilt=False)
        self._shown_serializer = SchemaSerializer(shown_schema(schema), _use_prebuilt=False)
        self._hides_values = any(node.get("serialization_exclude_if") for node in nodes)
        self.has_validators = any(has_user_validator(node) or has_user_post_init(node) for node in nodes)
        self.is_plain = not self.has_validators and not any(map(_needs_check, nodes))
        has_encodings = _has_encodings_in_typed_dicts(nodes)
        self.is_shown = not (has_encodings or any(map(_differs, nodes)))
        self.reads_shown = not (has_encodings or any(map(_is_shown_otherwise, nodes)))
        self._is_one_record = sum(node["type"] in ("model", "dataclass") for node in nodes) == 1
        self._reader = SchemaValidator(reading_schema(schema), _use_prebuilt=False)

    @property
    def needs_current(self) -> bool:
        """True if the meaning of a PUT depends on the current data, because a client sends back the shown values."""
        return self.has_validators or self._hides_values or not self.reads_shown

    def dump(self, value: T) -> bytes:
        """Return the stored form of a value.

        Raises:
            PydanticSerializationError: JSON cannot represent the value.
        """
        try:
            return self._serializer.to_json(value, round_trip=True, warnings=False)
        except PydanticSerializationError:
            return self._type_serializer.to_json(value, round_trip=True, warnings=False)

    def read(self, data: bytes) -> T:
        """Return the value of a stored form. Validators that would change the value are left out.

        Raises:
            ValidationError: the model has changed since the write, and no longer accepts the stored form.
        """
        try:
            value: T = self._validator.validate_json(data, by_alias=False, by_name=True)
        except ValidationError:
            return self._read_without_validators(data)
        if self.has_validators and not self._is_same_json(value, data):
            try:
                return self._read_without_validators(data)
            except ValidationError:
                return value
        return value

    def recognize(self, data: bytes) -> Parsed[T] | None:
        """Return the value of JSON that is a stored form; None for other JSON."""
        for read in (self.read, self._read_without_validators):
            try:
                value = read(data)
                if self.dump(value) == data:
                    return Parsed(value)
            except (ValidationError, PydanticSerializationError):
                continue
        return None

    def show(self, data: bytes) -> bytes | None:
        """Return the shown form for a stored form; None if the model can no longer read the stored form."""
        if self.is_shown:
            return data
        try:
            return self._shown_serializer.to_json(self.read(data), by_alias=True, warnings=False)
        except (ValidationError, PydanticSerializationError):
            return None

    def check(self, value: T, data: bytes) -> bytes:
        """Return the stored form of a value after a check that it reads back as an equal value.

        Args:
            data: result of `dump`.

        Raises:
            NotReadable: the stored form reads back as another value, or not at all.
        """
        if self._hides_values and (hidden := find_hidden_value(value)) is not None:
            raise NotReadable(hidden, "is left out of answers by exclude_if, and a PUT of the answer would change it")
        candidates = [data] if self.is_plain else [data, *self._dump_types(value, data)]
        failure: NotReadable | None = None
        for candidate in candidates:
            try:
                return self._checked(value, candidate)
            except NotReadable as error:
                failure = failure or error
        raise failure or NotReadable([], "has no stored form")

    def changed_by_validators(self, data: bytes, part: Any = None) -> Place | None:
        """Return the place of the first value that the model's validators would change; None without one.

        Args:
            part: the part of the document to look at; by default the whole document.

        Raises:
            ValidationError: the model does not accept the stored form.
        """
        if not self.has_validators:
            return None
        value: T = self._validator.validate_json(data, by_alias=False, by_name=True)
        dumped = self.dump(value)
        return None if dumped == data else first_change(from_json(data) if part is None else part, from_json(dumped))

    def _checked(self, value: T, data: bytes) -> bytes:
        """Return the stored form that a value reads back from: the data, or the data in the form of the read value."""
        failure = NotReadable([], "cannot be read back")
        readers = [self._validator, self._reader] if self.has_validators else [self._validator]
        for reader in readers:
            try:
                found = reader.validate_json(data, by_alias=False, by_name=True)
                read_data = self.dump(found)
                if read_data != data:  # a default that the validator has not seen, such as 0 for a float
                    found = reader.validate_json(read_data, by_alias=False, by_name=True)
                is_stable = read_data == data or self.dump(found) == read_data
            except ValidationError as error:
                item = error.errors(include_url=False, include_context=False, include_input=False)[0]
                failure = NotReadable(list(item["loc"]), f"cannot be read back from its stored form: {item['msg']}")
                continue
            except PydanticSerializationError as error:
                failure = NotReadable([], f"cannot be read back from its stored form: {error}")
                continue
            place = None if self._is_same_record(value, found) else first_difference(value, found)
            if is_stable and place is None:
                return read_data
            failure = NotReadable(place or [], "is read back from its stored form as another value")
        raise failure

    def _is_same_record(self, value: T, found: T) -> bool:
        """Return True if two instances of a model without other records in it have equal fields.

        Pydantic's comparison takes a tenth of the time. Records in records may have an equality of their own.
        """
        return self._is_one_record and isinstance(value, BaseModel) and BaseModel.__eq__(value, found)

    def _dump_types(self, value: T, data: bytes) -> list[bytes]:
        try:
            other = self._type_serializer.to_json(value, round_trip=True, warnings=False)
        except PydanticSerializationError:
            return []
        return [] if other == data else [other]

    def _is_same_json(self, value: T, data: bytes) -> bool:
        try:
            dumped = self.dump(value)
        except PydanticSerializationError:
            return False
        # A field that is newer than the data has its default; the validators of the other fields changed nothing.
        return dumped == data or first_change(from_json(data), from_json(dumped)) is None

    def _read_without_validators(self, data: bytes) -> T:
        value: T = self._reader.validate_json(data, by_alias=False, by_name=True)
        return value


def stored_adapter(annotation: Any) -> TypeAdapter[Any]:
    """Return a type adapter that writes values in the stored form."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    schema: Any = adapter.core_schema
    adapter.serializer = SchemaSerializer(stored_schema(schema), _use_prebuilt=False)
    return adapter


def _needs_check(node: Node) -> bool:
    """Return True if a value of a node may read back as another value, or not at all."""
    kind = node["type"]
    if kind in ("union", "is-instance", "callable") or has_user_serializer(node):
        return True
    if node.get("serialization_exclude_if") or callable(node.get("discriminator")):
        return True
    rule = node.get("extra_behavior") or (node.get("config") or {}).get("extra_fields_behavior")
    return rule == "allow" or (kind == "default" and not has_natural_default(node))


def has_natural_default(node: Node) -> bool:
    """Return True if a default is a value that the validator could have made."""
    if node.get("validate_default"):
        return True
    if "default_factory" in node:
        return node["default_factory"] in _NATURAL_FACTORIES
    inner, default = node["schema"], node.get("default")
    while inner["type"] in ("default", "nullable"):
        if inner["type"] == "nullable" and default is None:
            return True
        inner = inner["schema"]
    if isinstance(default, bool):
        return inner["type"] not in ("int", "float")
    types = _DEFAULT_TYPES.get(inner["type"])
    return default is not None if types is None else isinstance(default, types)


def _is_shown_otherwise(node: Node) -> bool:
    """Return True if the model may read the shown value of a node as another value, or not at all."""
    config = node.get("config") or {}
    if has_user_serializer(node) or node["type"] == "json":
        return True
    return any(config.get(name, "iso8601") != "iso8601" for name in _TIME_FORMS) or _encodes_bytes_otherwise(config)


def _has_encodings_in_typed_dicts(nodes: Sequence[Node]) -> bool:
    """Return True if a TypedDict with a config may have bytes in another encoding than the answer shows."""
    configs = [node["config"] for node in nodes if "config" in node]
    encodings = {config.get(name, "utf8") for config in configs for name in ("ser_json_bytes", "val_json_bytes")}
    return not encodings <= {"utf8"} and any(node["type"] == "typed-dict" and "config" in node for node in nodes)


def _encodes_bytes_otherwise(config: Mapping[str, Any]) -> bool:
    return bool(config.get("ser_json_bytes", "utf8") != config.get("val_json_bytes", "utf8"))


def _differs(node: Node) -> bool:
    """Return True if the shown form of a node may differ from its stored form."""
    kind, config = node["type"], node.get("config") or {}
    if node.get("computed_fields") or has_user_serializer(node) or is_secret(node) or kind == "json":
        return True
    if kind in FIELD_TYPES and (node.get("serialization_alias") or node.get("serialization_exclude_if")):
        return True
    if any(config.get(name, "iso8601") != "iso8601" for name in _TIME_FORMS):
        return True
    return _encodes_bytes_otherwise(config)
