"""Index fields: column values of stored JSON and of filters, and the schema of filters."""

from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter

from autocrud.schema.column_types import ColumnKind
from autocrud.schema.index_field import FilterBounds, IndexField


class Level(IntEnum):
    low = 1


def build_field(
    annotation: Any, kind: ColumnKind, *path: str, is_list: bool = False, is_meta: bool = False
) -> IndexField:
    """Return an index field without constraints."""
    return IndexField(
        ".".join(path), kind, False, annotation, TypeAdapter(annotation), is_list=is_list, path=path, is_meta=is_meta
    )


def test_column_of_a_model_field_has_a_prefix() -> None:
    """The prefix keeps columns of the model apart from columns of the metadata."""
    assert build_field(str, ColumnKind.text, "version").column == "ix_version"
    assert build_field(str, ColumnKind.text, "version", is_meta=True).column == "version"


@pytest.mark.parametrize(
    ("data", "value"),
    [({"a": {"b": "x"}}, "x"), ({"a": {}}, None), ({"a": None}, None), ({"a": ["b"]}, None), (7, None)],
)
def test_index_value_missing_path_is_none(data: Any, value: str | None) -> None:
    """Old data may lack a field or have another shape."""
    assert build_field(str, ColumnKind.text, "a", "b").index_value(data) == value


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"a": [{"b": ["x", "y"]}, {"b": ["y", None]}, {}]}, ("x", "y")),
        ({"a": [{"b": []}]}, ()),
        ({"a": []}, ()),
        ({"a": {"b": None}}, None),
        ({}, None),
    ],
)
def test_index_value_list_flattens_and_drops_nulls_and_duplicates(data: Any, value: tuple[str, ...] | None) -> None:
    """An empty list is not null."""
    assert build_field(str, ColumnKind.text, "a", "b", is_list=True).index_value(data) == value


def test_filter_value_text_and_python_value_have_one_column_value() -> None:
    """A query string has texts, and the Python API has values."""
    field = build_field(Decimal, ColumnKind.decimal, "price")
    assert field.filter_value("1.50") == field.filter_value(Decimal("1.5")) == field.index_value({"price": "1.5"})
    level = build_field(Level, ColumnKind.integer, "level")
    assert level.filter_value("1") == level.filter_value(Level.low) == 1


def test_filter_value_outside_the_type_is_refused() -> None:
    """The message lists the allowed values of an enum."""
    with pytest.raises(ValueError, match="'a' or 'b'"):
        build_field(Literal["a", "b"], ColumnKind.text, "name").filter_value("c")


def test_filter_bounds_apply_unless_the_type_has_limits() -> None:
    """OpenAPI shows the limits of the column."""

    def schema(annotation: Any) -> dict[str, Any]:
        return TypeAdapter(Annotated[annotation, FilterBounds()]).json_schema()

    assert schema(int) == {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
    assert schema(Annotated[int, Field(ge=0)])["minimum"] == 0
    assert schema(str)["maxLength"] == 2000
    assert schema(date) == {"type": "string", "format": "date"}
    assert "maxLength" not in schema(Literal["a"])
