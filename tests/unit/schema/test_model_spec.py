"""Model specs: names, validation, stored JSON and index values."""

from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer

from autocrud.errors import ConfigurationError, InvalidData, InvalidParameter, MalformedBody
from autocrud.schema.markers import Index
from autocrud.schema.model_names import kebab_case
from autocrud.schema.model_spec import ModelSpec


class Film(BaseModel):
    title: Annotated[str, Index()] = Field("", alias="filmTitle")
    year: Annotated[int, Index()] = 0
    score: float = 0
    scores: dict[str, list[float]] = {}


class Pair(BaseModel):
    first: Annotated[str, Index()] = ""
    last: Annotated[str, Index()] = ""


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("HTTPRequestLog", "http-request-log"), ("Film", "film"), ("Film2D", "film2-d"), ("lower", "lower")],
)
def test_kebab_case_splits_at_capitals(class_name: str, name: str) -> None:
    """An acronym is one word."""
    assert kebab_case(class_name) == name


@pytest.mark.parametrize("name", ["", "Film", "a b", "a/b", "1a", "-a", "a--b", "x" * 49])
def test_model_spec_invalid_name_is_refused(name: str) -> None:
    """The message gives the class and the rule."""
    with pytest.raises(ConfigurationError, match=r"^Film: the name .* at most 48 lower-case letters"):
        ModelSpec(Film, name=name)


def test_model_spec_explicit_name_sets_the_label() -> None:
    """Two models with one class name need two labels."""
    assert (ModelSpec(Film).name, ModelSpec(Film).label) == ("film", "Film")
    assert ModelSpec(Film, name="old-film").label == "OldFilm"


def test_parse_tells_malformed_json_from_invalid_data() -> None:
    """Invalid data names the field."""
    spec = ModelSpec(Film)
    with pytest.raises(MalformedBody, match="not JSON"):
        spec.parse(b"{")
    with pytest.raises(InvalidData) as caught:
        spec.parse(b'{"year": "x"}')
    assert [error.field for error in caught.value.errors] == ["year"]
    with pytest.raises(InvalidData) as caught:
        spec.parse(b"7")
    assert [error.field for error in caught.value.errors] == ["(body)"]


def test_dump_and_decode_have_a_round_trip() -> None:
    """Stored JSON uses the names of the fields, and no alias."""
    spec = ModelSpec(Film)
    film = spec.validate({"filmTitle": "Alien", "year": 1979})
    assert spec.decode(spec.dump(film)) == film
    assert spec.dump(film) == b'{"title":"Alien","year":1979,"score":0.0,"scores":{}}'


def test_dump_non_finite_float_is_refused_with_its_path() -> None:
    """JSON would store null instead."""
    spec = ModelSpec(Film)
    with pytest.raises(InvalidData) as caught:
        spec.dump(spec.validate({"score": float("nan"), "scores": {"a": [1.0, float("inf")]}}))
    assert [(error.field, error.message) for error in caught.value.errors] == [
        ("score", "must be a finite number"),
        ("scores.a.1", "must be a finite number"),
    ]


def test_index_values_that_do_not_fit_name_the_field() -> None:
    """The columns have limits that the model lacks."""
    spec = ModelSpec(Film)
    assert spec.index_values(b'{"title": "Alien", "year": 1979}') == ("Alien", 1979)
    assert spec.index_values(b"{}") == (None, None)
    with pytest.raises(InvalidData) as caught:
        spec.index_values(b'{"year": 9223372036854775808}')
    assert [(error.field, "64 bits" in error.message) for error in caught.value.errors] == [("year", True)]


def test_stored_values_that_do_not_fit_are_none() -> None:
    """Old data may have another type."""
    spec = ModelSpec(Film)
    values, unfit = spec.stored_values(b'{"title": 7, "year": 1979}')
    assert (values, [field.name for field in unfit]) == ((None, 1979), ["filmTitle"])


def test_unique_texts_too_long_in_total_name_every_field() -> None:
    """Each value fits its column, but the set does not fit one index row."""
    spec = ModelSpec(Pair, unique_together=[("first", "last")])
    data = spec.dump(Pair(first="a" * 1500, last="b" * 501))
    with pytest.raises(InvalidData) as caught:
        spec.index_values(data)
    assert [error.field for error in caught.value.errors] == ["first", "last"]
    assert spec.stored_values(data)[0] == (None, None)
    assert spec.index_values(spec.dump(Pair(first="a" * 1500, last="b" * 500))) == ("a" * 1500, "b" * 500)


def test_index_field_of_unknown_name_lists_the_index_fields() -> None:
    """A client learns the allowed names."""
    assert ModelSpec(Film).index_field("year").name == "year"
    with pytest.raises(InvalidParameter, match="filmTitle, year"):
        ModelSpec(Film).index_field("score")


def test_model_with_excluded_field_is_refused() -> None:
    """The field would not be stored."""

    class Lossy(BaseModel):
        note: str = Field("", exclude=True)

    with pytest.raises(ConfigurationError, match=r"^Lossy\.note has exclude=True"):
        ModelSpec(Lossy)


def test_model_with_masked_secret_is_refused_unless_it_has_a_serializer() -> None:
    """Pydantic stores asterisks in place of a secret."""

    class Masked(BaseModel):
        token: SecretStr

    class Written(BaseModel):
        token: SecretStr

        @field_serializer("token")
        def write(self, value: SecretStr) -> str:
            return value.get_secret_value()

    with pytest.raises(ConfigurationError, match=r"^Masked: token is a secret"):
        ModelSpec(Masked)
    spec = ModelSpec(Written)
    assert spec.dump(Written(token=SecretStr("x"))) == b'{"token":"x"}'


def test_model_without_schema_is_refused() -> None:
    """Pydantic cannot describe the field."""

    class Opaque:
        pass

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        item: Opaque

    broken: Any = Holder
    with pytest.raises(ConfigurationError, match=r"^Holder cannot be a model"):
        ModelSpec(broken)


def test_validate_applies_defaults_and_converts_values() -> None:
    """A mapping becomes an instance."""

    class Priced(BaseModel):
        price: Decimal = Decimal(1)

    assert ModelSpec(Priced).validate({"price": "1.50"}) == Priced(price=Decimal("1.50"))
    assert ModelSpec(Priced).validate({}).price == 1


def test_text_of_invalid_data_names_the_fields() -> None:
    """Each field with its message."""

    class Book(BaseModel):
        title: str
        year: int

    with pytest.raises(InvalidData) as caught:
        ModelSpec(Book).validate({"year": "x"})
    assert str(caught.value) == (
        "The book is not valid: title: Field required; year: Input should be a valid integer, unable to parse string as"
        " an integer."
    )
    assert str(InvalidData("The body is not valid.")) == "The body is not valid."
