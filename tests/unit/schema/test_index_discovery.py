"""Index discovery: index fields of a model, their values, and refusals."""

import dataclasses
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, NewType, NotRequired, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel, model_serializer
from pydantic.alias_generators import to_camel
from pydantic_core import to_json
from typing_extensions import TypeAliasType, TypedDict

from autocrud.errors import ConfigurationError, InvalidData
from autocrud.schema.index_field import IndexField
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec

Word = NewType("Word", str)
Words = TypeAliasType("Words", list[Word])
T = TypeVar("T")


class Colour(StrEnum):
    red = "red"


class Person(BaseModel):
    name: Annotated[str, Index()] = ""
    email: str | None = None
    nicknames: list[str] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    name: Annotated[str, Index()] = ""
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    name: str = ""


class Node(BaseModel):
    name: Annotated[str, Index()] = ""
    parent: "Node | None" = None
    children: list["Node"] = []


@dataclasses.dataclass
class Street:
    name: Annotated[str, Index()]
    number: int = 0


class Address(TypedDict):
    street: NotRequired[Street]
    codes: NotRequired[Annotated[list[int], Index()]]


class Box(BaseModel, Generic[T]):
    item: Annotated[T, Index()]


def fields(model: Any, *names: str) -> dict[str, IndexField]:
    """Return a model's index fields by name."""
    return {field.name: field for field in ModelSpec(model, indexed_fields=names).index_fields}


def values(model: Any, data: Any, *names: str) -> dict[str, Any]:
    """Return the column values of a resource."""
    spec: ModelSpec[Any] = ModelSpec(model, indexed_fields=names)
    return dict(zip(fields(model, *names), spec.index_values(to_json(data)), strict=True))


def refusal(model: Any, *names: str) -> str:
    """Return the message with which a model is refused."""
    with pytest.raises(ConfigurationError) as caught:
        ModelSpec(model, indexed_fields=names)
    return str(caught.value)


def test_list_of_scalars_is_an_index_field() -> None:
    """Of any sort and with the marker at any level. A filter's value has the items' type."""

    class Lists(BaseModel):
        plain: Annotated[list[str], Index()] = []
        optional: Annotated[list[int | None] | None, Index()] = None
        unordered: Annotated[set[Colour], Index()] = set()
        frozen: frozenset[Annotated[Decimal, Index()]] = frozenset()
        fixed: Annotated[tuple[date, ...], Index()] = ()
        abstract: Annotated[Sequence[bool], Index()] | None = None
        aliased: Annotated[Words, Index()] = []

    found = fields(Lists)
    assert {name: field.kind.value for name, field in found.items()} == {
        "plain": "text", "optional": "integer", "unordered": "text", "frozen": "decimal", "fixed": "date",
        "abstract": "boolean", "aliased": "text",
    }  # fmt: skip
    assert all(field.is_list and not field.unique for field in found.values())
    assert found["optional"].filter_value("7") == 7
    assert found["frozen"].filter_value("1.50") == found["frozen"].filter_value(Decimal("1.5"))
    assert found["abstract"].filter_value("true") == 1
    with pytest.raises(ValueError, match="red"):
        found["unordered"].filter_value("blue")


def test_list_column_has_each_item_once_without_null() -> None:
    """An empty list is not null; an absent one is."""

    class Lists(BaseModel):
        tags: Annotated[list[str | None] | None, Index()] = None
        amounts: Annotated[list[Decimal], Index()] = []

    assert values(Lists, {"tags": ["b", "a", None, "b"], "amounts": ["1.0", "1", "2"]})["tags"] == ("b", "a")
    assert len(values(Lists, {"amounts": ["1.0", "1", "2"]})["amounts"]) == 2
    assert [values(Lists, data)["tags"] for data in ({}, {"tags": None})] == [None, None]
    assert [values(Lists, {"tags": tags})["tags"] for tags in ([], [None])] == [(), ()]
    with pytest.raises(InvalidData) as caught:
        values(Lists, {"tags": ["a", 7]})
    assert [(error.field, error.message) for error in caught.value.errors] == [
        ("tags", "is indexed as text, but is stored as int")
    ]


def test_path_leads_through_records_of_every_sort() -> None:
    """By markers and names. A path that ends early yields null."""

    class Home(BaseModel):
        address: Address | None = None
        owner: Person | None = None
        guests: list[Person] | None = None
        box: Box[int] | None = None

    names = ("owner.email", "address.street.number", "guests.nicknames")
    found = values(Home, {}, *names)
    assert list(found) == [
        "address.street.name", "address.codes", "address.street.number", "owner.name", "owner.email", "guests.name",
        "guests.nicknames", "box.item",
    ]  # fmt: skip
    assert set(found.values()) == {None}
    full = {
        "address": {"street": {"name": "High", "number": 3}, "codes": [1, 2]},
        "owner": {"name": "Ada", "email": None},
        "guests": [{"name": "Bob", "nicknames": ["B", "Bo"]}, {"nicknames": ["B"]}, {"name": "Bob"}],
        "box": {"item": 4},
    }
    assert values(Home, full, *names) == {
        "address.street.name": "High", "address.codes": (1, 2), "address.street.number": 3, "owner.name": "Ada",
        "owner.email": None, "guests.name": ("Bob",), "guests.nicknames": ("B", "Bo"), "box.item": 4,
    }  # fmt: skip
    assert values(Home, {"guests": []}, *names)["guests.name"] == ()
    assert values(Home, {"guests": "before it was a list", "owner": 7}, *names)["owner.name"] is None


def test_union_variants_share_their_fields() -> None:
    """A variant without the field yields null. A model may be a union."""

    class Owner(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
        others: list[Cat | Dog] = []

    class Pet(RootModel[Annotated[Cat | Dog, Field(discriminator="kind")]]):
        pass

    data = {"pet": {"kind": "dog", "name": "Rex"}, "others": [{"kind": "cat", "name": "Tom", "lives": 7}, {}]}
    assert values(Owner, data, "pet.kind", "pet.lives", "others.lives") == {
        "pet.name": "Rex", "pet.kind": "dog", "pet.lives": None, "others.name": ("Tom",), "others.lives": (7,),
    }  # fmt: skip
    kind = fields(Owner, "pet.kind")["pet.kind"]
    assert [kind.filter_value(value) for value in ("cat", "dog")] == ["cat", "dog"]
    with pytest.raises(ValueError, match="dog"):
        kind.filter_value("cow")
    assert values(Pet, {"kind": "cat", "name": "Tom", "lives": 3}, "lives") == {"name": "Tom", "lives": 3}


def test_recursive_record_is_followed_once() -> None:
    """A name may lead to any depth."""

    class Forest(BaseModel):
        tree: Node | None = None
        label: Annotated[str, Index()] = ""

    assert list(fields(Node)) == ["name"]
    assert list(fields(Forest)) == ["tree.name", "label"]
    assert list(fields(Node, "parent.parent.name", "children.children.name")) == [
        "name", "parent.parent.name", "children.children.name",
    ]  # fmt: skip


def test_index_field_has_the_name_of_answers_and_the_stored_path() -> None:
    """A Python name is accepted. An alias with a dot is no path."""

    class Inner(BaseModel):
        model_config = ConfigDict(alias_generator=to_camel)
        first_name: str = ""

    class Outer(BaseModel):
        the_inner: Inner | None = Field(None, alias="inner")
        dotted: str = Field("", alias="inner.other")

    for name in ("inner.firstName", "the_inner.first_name", "the_inner.firstName"):
        assert list(fields(Outer, name)) == ["inner.firstName"]
    assert values(Outer, {"the_inner": {"first_name": "Ada"}}, "inner.firstName") == {"inner.firstName": "Ada"}
    assert values(Outer, {"dotted": "x", "the_inner": {}}, "inner.other") == {"inner.other": "x"}


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (list[str] | str, "is a union of a list and another type"),
        (list[list[str]], "is not one scalar type"),
        (list[int | str], "is not one scalar type"),
        (list, "is not one scalar type"),
        (tuple[int, int], "is not one scalar type"),
        (dict[str, str], "is not one scalar type"),
        (Person, "is not one scalar type"),
        (list[Person], "is not one scalar type"),
        (bytes, "is not one scalar type"),
        (Any, "is not one scalar type"),
        (None, "is not one scalar type"),
        (JsonValue, "is a union of a list and another type"),
        (Annotated[list[str], Unique()], "a list cannot be unique"),
        (Annotated[str, Field(alias="a\0b")], "the name is empty, contains U+0000"),
        (Annotated[str, Field(alias="")], "the name is empty, contains U+0000"),
    ],
    ids=repr,
)
def test_unindexable_field_is_refused(annotation: Any, reason: str) -> None:
    """With field and reason."""
    model: Any = type("Model", (BaseModel,), {"__annotations__": {"field": annotation}, "__module__": __name__})
    message = refusal(model, "field")
    assert message.startswith("Model.")
    assert reason in message


def test_unindexable_nested_field_is_refused() -> None:
    """With its path."""

    class Account(BaseModel):
        code: Annotated[str, Unique()] = ""

    class Numbered(BaseModel):
        name: int = 0

    class Accounts(BaseModel):
        accounts: list[Account] = []

    class Written(BaseModel):
        name: str = ""

        @model_serializer
        def write(self) -> dict[str, str]:
            return {"text": self.name}

    class Hidden(BaseModel):
        one: Account
        written: Written

    class Either(BaseModel):
        one: Cat | Numbered

    assert "Accounts.accounts.code cannot be indexed: a list cannot be unique" in refusal(Accounts)
    assert "Hidden.written.name cannot be indexed: the JSON has no" in refusal(Hidden, "written.name")
    assert "Either.one.name cannot be indexed" in refusal(Either)
    assert fields(Hidden)["one.code"].unique
    for name in ("other", "one.other", "one.code.other", "one.", ".code", ""):
        assert f"Hidden has no field {name!r}" in refusal(Hidden, name)


def test_clashing_names_are_refused() -> None:
    """Names that differ in case only, or a path equal to a name with a dot."""

    class Inner(BaseModel):
        b: Annotated[str, Index()] = ""

    class Dotted(BaseModel):
        a: Inner | None = None
        dotted: Annotated[str, Index()] = Field("", alias="a.b")

    class Cased(BaseModel):
        name: Annotated[str, Index()] = ""
        NAME: Annotated[str, Index()] = ""

    class Ambiguous(BaseModel):
        a: Street | None = None
        dotted: str = Field("", alias="a.number")

    assert "two index fields have the name 'a.b'" in refusal(Dotted)
    assert "differ only in case" in refusal(Cased)
    assert "more than one field 'a.number'" in refusal(Ambiguous, "a.number")
