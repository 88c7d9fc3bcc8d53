"""Unique constraints: declarations, their order, and refusals."""

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from autocrud.errors import ConfigurationError
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.claims import unique_values


class Film(BaseModel):
    """A film."""

    year: Annotated[int, Unique(group="film"), Unique(group="run")] = 0
    code: Annotated[str, Unique()] = ""
    title: Annotated[str, Index(), Unique(group="film")] = Field("", alias="filmTitle")
    run: Annotated[int, Unique(group="run"), Unique()] = 0
    studio: str = ""
    country: str = Field("", alias="madeIn")


def test_constraints_follow_the_order_of_their_first_fields() -> None:
    """Declared ones come last. A unique field becomes an index field."""
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
    assert unique_values(spec.unique_constraints[4], [1, "c", "t", 2, "s", "x"]) == ("s", "t")
    assert unique_values(spec.unique_constraints[4], [1, "c", None, 2, "s", "x"]) is None


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
def test_invalid_constraint_is_refused(together: Any, reason: str) -> None:
    """When the model is registered."""
    with pytest.raises(ConfigurationError, match=f"Film.*{reason}"):
        ModelSpec(Film, unique_together=together)


def test_group_of_one_field_is_refused() -> None:
    """Use `Unique()` without a group instead."""

    class Lonely(BaseModel):
        code: Annotated[str, Unique(group="all")] = ""

    with pytest.raises(ConfigurationError, match=r"Lonely\.code is the only field of the group 'all'"):
        ModelSpec(Lonely)
