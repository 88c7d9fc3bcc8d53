"""ModelSpec: the name, the JSON codec, the index fields and the constraints of one registered model."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json

from autocrud.errors import (
    ConfigurationError,
    FieldError,
    InvalidData,
    InvalidParameter,
    MalformedBody,
)
from autocrud.resource import Retention, RevisionStatus
from autocrud.schema.binary import has_binaries, largest_limit
from autocrud.schema.column_types import IndexValue
from autocrud.schema.exact_numbers import ExactValidator, contains_part, may_be_infinite
from autocrud.schema.index_discovery import index_fields
from autocrud.schema.index_field import IndexField
from autocrud.schema.type_inspection import fields_of
from autocrud.schema.unique_constraints import constraint_field_names, unique_constraints
from autocrud.schema.unstorable_values import (
    SURROGATE_MESSAGE,
    may_hold_floats,
    may_show_non_finite,
    non_finite_paths,
    surrogate_paths,
)

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def kebab_case(class_name: str) -> str:
    """Convert a class name such as `HTTPRequestLog` to `http-request-log`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name).lower()


class ModelSpec(Generic[T]):
    """A registered model: validates values, converts them to stored JSON and back, and computes index values.

    Args:
        model: a Pydantic model, a dataclass or a TypedDict.
        name: the path segment; the kebab-case class name by default.
        indexed_fields: fields to index in addition to fields with a marker; a nested field by path, as `address.city`.
        default_status: the status of new revisions; drafts may be edited in place.
        retention: the rule for the removal of old revisions; None keeps every revision.
        temporal: keep the index values of every commit, so that lists of the past can be filtered and sorted.
        unique_together: sets of fields that are unique as a set, in addition to the groups of `Unique`. Each field
            becomes an index field.

    Attributes:
        unique_sets: the unique constraints in the order of declaration.

    Raises:
        ConfigurationError: the model cannot be stored without loss, or a field cannot be indexed or be unique.
    """

    def __init__(
        self,
        model: type[T],
        *,
        name: str | None = None,
        indexed_fields: Sequence[str] = (),
        default_status: RevisionStatus = RevisionStatus.stable,
        retention: Retention | None = None,
        temporal: bool = False,
        unique_together: Sequence[Sequence[str]] = (),
    ) -> None:
        self.model = model
        self.temporal = temporal
        self.default_status = default_status
        self.retention = retention
        self.type_name: str = model.__name__
        self.name = kebab_case(self.type_name).strip("_").replace("_-", "-") if name is None else name
        # The label appears in OpenAPI. An explicit name tells two models with the same class name apart.
        words = self.type_name if name is None else "".join(re.split("[-_]", name.title()))
        self.label = re.sub(r"\W", "", words)
        if not _NAME.fullmatch(self.name) or len(self.name) > 48:
            raise ConfigurationError(
                f"{self.type_name}: the name {self.name!r} must be at most 48 lower-case letters and digits,"
                " in words joined by '-' or '_'; pass a valid name with name="
            )
        try:
            self.adapter: TypeAdapter[T] = TypeAdapter(model)
            schema = self.adapter.json_schema(mode="serialization")
        except (PydanticUserError, PydanticSchemaGenerationError) as error:
            raise ConfigurationError(f"{self.type_name} cannot be a model: {error}") from error
        self._fields = fields_of(model)
        self._refuse_lossy_fields(schema)
        unique_names = constraint_field_names(self.type_name, unique_together)
        self.index_fields = index_fields(model, [*indexed_fields, *unique_names])
        self.unique_constraints = unique_constraints(self.type_name, self.index_fields, unique_together)
        self.has_blobs = has_binaries(schema)
        self.largest_blob = largest_limit(self.adapter.json_schema()) if self.has_blobs else None
        core_schema = self.adapter.core_schema
        self._may_hold_floats = may_hold_floats(schema) or contains_part(core_schema, may_be_infinite)
        self._read_json = ExactValidator(self.adapter.validate_json, core_schema).validate_json

    def parse(self, body: bytes) -> T:
        """Validate a JSON body.

        Raises:
            MalformedBody: the body is not JSON.
            InvalidData: the model does not accept the body.
        """
        try:
            value: T = self._read_json(body)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
                raise MalformedBody(f"The body is not JSON: {_reason(error)}.") from error
            raise self._invalid(error) from error
        return value

    def validate(self, value: Any) -> T:
        """Validate an instance of the model, or a Python value that converts to an instance.

        Raises:
            InvalidData: the model does not accept the value.
        """
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            raise self._invalid(error) from error

    def check(self, data: bytes) -> None:
        """Refuse JSON that could be stored but not read again.

        Raises:
            InvalidData: the model does not accept the JSON.
        """
        try:
            self.decode(data)
        except ValidationError as error:
            raise self._invalid(error) from error

    def decode(self, data: bytes) -> T:
        """Convert stored JSON to a value of the model.

        Raises:
            ValidationError: the model has changed since the write, and no longer accepts the JSON.
        """
        value: T = self._read_json(data, by_alias=True, by_name=True)
        return value

    def index_values(self, data: bytes, fields: Sequence[IndexField] | None = None) -> tuple[IndexValue, ...]:
        """Return the column values for stored JSON. The result depends on these bytes alone.

        Args:
            fields: the fields to return values for; all index fields if None.

        Raises:
            InvalidData: a value does not fit its column.
        """
        fields = self.index_fields if fields is None else fields
        if not fields:
            return ()
        value = from_json(data)
        index = tuple(self._index_value(field, value) for field in fields)
        sets = self.unique_constraints if len(index) == len(self.index_fields) else ()
        errors = [error for unique in sets if len(unique.fields) > 1 for error in unique.length_errors(index)]
        if errors:
            raise InvalidData(f"The {self.name} is not valid.", errors)
        return index

    def stored_values(self, data: bytes) -> tuple[tuple[IndexValue, ...], list[IndexField]]:
        """Return the column values for stored JSON, and the fields with a conversion error, whose values are None.

        Stored JSON may be older than an index field, so a value need not fit the column.
        """
        with suppress(InvalidData):
            return self.index_values(data), []
        value, unfit_fields, index = from_json(data), list[IndexField](), list[IndexValue]()
        for field in self.index_fields:
            try:
                index.append(self._index_value(field, value))
            except InvalidData:
                unfit_fields.append(field)
                index.append(None)
        for unique in self.unique_constraints:
            if len(unique.fields) > 1 and any(unique.length_errors(index)):
                unfit_fields += unique.fields
                pairs = zip(self.index_fields, index, strict=True)
                index = [None if field in unique.fields else column_value for field, column_value in pairs]
        return tuple(index), unfit_fields

    def index_field(self, name: str) -> IndexField:
        """Return the index field of this name.

        Raises:
            InvalidParameter: the model has no such index field; the message lists the index fields.
        """
        for field in self.index_fields:
            if field.name == name:
                return field
        names = ", ".join(field.name for field in self.index_fields) or "none"
        raise InvalidParameter(name, f"is not an index field of {self.name}; index fields: {names}")

    def dump(self, value: T) -> bytes:
        """Return the JSON to store for a validated value.

        Raises:
            InvalidData: JSON cannot represent the value.
        """
        try:
            data = self.adapter.dump_json(value, by_alias=True, warnings=False)
        except PydanticSerializationError as error:
            python_value = self.adapter.dump_python(value, by_alias=True, warnings=False)
            if errors := [FieldError(path, SURROGATE_MESSAGE) for path in surrogate_paths(python_value)]:
                raise InvalidData(f"The {self.name} is not valid.", errors) from error
            raise InvalidData(f"The {self.name} cannot be written as JSON: {error}") from error
        if self._may_hold_floats and may_show_non_finite(data):
            # JSON has no NaN and no infinity. Pydantic would store null instead, and the value would be lost.
            python_value = self.adapter.dump_python(value, by_alias=True, warnings=False)
            errors = [FieldError(path, "must be a finite number") for path in non_finite_paths(python_value)]
            if errors:
                raise InvalidData(f"The {self.name} is not valid.", errors)
        return data

    def _index_value(self, field: IndexField, value: Any) -> IndexValue:
        try:
            return field.index_value(value)
        except (ValueError, ArithmeticError) as error:
            raise InvalidData(f"The {self.name} is not valid.", [FieldError(field.name, str(error))]) from error

    def _invalid(self, error: ValidationError) -> InvalidData:
        return InvalidData(
            f"The {self.name} is not valid.",
            [
                FieldError(".".join(map(str, item["loc"])) or "(body)", item["msg"])
                for item in error.errors(include_url=False, include_context=False, include_input=False)
            ],
        )

    def _refuse_lossy_fields(self, schema: dict[str, Any]) -> None:
        for name, info in self._fields.items():
            if info.exclude:
                raise ConfigurationError(f"{self.type_name}.{name} has exclude=True: the field would not be stored")
        serializers = _custom_serializers(self.model)
        masked = next((name for name in _write_only_fields(schema) if name not in serializers), None)
        if masked and "*" not in serializers:
            raise ConfigurationError(
                f"{self.type_name}: {masked} is a secret: Pydantic would store asterisks instead of its value;"
                " add a serializer that writes the value"
            )


def _reason(error: ValidationError) -> str:
    return error.errors(include_url=False)[0]["msg"].removeprefix("Invalid JSON: ")


def _custom_serializers(model: type[Any]) -> set[str]:
    """Return the fields with a serializer in the model, and `*` if the model has a model serializer."""
    decorators = getattr(model, "__pydantic_decorators__", None)
    if decorators is None:
        return set()
    fields = {name for item in decorators.field_serializers.values() for name in item.info.fields}
    return fields | ({"*"} if decorators.model_serializers else set())


def _write_only_fields(schema: Any, path: str = "the model") -> Iterator[str]:
    """Yield the names of the fields in a JSON schema that serialization masks."""
    if isinstance(schema, dict):
        if schema.get("writeOnly") is True:
            yield path
        for key, part in schema.items():
            yield from _write_only_fields(part, key)
    elif isinstance(schema, list):
        for part in schema:
            yield from _write_only_fields(part, path)
