"""Defaults that do not fit their type are refused at registration."""

import dataclasses
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PastDate,
    TypeAdapter,
    ValidationInfo,
    create_model,
    field_validator,
)

from autocrud.errors import ConfigurationError
from autocrud.schema.model_spec import ModelSpec


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("empty")
    return value


class Inner(BaseModel):
    """A nested record with a default that does not fit."""

    number: int = None  # type: ignore[assignment]


class Linked(BaseModel):
    """A model whose validator needs another field."""

    first: int
    second: str = ""

    @field_validator("second")
    @classmethod
    def _check(cls, value: str, info: ValidationInfo) -> str:
        return value if info.data["first"] else ""


class Node(BaseModel):
    """A recursive model with defaults that fit."""

    parent: "Node | None" = None
    children: list["Node"] = []
    size: float = 0
    price: Decimal = Decimal(0)
    day: date = date(2026, 1, 1)
    code: Annotated[str, Field(min_length=3)] = "abc"
    content: bytes = b"abc"
    kind: Literal["a", "b"] | None = None


@pytest.mark.parametrize(
    ("annotation", "default", "reason"),
    [
        (str, None, "should be a valid string"),
        (int, 1.5, "fractional part"),
        (set[str], [], "another value"),
        (Annotated[str, Field(min_length=3)], "", "at least 3 characters"),
        (Annotated[str, AfterValidator(_not_empty)], "", "empty"),
        (Annotated[str | None, BeforeValidator(str.strip)], None, "TypeError"),
        (Literal["a", "b"], "c", "'a' or 'b'"),
        (PastDate, date(2999, 1, 1), "in the past"),
        (Any, object(), "serialize"),
        (float, float("nan"), "valid number"),
        (Inner, {}, "valid integer"),
    ],
)
def test_default_that_does_not_fit_is_refused_with_field_and_remedy(annotation: Any, default: Any, reason: str) -> None:
    """A write without the field could not be read back."""
    model = create_model("Model", field=(annotation, default), other=(str, ""))
    with pytest.raises(ConfigurationError, match=r"\.(field|number) has the default") as caught:
        ModelSpec(model)
    assert reason in str(caught.value)
    assert "choose a default that the type accepts" in str(caught.value)


def test_default_of_a_nested_record_or_a_dataclass_is_checked() -> None:
    """The error names the record of the field."""
    with pytest.raises(ConfigurationError, match=r"Inner\.number has the default None"):
        ModelSpec(create_model("Outer", inners=(dict[str, Inner], {})))

    @dataclasses.dataclass
    class Point:
        """A dataclass."""

        x: int = None  # type: ignore[assignment]

    with pytest.raises(ConfigurationError, match=r"Point\.x has the default None"):
        ModelSpec(Point)


def test_default_is_checked_with_the_settings_of_the_model() -> None:
    """A strict model takes no text for a number, and `validate_default` validates the default itself."""
    strict = create_model("Strict", __config__=ConfigDict(strict=True), number=(int, "1"))
    with pytest.raises(ConfigurationError, match=r"Strict\.number has the default '1'"):
        ModelSpec(strict)
    lax = create_model("Lax", __config__=ConfigDict(validate_default=True), number=(int, "1"))
    assert ModelSpec(lax).dump(lax()) == b'{"number":1}'
    encoded = create_model("Encoded", __config__=ConfigDict(val_json_bytes="base64"), content=(bytes, b"abc"))
    assert ModelSpec(encoded).dump(encoded()) == b'{"content":"YWJj"}'


def test_default_that_fits_is_accepted() -> None:
    """A validator that needs other fields is not called."""
    for model in (Node, Linked):
        assert ModelSpec(model).name
    assert TypeAdapter(Node).dump_python(Node())["size"] == 0
