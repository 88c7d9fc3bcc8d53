"""Index fields: the fields that lists filter and sort by, and how a value becomes the content of an index column."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic_core import CoreSchema, to_json, to_jsonable_python

from autocrud.schema.column_types import (
    MAX_TEXT_BYTES,
    ColumnKind,
    ColumnValue,
    IndexValue,
    NormalFormError,
    column_value,
    size_of_text,
)
from autocrud.schema.markers import Ref
from autocrud.schema.versions.column_names import versioned


@dataclass(frozen=True, slots=True)
class FilterBounds:
    """Adds the limits of a column to the OpenAPI schema of a filter, unless the field's type has limits of its own."""

    def __get_pydantic_json_schema__(self, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        is_unlimited = schema.keys().isdisjoint(("enum", "const", "format", "pattern"))
        return {**(_BOUNDS.get(schema.get("type", ""), {}) if is_unlimited else {}), **schema}


@dataclass(frozen=True, slots=True)
class IndexField:
    """A field of the model or of the metadata that queries can filter and sort by.

    Attributes:
        name: the name in JSON and in filters; for a nested field, its path joined by dots.
        kind: the column kind of the value, or of the items of a list.
        unique: True if the field alone is unique. `ModelSpec.unique_constraints` lists all unique constraints.
        annotation: the type of the value, or of the items of a list.
        is_meta: True for a field of the metadata.
        path: the names that lead to the field in the JSON.
        groups: the groups of fields that are unique as a set, and include this field.
        ref: the `Ref` marker of a reference, else None.
        schema_version: the schema version of the model. Each version has columns of its own.
        column: the name of the column in the metadata store.
    """

    name: str
    kind: ColumnKind
    unique: bool
    annotation: Any = field(compare=False)
    adapter: TypeAdapter[Any] = field(compare=False)
    is_meta: bool = False
    is_list: bool = False
    path: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    ref: Ref | None = None
    schema_version: int = 1
    column: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        column = self.name if self.is_meta else f"{versioned('ix', self.schema_version)}_{self.name}"
        object.__setattr__(self, "column", column)

    @property
    def unversioned_column(self) -> str:
        """The name of the column in schema version 1, so that a cursor is valid in processes of all versions."""
        return self.name if self.is_meta else f"ix_{self.name}"

    @property
    def nullable(self) -> bool:
        """True if the column can be null. Data that is older than a field may lack the field."""
        return not self.is_meta or self.name in ("created_by", "updated_by")

    def column_value(self, json_value: Any) -> ColumnValue:
        """Convert the field's stored JSON value to the column value.

        A value in another form than the kind's own is read as the field's type reads it. Such values were stored before
        the type changed, or by a serializer of the field.

        Raises:
            ValueError: the value does not fit the column; the message gives the reason.
        """
        try:
            return column_value(self.kind, json_value)
        except NormalFormError as error:
            try:
                value = self.adapter.validate_json(to_json(json_value))
            except ValidationError:
                raise error from None
        # Without the serializers of the type, which may have written the other form.
        return column_value(self.kind, to_jsonable_python(value))

    def index_value(self, data: Any) -> IndexValue:
        """Return the column value for a resource's stored JSON; None if the JSON lacks the field.

        A list field returns a tuple of distinct items without nulls. An empty list returns an empty tuple, not None.

        Raises:
            ValueError: a value does not fit the column; the message gives the reason.
        """
        if not self.is_list:
            return self.column_value(_value_at(data, self.path))
        items = _items_at(data, self.path)
        return None if items is None else tuple(dict.fromkeys(map(self.column_value, items)))

    def filter_value(self, value: Any) -> ColumnValue:
        """Convert a filter's value to the column value.

        Args:
            value: a Python value of the field's type, or of its items' type, or the text of one.

        Raises:
            ValueError: the field cannot have the value.
        """
        if isinstance(value, str):
            size_of_text(value)
        validate = self.adapter.validate_strings if isinstance(value, str) else self.adapter.validate_python
        python_value = validate(value)
        return self.column_value(self.adapter.dump_python(python_value, mode="json"))


def _value_at(data: Any, path: Sequence[str]) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _items_at(data: Any, path: Sequence[str], *, in_list: bool = False) -> list[Any] | None:
    """Return the non-null values at a path, through nested lists; None if the JSON has no list at the path.

    Raises:
        NormalFormError: the value at the path is neither in a list nor a list.
    """
    if isinstance(data, list):
        return [item for part in data for item in _items_at(part, path, in_list=True) or ()]
    if path:
        return _items_at(data.get(path[0]), path[1:], in_list=in_list) if isinstance(data, dict) else None
    if data is not None and not in_list:
        raise NormalFormError(f"is indexed as a list, but is stored as {type(data).__name__}")
    return None if data is None else [data]


_BOUNDS: dict[str, dict[str, Any]] = {
    "string": {"maxLength": MAX_TEXT_BYTES, "pattern": r"^[^\x00]*$"},
    "integer": {"minimum": -(2**63), "maximum": 2**63 - 1},
}
