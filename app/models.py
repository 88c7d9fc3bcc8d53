"""Shipped models: films, people and documents."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, field_validator

from autocrud import AutoCRUD, Binary, Index, OnDelete, Ref, Unique


class MovieRating(StrEnum):
    """Rating of the rating board. Some values are historic."""

    g = "G"
    m = "M"
    m_pg = "M/PG"
    gp = "GP"
    pg = "PG"
    pg_13 = "PG-13"
    r = "R"
    nc_17 = "NC-17"
    x = "X"


def _blank_to_null(value: object) -> object:
    return None if value == "" else value


def _split_names(value: object) -> object:
    if value is None:
        return []
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


# Film data writes "unknown" as null or as an empty text, and joins names with commas.
Names = Annotated[list[str], BeforeValidator(_split_names, json_schema_input_type=list[str] | str | None)]
Blank = Literal[""]
# A text that fits an index field and has at least one visible character.
Line = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
ImdbId = Annotated[str, StringConstraints(pattern=r"^tt[0-9]{7,}$")]
Money = Annotated[
    Decimal,
    Field(ge=0, max_digits=18, decimal_places=2),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,16}([.][0-9]{1,2})?$"}),
]


class Movie(BaseModel):
    """A film. Running time is in minutes, money in US dollars. Unknown values are null or an empty list."""

    model_config = ConfigDict(str_strip_whitespace=True)

    title: Annotated[Line, Index(text=True)] = Field(examples=["The Third Man"])
    imdb_id: Annotated[
        ImdbId | None, Unique(), BeforeValidator(_blank_to_null, json_schema_input_type=ImdbId | Blank | None)
    ] = Field(None, examples=["tt0041959"])
    year: Annotated[int | None, Index()] = Field(None, ge=1874, le=2100, examples=[1949])
    rating: Annotated[
        MovieRating | None, Index(), BeforeValidator(_blank_to_null, json_schema_input_type=MovieRating | Blank | None)
    ] = Field(None, examples=["PG"])
    released: Annotated[
        date | None, Index(), BeforeValidator(_blank_to_null, json_schema_input_type=date | Blank | None)
    ] = Field(None, examples=["1949-08-31"])
    running_minutes: int | None = Field(None, gt=0, examples=[104])
    genres: Annotated[Names, Index()] = Field(default_factory=list, examples=[["Thriller", "Mystery"]])
    directors: Annotated[Names, Index()] = Field(default_factory=list, examples=[["Carol Reed"]])
    cast: Annotated[Names, Index()] = Field(
        default_factory=list, examples=[["Joseph Cotten", "Alida Valli", "Orson Welles"]]
    )
    countries: Names = Field(default_factory=list, examples=[["United Kingdom"]])
    metacritic: Annotated[int | None, Index()] = Field(None, ge=0, le=100, examples=[97])
    box_office: Annotated[Money | None, Index()] = Field(None, examples=["1067364"])
    oscars: int = Field(0, ge=0, examples=[1])


class Person(BaseModel):
    """A person who makes films."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: Annotated[Line, Index()] = Field(examples=["Carol Reed"])
    email: Annotated[str | None, Unique()] = Field(
        None, max_length=254, pattern=r"^[^@\s\x00\x85]+@[^@\s\x00\x85]+$", examples=["carol@example.com"]
    )
    born: date | None = Field(None, examples=["1906-12-30"])

    @field_validator("email")
    @classmethod
    def _lower_email(cls, value: str | None) -> str | None:
        return value.lower() if value else value


class Paragraph(BaseModel):
    """A text part of a document."""

    kind: Literal["paragraph"]
    text: str = Field(examples=["It was the autumn of 1948."])


class Link(BaseModel):
    """A link in a document."""

    kind: Literal["link"]
    url: str = Field(pattern="^https?://", examples=["https://example.com/"])
    text: str | None = None


class Document(BaseModel):
    """A text in parts, with attachments."""

    title: Annotated[Line, Index(text=True)] = Field(examples=["Notes on Vienna"])
    author: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = Field(None, examples=[None])
    language: Annotated[str, Index()] = Field("en", pattern="^[a-z]{2}$", examples=["en"])
    tags: Annotated[list[Line], Index()] = Field(default_factory=list, examples=[["draft"]])
    parts: list[Annotated[Paragraph | Link, Field(discriminator="kind")]] = Field(default_factory=list)
    attachments: list[Binary] = Field(default_factory=list, max_length=100)


def register(crud: AutoCRUD) -> None:
    """Register the shipped models."""
    crud.add_model(Movie)
    crud.add_model(Person)
    crud.add_model(Document)
