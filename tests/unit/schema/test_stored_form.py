"""Stored form: models that are refused, values that are refused, and equal bytes in every process."""

import dataclasses
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
    model_validator,
)

from autocrud.errors import ConfigurationError, InvalidData, ValidatorNotIdempotent
from autocrud.schema.model_spec import ModelSpec
from tests.servers import ROOT


class Hidden(BaseModel):
    """A record with an excluded field."""

    note: str = Field("", exclude=True)


class Holder(BaseModel):
    """A model with such a record."""

    items: list[Hidden] = []


class Swapped(BaseModel):
    """A model whose alias is the name of another field."""

    first: int = Field(0, alias="second")
    second: int = 0


class Doubled(BaseModel):
    """A model with two fields of one name in answers."""

    first: int = Field(0, serialization_alias="value")
    second: int = Field(0, serialization_alias="value")


class Covered(BaseModel):
    """A model whose computed field has the alias of a field."""

    side: int = Field(0, serialization_alias="area")

    @computed_field(alias="area")
    def square(self) -> int:
        """Return the area."""
        return self.side**2


class Omitted(BaseModel):
    """A model that leaves a required field out of some answers."""

    size: int = Field(exclude_if=lambda value: value == 0)


class Nested(BaseModel):
    """A model with a secret inside a list."""

    tokens: list[SecretStr] = []


@dataclasses.dataclass
class Seeded:
    """A dataclass with a parameter that is no field."""

    name: str
    seed: dataclasses.InitVar[int]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Holder, r"^Hidden\.note has exclude=True.*remove exclude=True"),
        (Swapped, r"^Swapped\.first has the alias 'second', the name of another field.*choose another alias"),
        (Doubled, r"^Doubled\.value is one of 2 fields with this name in answers"),
        (Covered, r"^Covered\.side shares the name 'area' with a computed field"),
        (Omitted, r"^Omitted\.size has exclude_if and no default"),
        (Nested, r"^Nested: tokens is a secret.*add a serializer"),
        (Seeded, r"^Seeded\.seed is an InitVar"),
    ],
)
def test_model_that_loses_data_is_refused_with_the_remedy(model: Any, message: str) -> None:
    """The message names the field and what to do."""
    with pytest.raises(ConfigurationError, match=message):
        ModelSpec(model)


class Loose(BaseModel):
    """A model with extra values and an alias."""

    model_config = ConfigDict(extra="allow")

    full_name: str = Field("", alias="fullName")


class Careless(BaseModel):
    """A model with a factory of defaults of another type."""

    name: str = Field(default_factory=lambda: None)  # type: ignore[assignment]


class Either(BaseModel):
    """A model with a union whose variants can have one JSON."""

    value: str | date


class Quiet(BaseModel):
    """A model that leaves a value out of answers that is not the default."""

    size: int = Field(5, exclude_if=lambda value: value == 0)


def stored(spec: ModelSpec[Any], value: Any) -> bytes:
    """Return the checked stored form of a value."""
    validated = spec.parse(value) if isinstance(value, bytes) else spec.validate(value)
    return spec.check(validated, spec.dump(validated))


@pytest.mark.parametrize(
    ("model", "value", "field"),
    [
        (Loose, Loose(fullName="a", full_name="b"), "fullName"),  # type: ignore[call-arg]  # an extra value
        (Careless, b"{}", "name"),
        (Either, Either(value="2026-01-02").model_copy(update={"value": b"x"}), "value"),
        (Quiet, b'{"size": 0}', "size"),
    ],
)
def test_value_that_does_not_read_back_is_refused_with_its_field(model: Any, value: Any, field: str) -> None:
    """Its stored form would be another value."""
    with pytest.raises(InvalidData) as caught:
        stored(ModelSpec(model), value)
    assert [error.field for error in caught.value.errors] == [field]


def test_extra_value_with_the_name_of_an_answer_becomes_the_field() -> None:
    """No name appears twice in the stored form or in an answer."""
    spec = ModelSpec(Loose)
    data = stored(spec, b'{"fullName": "a", "full_name": "b", "note": 1}')
    assert (data, spec.show(data)) == (b'{"full_name":"a","note":1}', b'{"fullName":"a","note":1}')


class Divided(BaseModel):
    """A model whose validators are not idempotent."""

    prices: list[float]
    title: str = ""

    @field_validator("prices")
    @classmethod
    def _divide(cls, values: list[float]) -> list[float]:
        return [value / 100 for value in values]


class Slug(BaseModel):
    """A model whose validator derives a field, and is idempotent."""

    title: str
    slug: str = ""

    @model_validator(mode="after")
    def _derive(self) -> "Slug":
        self.slug = self.title.lower()
        return self


def test_reading_leaves_the_result_of_a_validator_unchanged() -> None:
    """The error of a patch names the field."""
    spec = ModelSpec(Divided)
    data = stored(spec, b'{"prices": [500, 0]}')
    assert spec.decode(data) == Divided.model_construct(prices=[5.0, 0.0], title="")
    with pytest.raises(ValidatorNotIdempotent) as caught:
        spec.check_idempotent(data)
    assert [error.field for error in caught.value.errors] == ["prices.0"]


def test_idempotent_validator_is_accepted() -> None:
    """A derived value follows the values that it is derived from."""
    spec = ModelSpec(Slug)
    data = stored(spec, b'{"title": "Emma"}')
    spec.check_idempotent(data)
    assert spec.parse_stored(data.replace(b"Emma", b"Max")).slug == "max"


class Written(BaseModel):
    """A model with a secret that its serializer hides."""

    token: SecretStr

    @field_serializer("token")
    def _hide(self, value: SecretStr) -> str:
        return "hidden"


def test_secret_is_stored_by_its_value() -> None:
    """Answers have what the serializer writes."""
    spec = ModelSpec(Written)
    data = stored(spec, b'{"token": "x"}')
    assert (data, spec.show(data)) == (b'{"token":"x"}', b'{"token":"hidden"}')


def test_data_that_no_longer_validates_is_shown_with_the_names_of_answers() -> None:
    """A list must not break because of one old resource."""
    assert ModelSpec(Loose).show(b'{"full_name":7}') == b'{"fullName":7}'


_SCRIPT = """
from pydantic import BaseModel
from autocrud.schema.model_spec import ModelSpec
class Labelled(BaseModel):
    labels: set[str]
    groups: dict[str, frozenset[frozenset[int]]]
spec = ModelSpec(Labelled)
value = spec.validate({"labels": {f"label-{n}" for n in range(50)}, "groups": {"a": [[3, 1], [2]]}})
print(spec.dump(value).decode())
"""


def test_stored_form_of_a_set_is_equal_in_every_process(tmp_path: Path) -> None:
    """The order of a set in Python depends on the hash seed."""
    outputs = set()
    for seed in ("1", "2", "3"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        run = subprocess.run([sys.executable, "-c", _SCRIPT], env=env, cwd=tmp_path, capture_output=True, check=True)
        outputs.add(run.stdout)
    assert len(outputs) == 1
