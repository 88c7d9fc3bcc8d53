"""Schema examples: a valid value for each JSON schema."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from autocrud.routes.response.schema_examples import example_of


class Colour(StrEnum):
    """A colour."""

    red = "red"
    blue = "blue"


class Node(BaseModel):
    """A model with each kind of field, and with itself."""

    kind: Literal["node"]
    name: str = Field(min_length=6, max_length=8)
    code: str = Field(max_length=2)
    day: date
    colour: Colour
    count: Annotated[int, Field(ge=3)]
    ratio: Annotated[float, Field(gt=3)]
    is_open: bool
    tags: list[str] = Field(min_length=2)
    parent: "Node | None" = None
    free: dict[str, int]


def test_example_of_model_is_valid() -> None:
    """The example respects the bounds, and ends in spite of the recursion."""
    example = example_of(Node.model_json_schema())
    assert Node.model_validate({**example, "parent": None}) == Node(
        kind="node", name="textxx", code="te", day=date(2026, 1, 2), colour=Colour.red, count=3, ratio=4, is_open=True,
        tags=["text", "text"], free={},
    )  # fmt: skip
    assert example["parent"]["name"] == "textxx"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "examples": ["own"], "default": "d"}, "own"),
        ({"type": "string", "default": "d"}, "d"),
        ({"type": "integer", "default": None, "anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"type": "array"}, []),
        ({}, None),
        (True, None),
    ],
)
def test_example_of_schema_prefers_its_own_values(schema: dict[str, object], expected: object) -> None:
    """The order is examples, constant or default, options, type."""
    assert example_of({"type": "object", "properties": {"field": schema}}) == {"field": expected}
