"""Type inspection: the parts of annotations, and the fields of records."""

import dataclasses
from collections import deque
from collections.abc import Sequence
from typing import Annotated, Any, Generic, NewType, NotRequired, Required, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import ReadOnly, TypeAliasType, TypedDict

from autocrud.schema.markers import Index, Unique
from autocrud.schema.type_inspection import fields_of, inspect_types, json_names, markers_in

T = TypeVar("T")
Name = NewType("Name", str)
Names = TypeAliasType("Names", list[Name])


class Model(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    city: str = Field("", alias="theCity")
    hidden: str = Field("", exclude=True)


@dataclasses.dataclass
class Plain:
    city: str
    zone: int = 0


@pydantic_dataclass
class Checked:
    city: Annotated[str, Field(max_length=3)]


class Typed(TypedDict):
    city: Required[str]
    zone: NotRequired[Annotated[int, Index()]]


class Immutable(TypedDict):
    zone: ReadOnly[Annotated[int, Index()]]


class Box(BaseModel, Generic[T]):
    item: T


class Root(RootModel[list[Model]]):
    pass


@pytest.mark.parametrize(
    ("annotation", "scalars", "items", "records"),
    [
        (str | int | None, [str, int], [], []),
        (Name, [str], [], []),
        (list[int], [], [int], []),
        (list, [list], [], []),
        (Names, [], [Name], []),
        (deque[str], [], [str], []),
        (Sequence[str] | None, [], [str], []),
        (tuple[int, ...], [], [int], []),
        (tuple[int, int], [tuple[int, int]], [], []),
        (dict[str, Model], [dict[str, Model]], [], []),
        (Model | Plain | Typed, [], [], [Model, Plain, Typed]),
        (Box[int], [], [], [Box[int]]),
        (Root, [], [Model], []),
        (type(None), [], [], []),
    ],
    ids=repr,
)
def test_inspect_types_splits_an_annotation(
    annotation: Any, scalars: list[Any], items: list[Any], records: list[Any]
) -> None:
    """None disappears; a mapping and a fixed tuple are scalars, because no path leads into them."""
    parts = inspect_types([annotation])
    assert (parts.scalars, parts.items, parts.records) == (scalars, items, records)


def test_inspect_types_merges_annotations_without_duplicates() -> None:
    """The variants of a union may share types."""
    parts = inspect_types([str | Model, Model | str, int])
    assert (parts.scalars, parts.records) == ([str, int], [Model])


def test_inspect_types_collects_nested_markers_in_order() -> None:
    """A marker counts inside a union and inside nested `Annotated`."""
    annotation = Annotated[Annotated[str, Unique(), "comment"] | None, Index()]
    assert inspect_types([annotation]).markers == [Unique(), Index()]
    assert markers_in(["comment", Index(text=True), 7]) == [Index(text=True)]


@pytest.mark.parametrize(
    ("record", "names"),
    [(Model, ["city", "hidden"]), (Plain, ["city", "zone"]), (Checked, ["city"]), (Typed, ["city", "zone"])],
)
def test_fields_of_returns_python_names(record: Any, names: list[str]) -> None:
    """Each kind of record lists its fields in the order of declaration."""
    assert list(fields_of(record)) == names


def test_fields_of_typed_dict_drops_qualifiers_and_keeps_markers() -> None:
    """Required, NotRequired and ReadOnly say nothing about the value."""
    for record in (Typed, Immutable):
        zone = fields_of(record)["zone"]
        assert zone.annotation is int
        assert markers_in(zone.metadata) == [Index()]


def test_fields_of_generic_model_has_concrete_types() -> None:
    """The argument replaces the type variable."""
    assert fields_of(Box[int])["item"].annotation is int


def test_json_names_use_aliases_and_omit_excluded_fields() -> None:
    """The names are the keys of the stored JSON."""
    assert json_names(Model) == {"theCity"}
    assert json_names(Typed) == {"city", "zone"}


def test_json_names_of_a_type_without_schema_are_empty() -> None:
    """A type that Pydantic cannot describe has no names."""
    assert json_names(type("Opaque", (), {})) == set()
