"""Markers on computed fields."""

from typing import Annotated

import pytest
from pydantic import BaseModel, computed_field
from pydantic.dataclasses import dataclass

from autocrud import Index, Unique
from autocrud.errors import ConfigurationError
from autocrud.schema.model_spec import ModelSpec


class Square(BaseModel):
    """A model with an index on a computed field."""

    side: int

    @computed_field
    def area(self) -> Annotated[int, Index()]:
        """The area."""
        return self.side**2


class Drawing(BaseModel):
    """A model with such a model inside."""

    squares: list[Square] = []


@dataclass
class Word:
    """A dataclass with a list of unique values."""

    text: str

    @computed_field
    def letters(self) -> list[Annotated[str, Unique()]]:
        """The letters."""
        return list(self.text)


class Circle(BaseModel):
    """A model with a computed field without a marker."""

    radius: Annotated[int, Index()]

    @computed_field
    def diameter(self) -> int:
        """The diameter."""
        return 2 * self.radius


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Square, r"Square.area is a computed field, which cannot have Index\(\)"),
        (Drawing, r"Square.area is a computed field, which cannot have Index\(\)"),
        (Word, r"Word.letters is a computed field, which cannot have Unique\(\)"),
    ],
)
def test_marker_on_computed_field_is_refused(model: type, message: str) -> None:
    """Also inside a list of records."""
    with pytest.raises(ConfigurationError, match=message):
        ModelSpec(model)


def test_computed_field_without_marker_is_accepted() -> None:
    """The index fields are the marked fields."""
    assert [field.name for field in ModelSpec(Circle).index_fields] == ["radius"]
