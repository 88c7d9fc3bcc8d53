"""ModelSpec: all that is known of one registered model, derived once, when it is registered."""

import math
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
from autocrud.schema.binary import has_binaries, largest
from autocrud.schema.column_types import IndexValue
from autocrud.schema.index_discovery import index_fields
from autocrud.schema.index_field import IndexField
from autocrud.schema.type_inspection import fields_of
from autocrud.schema.unique_constraints import names_of, unique_sets

T = TypeVar("T")

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")


def kebab_case(class_name: str) -> str:
    """`HTTPRequestLog` to `http-request-log`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", class_name).lower()


class ModelSpec(Generic[T]):
    """One registered model: its name, how its values become stored JSON and back, and its index fields.

    Args:
        model: a Pydantic model, a dataclass or a TypedDict.
        name: the path segment; the kebab-case class name by default.
        indexed_fields: fields to index beside those that are annotated with `Index()` or `Unique()`; a nested one by
            its path, as `address.city`.
        default_status: of new revisions; drafts may be edited in place.
        retention: which old revisions are kept; all of them if None.
        temporal: keep the index values of every commit, so that lists of the past can be filtered and sorted.
        unique_together: sets of index fields that are unique together, beside the groups that `Unique` names. Those
            that are no index fields yet become some.

    Attributes:
        unique_sets: what must be unique, in the order of declaration.

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
        # What people read in OpenAPI. A name that was chosen tells models of one class name apart.
        words = self.type_name if name is None else "".join(re.split("[-_]", name.title()))
        self.label = re.sub(r"\W", "", words)
        if not _NAME.fullmatch(self.name) or len(self.name) > 48:
            raise ConfigurationError(
                f"{self.type_name}: the name {self.name!r} must be at most 48 lower-case letters and digits,"
                " in words joined by '-' or '_'; give one with name="
            )
        try:
            self.adapter: TypeAdapter[T] = TypeAdapter(model)
            schema = self.adapter.json_schema(mode="serialization")
        except (PydanticUserError, PydanticSchemaGenerationError) as error:
            raise ConfigurationError(f"{self.type_name} cannot be a model: {error}") from error
        self._fields = fields_of(model)
        self._refuse_lossy_fields(schema)
        together = names_of(self.type_name, unique_together)
        self.index_fields = index_fields(model, [*indexed_fields, *together])
        self.unique_sets = unique_sets(self.type_name, self.index_fields, unique_together)
        self.has_blobs = has_binaries(schema)
        self.largest_blob = largest(self.adapter.json_schema()) if self.has_blobs else None
        self._has_floats = '"number"' in repr(schema).replace("'", '"') or "Any" in repr(self._fields)

    def parse(self, body: bytes) -> T:
        """Validate a JSON body.

        Raises:
            MalformedBody: it is not JSON.
            InvalidData: it is not what the model accepts.
        """
        try:
            return self.adapter.validate_json(body)
        except ValidationError as error:
            if error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid":
                raise MalformedBody(f"The body is not JSON: {_reason(error)}.") from error
            raise self._invalid(error) from error

    def validate(self, value: Any) -> T:
        """Validate a Python value, an instance of the model or what can become one.

        Raises:
            InvalidData: the model does not accept it.
        """
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            raise self._invalid(error) from error

    def check(self, data: bytes) -> None:
        """Make sure that JSON to be stored is accepted when it is read.

        Raises:
            InvalidData: it would not be.
        """
        try:
            self.decode(data)
        except ValidationError as error:
            raise self._invalid(error) from error

    def decode(self, data: bytes) -> T:
        """Turn stored JSON into a value of the model.

        Raises:
            ValidationError: the model has changed since, and no longer accepts it.
        """
        return self.adapter.validate_json(data, by_alias=True, by_name=True)

    def index_values(self, data: bytes, fields: Sequence[IndexField] | None = None) -> tuple[IndexValue, ...]:
        """The index columns' values for stored JSON: a function of these bytes and of nothing else.

        Args:
            fields: of which the values are wanted; all index fields if None.

        Raises:
            InvalidData: a value does not fit its column.
        """
        fields = self.index_fields if fields is None else fields
        if not fields:
            return ()
        value = from_json(data)
        index = tuple(self._index_value(field, value) for field in fields)
        sets = self.unique_sets if len(index) == len(self.index_fields) else ()
        errors = [error for unique in sets if len(unique.fields) > 1 for error in unique.misfits(index)]
        if errors:
            raise InvalidData(f"The {self.name} is not valid.", errors)
        return index

    def stored_values(self, data: bytes) -> tuple[tuple[IndexValue, ...], list[IndexField]]:
        """The same of what is stored, maybe since before a field was an index field: null for each value that does not
        fit, and the fields whose values these are.
        """
        with suppress(InvalidData):
            return self.index_values(data), []
        value, misfits, found = from_json(data), list[IndexField](), list[IndexValue]()
        for field in self.index_fields:
            try:
                found.append(self._index_value(field, value))
            except InvalidData:
                misfits.append(field)
                found.append(None)
        for unique in self.unique_sets:
            if len(unique.fields) > 1 and any(unique.misfits(found)):
                misfits += unique.fields
                pairs = zip(self.index_fields, found, strict=True)
                found = [None if field in unique.fields else held for field, held in pairs]
        return tuple(found), misfits

    def index_field(self, name: str) -> IndexField:
        """The index field of this name.

        Raises:
            InvalidParameter: there is none; the message lists those that there are.
        """
        for field in self.index_fields:
            if field.name == name:
                return field
        names = ", ".join(field.name for field in self.index_fields) or "none"
        raise InvalidParameter(name, f"is not an index field of {self.name}; these are: {names}")

    def dump(self, value: T) -> bytes:
        """The JSON to store: what the model's validators made of a value.

        Raises:
            InvalidData: it cannot be written.
        """
        try:
            data = self.adapter.dump_json(value, by_alias=True, warnings=False)
        except PydanticSerializationError as error:
            raise InvalidData(f"The {self.name} cannot be written as JSON: {error}") from error
        if self._has_floats and b"null" in data:
            # JSON has no NaN and no infinity; they would be stored as null, which is not what was sent.
            python_value = self.adapter.dump_python(value, by_alias=True, warnings=False)
            errors = [FieldError(path, "must be a finite number") for path in _not_finite(python_value, "")]
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
                raise ConfigurationError(f"{self.type_name}.{name} has exclude=True: it would not be stored")
        serializers = _serialized_by_hand(self.model)
        masked = next((name for name in _write_only(schema) if name not in serializers), None)
        if masked and "*" not in serializers:
            raise ConfigurationError(
                f"{self.type_name}: {masked} is a secret, which Pydantic writes as asterisks: it would not be"
                " stored; give it a serializer that writes what is to be kept"
            )


def _reason(error: ValidationError) -> str:
    return error.errors(include_url=False)[0]["msg"].removeprefix("Invalid JSON: ")


def _serialized_by_hand(model: type[Any]) -> set[str]:
    """The fields that have a serializer of the model's own; `*` where there is one for the whole of it."""
    decorators = getattr(model, "__pydantic_decorators__", None)
    if decorators is None:
        return set()
    fields = {name for item in decorators.field_serializers.values() for name in item.info.fields}
    return fields | ({"*"} if decorators.model_serializers else set())


def _write_only(schema: Any, path: str = "the model") -> Iterator[str]:
    """The paths in a JSON schema of what is masked when it is written."""
    if isinstance(schema, dict):
        if schema.get("writeOnly") is True:
            yield path
        for key, part in schema.items():
            yield from _write_only(part, key)
    elif isinstance(schema, list):
        for part in schema:
            yield from _write_only(part, path)


def _not_finite(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, float):
        if not math.isfinite(value):
            yield path
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _not_finite(part, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple | set | frozenset):
        for number, part in enumerate(value):
            yield from _not_finite(part, f"{path}.{number}" if path else str(number))
