"""ModelSpec: the name, the JSON codec, the index fields and the constraints of one registered model."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json

from autocrud.errors import (
    ConfigurationError,
    FieldError,
    InvalidData,
    InvalidParameter,
    ValidatorNotIdempotent,
)
from autocrud.errors.base import first_errors
from autocrud.resource import Retention, RevisionStatus
from autocrud.schema.binary import has_binaries, largest_limit
from autocrud.schema.column_types import IndexValue
from autocrud.schema.computed_fields import refuse_marked_computed_fields
from autocrud.schema.exact_numbers import (
    LONG_BYTES,
    ExactValidator,
    contains_part,
    may_be_infinite,
)
from autocrud.schema.forms.model_checks import check_model, class_name
from autocrud.schema.forms.name_map import NameMap
from autocrud.schema.forms.shown_values import ShownValues
from autocrud.schema.forms.stored_form import NotReadable, StoredForm
from autocrud.schema.forms.validation_errors import invalid_data, raise_if_malformed
from autocrud.schema.index_discovery import index_fields
from autocrud.schema.index_field import IndexField
from autocrud.schema.model_names import check_former_names, check_name, name_and_label
from autocrud.schema.unique_constraints import constraint_field_names, unique_constraints
from autocrud.schema.unstorable_values import (
    SURROGATE_MESSAGE,
    may_hold_floats,
    may_show_non_finite,
    non_finite_paths,
    surrogate_paths,
)
from autocrud.schema.versions.schema import Schema, as_schema
from autocrud.schema.versions.upgrade import Upgrader

T = TypeVar("T")


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
        schema: the schema version, with the steps from older versions.
        formerly: former names of the model, whose data it takes over.

    Attributes:
        folder: name under which a storage keeps the data: `name`, or the former name that had the data first.
        unique_constraints: the unique constraints in the order of declaration.
        reference_targets: folder of the target's model, by the number of each index field that refers to resources of
            the same store. The references between the models of a service set it at the start.
        upgrader: brings stored data of other schema versions to this one.

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
        schema: Schema | int = 1,
        formerly: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.temporal = temporal
        self.default_status = default_status
        self.retention = retention
        self.type_name = class_name(model)
        self.name, self.label = name_and_label(self.type_name, name)
        check_name(self.type_name, self.name, "pass a valid name with name=")
        self.formerly = check_former_names(self.type_name, self.name, formerly)
        self.folder = self.name
        self.reference_targets: dict[int, str] = {}
        try:
            self.adapter: TypeAdapter[T] = TypeAdapter(model)
            core_schema: Any = self.adapter.core_schema
            self.names = NameMap(core_schema)
            check_model(self.type_name, core_schema, self.names.records)
            json_schema = self.adapter.json_schema(mode="serialization")
        except (PydanticUserError, PydanticSchemaGenerationError) as error:
            raise ConfigurationError(f"{self.type_name} cannot be a model: {error}") from error
        self.stored_form: StoredForm[T] = StoredForm(core_schema, self.adapter.validator)
        refuse_marked_computed_fields(model)
        unique_names = constraint_field_names(self.type_name, unique_together)
        self.schema = as_schema(self.type_name, schema)
        self.index_fields = index_fields(model, [*indexed_fields, *unique_names], self.schema.version)
        self.unique_constraints = unique_constraints(self.type_name, self.index_fields, unique_together)
        self.has_blobs = has_binaries(json_schema)
        self.largest_blob = largest_limit(self.adapter.json_schema()) if self.has_blobs else None
        self._may_hold_floats = may_hold_floats(json_schema) or contains_part(core_schema, may_be_infinite)
        exact = ExactValidator(self.adapter.validate_json, core_schema)
        self._read_json: Any = exact.validate_json if exact.has_decimals else self.adapter.validate_json
        self._read_long_json = exact.validate_json
        self._read_python: Any = exact.validate_python if exact.has_json_decimals else self.adapter.validate_python
        self.upgrader = Upgrader(self, self.schema)

    def parse(self, body: bytes) -> T:
        """Validate a JSON body. Fields may have their aliases, their names in answers, or their own names.

        Raises:
            MalformedBody: the body is not JSON.
            InvalidData: the model does not accept the body.
        """
        renamed = self.names.rename_body(body) if self.names.rewrites_input else body
        try:
            read = self._read_json if len(renamed) <= LONG_BYTES else self._read_long_json
            value: T = read(renamed, by_alias=True, by_name=True)
        except ValidationError as error:
            raise_if_malformed(error)
            raise invalid_data(self.name, error, self.names if renamed is not body else None) from error
        return value

    def parse_stored(self, data: bytes) -> T:
        """Validate JSON in the names of the stored form, with the model's own validators.

        Raises:
            InvalidData: the model does not accept the JSON.
        """
        try:
            read = self._read_json if len(data) <= LONG_BYTES else self._read_long_json
            value: T = read(data, by_alias=False, by_name=True)
        except ValidationError as error:
            raise invalid_data(self.name, error, self.names) from error
        return value

    def validate(self, value: Any) -> T:
        """Validate an instance of the model, or a Python value that converts to an instance.

        Raises:
            InvalidData: the model does not accept the value.
        """
        try:
            if self.names.rewrites_input:
                value = self.names.to_stored(value)
            result: T = self._read_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            raise invalid_data(self.name, error) from error
        return result

    def check(self, value: T, data: bytes) -> bytes:
        """Return the stored form of a value after a check that it reads back as an equal value.

        Args:
            data: result of `dump`.

        Raises:
            InvalidData: the stored form reads back as another value, or not at all.
        """
        try:
            if self.names.allows_extras and (place := self.names.colliding_extra(from_json(data))):
                raise NotReadable(place, "is an extra value with the name of a field")
            return self.stored_form.check(value, data)
        except NotReadable as error:
            fault = FieldError(self.field_name(error.place), str(error))
            raise InvalidData(f"The {self.name} is not valid.", [fault]) from error

    def check_idempotent(self, data: bytes) -> bool:
        """Refuse a stored form that the model's validators would change by themselves.

        Returns False if the validators refuse the stored form, so that nothing is known.

        Raises:
            ValidatorNotIdempotent: a validator would change a value; the error names the field.
        """
        try:
            place = self.stored_form.changed_by_validators(data)
        except ValidationError:
            return False
        if place is not None:
            raise ValidatorNotIdempotent(self.name, self.field_name(place))
        return True

    def decode(self, data: bytes) -> T:
        """Convert stored JSON to a value of the model.

        Raises:
            ValidationError: the model has changed since the write, and no longer accepts the JSON.
        """
        return self.stored_form.read(data)

    def show(self, data: bytes) -> bytes:
        """Return the shown form, which is the JSON for clients, for stored JSON.

        JSON that the model can no longer read is shown with the names that clients know.
        """
        if self.stored_form.is_shown:
            return data
        answer = self.stored_form.show(data)
        return self.show_names(data) if answer is None else answer

    def show_names(self, data: bytes) -> bytes:
        """Return stored JSON with the names that clients know, without computed fields and serializers."""
        return to_json(self.names.to_shown(from_json(data)))

    def shown_values(self, data: bytes) -> ShownValues:
        """Return the values of stored JSON as answers show them."""
        return ShownValues(self.name, self.names, data, self.show(data))

    def check_unchanged(self, data: bytes, part: Any) -> None:
        """Refuse to validate stored JSON again if the validators would change a part that must stay.

        Raises:
            ValidatorNotIdempotent: a validator would change a value of the part; the error names the field.
        """
        with suppress(ValidationError):
            place = self.stored_form.changed_by_validators(data, part)
            if place is not None:
                raise ValidatorNotIdempotent(self.name, self.field_name(place))

    def field_name(self, place: Sequence[int | str]) -> str:
        """Return the name of a field for messages, in the names that clients know."""
        return ".".join(map(str, self.names.shown_path(place))) or "(body)"

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
        values: list[IndexValue] = []
        for field in fields:
            try:
                values.append(field.index_value(value))
            except (ValueError, ArithmeticError) as error:
                raise self._unfit_value(field, error) from error
        sets = self.unique_constraints if len(values) == len(self.index_fields) else ()
        errors = [error for unique in sets if len(unique.fields) > 1 for error in unique.length_errors(values)]
        if errors:
            raise InvalidData(f"The {self.name} is not valid.", errors)
        return tuple(values)

    def stored_values(self, data: bytes | None) -> tuple[tuple[IndexValue, ...], list[IndexField]]:
        """Return the column values for stored JSON, and the fields with a conversion error, whose values are None.

        Stored JSON may be older than an index field, so a value need not fit the column. Data that was pruned, or
        cannot be read, is None and has no values.
        """
        if data is None:
            return (None,) * len(self.index_fields), []
        with suppress(InvalidData):
            return self.index_values(data), []
        value, unfit_fields, index = from_json(data), list[IndexField](), list[IndexValue]()
        for field in self.index_fields:
            try:
                index.append(field.index_value(value))
            except (ValueError, ArithmeticError):
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
            data = self.stored_form.dump(value)
        except PydanticSerializationError as error:
            python_value = self.adapter.dump_python(value, by_alias=True, warnings=False)
            faults = (FieldError(path, SURROGATE_MESSAGE) for path in surrogate_paths(python_value))
            if errors := first_errors(faults):
                raise InvalidData(f"The {self.name} is not valid.", errors) from error
            raise InvalidData(f"The {self.name} cannot be written as JSON: {error}") from error
        if self._may_hold_floats and may_show_non_finite(data):
            # JSON has no NaN and no infinity. Pydantic would store null instead, and the value would be lost.
            python_value = self.adapter.dump_python(value, by_alias=True, warnings=False)
            faults = (FieldError(path, "must be a finite number") for path in non_finite_paths(python_value))
            if errors := first_errors(faults):
                raise InvalidData(f"The {self.name} is not valid.", errors)
        return data

    def _unfit_value(self, field: IndexField, error: Exception) -> InvalidData:
        return InvalidData(f"The {self.name} is not valid.", [FieldError(field.name, str(error))])
