"""What can be declared unique, in which order, and what cannot."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from autocrud.errors import ConfigurationError
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec


class Film(BaseModel):
    """A film."""

    year: Annotated[int, Unique(group="film"), Unique(group="run")] = 0
    code: Annotated[str, Unique()] = ""
    title: Annotated[str, Index(), Unique(group="film")] = Field("", alias="filmTitle")
    run: Annotated[int, Unique(group="run"), Unique()] = 0
    studio: str = ""
    country: str = Field("", alias="madeIn")


def test_sets_stand_in_the_order_of_their_first_fields_and_declared_ones_behind() -> None:
    """What is unique together becomes an index field; a group's fields need not stand side by side."""
    spec = ModelSpec(Film, unique_together=[("studio", "filmTitle"), ("madeIn", "year")])
    assert [unique.names for unique in spec.unique_constraints] == [
        ("year", "filmTitle"),
        ("year", "run"),
        ("code",),
        ("run",),
        ("studio", "filmTitle"),
        ("madeIn", "year"),
    ]
    assert [field.name for field in spec.index_fields] == ["year", "code", "filmTitle", "run", "studio", "madeIn"]
    assert [field.name for field in spec.index_fields if field.unique] == ["code", "run"]
    assert spec.unique_constraints[4].claim([1, "c", "t", 2, "s", "x"]) == ("s", "t")
    assert spec.unique_constraints[4].claim([1, "c", None, 2, "s", "x"]) is None


@pytest.mark.parametrize(("together", "reason"), [
    ([("studio",)], "must name two or more different fields"),
    ([("studio", "studio")], "must name two or more different fields"),
    ([()], "must name two or more different fields"),
    (["studio"], "must be a list of sets"),
    ("studio", "must be a list of sets"),
    (("studio", "run"), "must be a list of sets"),
    ([("studio", "nothing")], "no field 'nothing' to index"),
    ([("studio", "title")], "names 'title', which is not an index field; index fields: year, code, filmTitle"),
    ([("filmTitle", "year")], "filmTitle, year are declared unique as a set twice"),
])  # fmt: skip
def test_a_set_that_cannot_be_is_refused(together: Any, reason: str) -> None:
    """When the model is registered, with what is wrong with it."""
    with pytest.raises(ConfigurationError, match=f"Film.*{reason}"):
        ModelSpec(Film, unique_together=together)


def test_a_group_of_one_field_is_refused() -> None:
    """It is a slip of the pen, or a field that is unique alone."""

    class Lonely(BaseModel):
        code: Annotated[str, Unique(group="all")] = ""

    with pytest.raises(ConfigurationError, match=r"Lonely\.code is the only field of the group 'all'"):
        ModelSpec(Lonely)
