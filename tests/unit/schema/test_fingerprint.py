"""Fingerprints of models, their changes in words, and the step that fits."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, NotRequired

import pytest
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, create_model
from typing_extensions import TypedDict

from autocrud import Schema
from autocrud.schema.versions.fingerprint import Fingerprint, fingerprint_of
from autocrud.schema.versions.fingerprint_changes import FieldChange, find_changes
from autocrud.schema.versions.suggested_step import suggested_code
from tests.servers import ROOT, environment


class City(BaseModel):
    """A part of a model."""

    name: str
    country: str = "Austria"


class CityWithZip(BaseModel):
    """The part with one more required field."""

    name: str
    country: str = "Austria"
    zip: str


class Node(BaseModel):
    """A model that is a part of itself."""

    value: int
    children: list["Node"] = []


class Color(StrEnum):
    """Colors."""

    red = "red"
    blue = "blue"


class Record(TypedDict):
    """A TypedDict."""

    title: str
    year: NotRequired[int]


@dataclass
class Pair:
    """A dataclass."""

    left: int
    right: int = 0


class Everything(BaseModel):
    """Fields of many types, with a set whose order depends on the hash seed."""

    text: Annotated[str, Field(max_length=10)]
    amount: Decimal = Decimal(1)
    color: Color = Color.red
    letters: Literal["b", "a"] = "a"
    cities: dict[str, City] = {}
    pairs: set[int] | tuple[int, str] | None = None
    node: Node | None = None
    when: datetime | date | None = None
    any: Any = None
    custom: Annotated[object, PlainValidator(lambda value: value)] = Field(default_factory=object)


def changes(old: Any, new: Any) -> list[FieldChange]:
    """Return the changes between the fingerprints of two types of the field `x`, or of two models."""
    models = [kind if hasattr(kind, "model_fields") else create_model("Model", x=kind) for kind in (old, new)]
    first, second = (fingerprint_of(TypeAdapter(model)) for model in models)
    return find_changes(first, second)


def test_fingerprint_is_equal_in_every_process_and_survives_json() -> None:
    """Hash seeds do not matter."""
    code = (
        "from pydantic import TypeAdapter; from tests.unit.schema.test_fingerprint import *;"
        "print(TypeAdapter(Fingerprint).dump_json(fingerprint_of(TypeAdapter(Everything))).decode())"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment({}) | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    (text,) = texts
    fingerprint = TypeAdapter(Fingerprint).validate_json(text)
    assert find_changes(fingerprint, fingerprint_of(TypeAdapter(Everything))) == []
    paths = {".".join(form.path) for form in fingerprint}
    assert {"text", "cities.*.name", "pairs.[]", "node.children.[]"} <= paths


def test_fingerprint_leaves_out_names_texts_and_defaults() -> None:
    """A title, a description, an alias, a default, the class and the order of fields do not count."""
    old = create_model("Old", x=(int, 1), y=(City | None, None))
    options: Any = {"title": "X", "description": "text", "alias": "ex", "examples": [1]}
    new = create_model("New", y=(City | None, None), x=(int, Field(2, **options)))
    assert changes(old, new) == []
    assert fingerprint_of(TypeAdapter(Record))[1].required
    assert not fingerprint_of(TypeAdapter(Pair))[2].required


@pytest.mark.parametrize(
    ("old", "new", "text", "is_noticed"),
    [
        ((str, ...), (str, ""), "field x is optional now", False),
        ((str, ""), (str, ...), "field x is required now", True),
        ((int, ...), (str, ...), "field x changed from integer to string", True),
        ((int, ...), (float, ...), "field x changed from integer to number", False),
        ((float, ...), (int, ...), "field x changed from number to integer", True),
        ((str, ...), (str | None, ...), "field x changed from string to null or string", False),
        ((str | None, ...), (str, ...), "field x changed from null or string to string", True),
        ((datetime, ...), (date, ...), "field x changed from date-time string to date string", True),
        ((date, ...), (str, ...), "field x changed from date string to string", False),
        ((Literal["a"], ...), (Literal["a", "b"], ...), 'field x changed from "a" to "a" or "b"', False),
        ((Literal["a", "b"], ...), (Literal["b"], ...), 'field x changed from "a" or "b" to "b"', True),
        ((Literal["a"], ...), (str, ...), 'field x changed from "a" to string', False),
        ((list[int], ...), (set[int], ...), "field x changed from array to array (uniqueItems True)", True),
        ((list[int], ...), (list[float], ...), "field x[] changed from integer to number", False),
        ((City, ...), (CityWithZip, ...), "field x.zip was added and is required", True),
        ((dict[str, City], ...), (dict[str, str], ...), "field x.* changed from object to string", True),
        ((Annotated[str, Field(max_length=5)], ...), (Annotated[str, Field(max_length=9)], ...), None, False),
        ((Annotated[str, Field(max_length=9)], ...), (Annotated[str, Field(max_length=5)], ...), None, True),
        ((Annotated[int, Field(gt=1)], ...), (Annotated[int, Field(gt=2)], ...), None, True),
        ((Annotated[str, Field(pattern="a")], ...), (Annotated[str, Field(pattern="b")], ...), None, True),
        ((City, ...), (City | Node, ...), "field x.name is optional now", False),
        ((Any, ...), (int, ...), "field x changed from any to integer", True),
    ],
)
def test_change_of_a_field_is_named_and_judged(old: Any, new: Any, text: str | None, is_noticed: bool) -> None:
    """A wider type fits all stored data."""
    found = changes(old, new)
    assert text is None or text in map(str, found)
    assert any(change.is_noticed for change in found) is is_noticed


def test_extra_values_that_are_no_longer_allowed_are_noticed() -> None:
    """Only a model that allowed them has them in its data."""
    models: dict[Any, Any] = {
        extra: create_model("Model", __config__=ConfigDict(extra=extra), x=(int, ...))
        for extra in ("allow", "ignore", "forbid")
    }
    assert [str(change) for change in changes(models["allow"], models["ignore"])] == [
        "the model changed from object (extra allow) to object"
    ]
    assert changes(models["allow"], models["forbid"])[0].is_noticed
    assert not changes(models["ignore"], models["allow"])[0].is_noticed
    assert not changes(models["ignore"], models["forbid"])[0].is_noticed


@pytest.mark.parametrize(
    ("old", "new", "functions"),
    [
        ({"title": (str, ...)}, {"headline": (str, ...)}, 'rename("title", "headline")'),
        ({"title": (str, ...)}, {}, 'remove("title")'),
        ({"title": (str, ...)}, {"year": (int, ...)}, 'remove("title"), fill("year", 0)'),
        ({"year": (str, ...)}, {"year": (int | None, ...)}, 'convert("year", int)'),
        ({"year": (str, ...)}, {"year": (date, ...)}, 'convert("year", your_function)'),
        ({"year": (int | None, ...)}, {"year": (int, ...)}, 'fill("year", 0, nulls=True)'),
        ({"x": (list[City], ...)}, {"x": (list[CityWithZip], ...)}, 'fill("x.zip", "")'),
        ({"x": (dict[str, City], ...)}, {"x": (dict[str, CityWithZip], ...)}, "your_function"),
        ({"x": (City, ...)}, {"x": (City | CityWithZip, ...)}, "your_function"),  # no change that data may not fit
        ({"x": (int, ...)}, {"x": (int, ...), "color": (Color, ...)}, "fill(\"color\", 'blue')"),
    ],
)
def test_suggested_step_fits_the_change(old: Any, new: Any, functions: str) -> None:
    """The line of code can be copied."""
    found = changes(create_model("Old", **old), create_model("New", **new))
    code = suggested_code("Article", Schema(1), found)
    assert code == f"add_model(Article, schema=Schema(2).step(1, 2, {functions}))"


def test_suggested_step_follows_existing_steps() -> None:
    """The steps that a schema has stay."""
    schema = Schema(3, oldest=2).step(2, 3)
    code = suggested_code("Article", schema, changes((str, ...), (int, ...)))
    assert code == 'add_model(Article, schema=Schema(4, oldest=2).step(2, 3, …).step(3, 4, convert("x", int)))'
