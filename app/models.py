"""The models that the service ships with: films, the people who make them, and documents."""

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from autocrud import AutoCRUD, Index, Unique


class MovieRating(StrEnum):
    """The rating board's verdict, where there is one."""

    g = "G"
    pg = "PG"
    pg_13 = "PG-13"
    r = "R"
    nc_17 = "NC-17"
    open = "Open"
    not_rated = "Not Rated"


class Movie(BaseModel):
    """A film. Money is in US dollars, running time in minutes; what is not known is null."""

    model_config = ConfigDict(str_strip_whitespace=True)

    title: Annotated[str, Index()] = Field(min_length=1, examples=["The Third Man"])
    director: Annotated[str | None, Index()] = Field(None, examples=["Carol Reed"])
    genre: Annotated[str | None, Index()] = Field(None, examples=["Thriller/Suspense"])
    rating: Annotated[MovieRating | None, Index()] = Field(None, examples=["Not Rated"])
    release_date: date | None = Field(None, examples=["1949-08-31"])
    running_minutes: int | None = Field(None, gt=0, examples=[104])
    distributor: str | None = Field(None, examples=["British Lion Films"])
    production_budget: Decimal | None = Field(None, ge=0, examples=["500000"])
    us_gross: Decimal | None = Field(None, ge=0, examples=["596349"])
    worldwide_gross: Decimal | None = Field(None, ge=0)
    imdb_rating: float | None = Field(None, ge=0, le=10, examples=[8.1])
    imdb_votes: int | None = Field(None, ge=0, examples=[180000])

    @field_validator("title", mode="before")
    @classmethod
    def _title_is_text(cls, value: object) -> object:
        # Data sets read "300" or "1776" as numbers; they are titles all the same.
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Person(BaseModel):
    """Somebody who makes films."""

    model_config = ConfigDict(str_strip_whitespace=True)

    name: Annotated[str, Index()] = Field(min_length=1, examples=["Carol Reed"])
    email: Annotated[str | None, Unique()] = Field(None, pattern=r"^[^@\s]+@[^@\s]+$", examples=["carol@example.com"])
    born: date | None = Field(None, examples=["1906-12-30"])

    @field_validator("email")
    @classmethod
    def _email_in_lower_case(cls, value: str | None) -> str | None:
        return value.lower() if value else value


class Paragraph(BaseModel):
    """A part of a document that is text."""

    kind: Literal["paragraph"] = "paragraph"
    text: str = Field(examples=["It was the autumn of 1948."])


class Link(BaseModel):
    """A part of a document that leads elsewhere."""

    kind: Literal["link"] = "link"
    url: str = Field(pattern="^https?://", examples=["https://example.com/"])
    text: str | None = None


class Document(BaseModel):
    """A text in parts, which change while it is written."""

    title: Annotated[str, Index()] = Field(min_length=1, examples=["Notes on Vienna"])
    language: Annotated[str, Index()] = Field("en", pattern="^[a-z]{2}$", examples=["en"])
    tags: list[str] = Field(default_factory=list, examples=[["draft"]])
    parts: list[Annotated[Paragraph | Link, Field(discriminator="kind")]] = Field(default_factory=list)


def register(crud: AutoCRUD) -> None:
    """Add the models to the service."""
    crud.add_model(Movie)
    crud.add_model(Person)
    crud.add_model(Document)
