"""Example of connected models: `AUTOCRUD_MODELS=examples.cinema make run`."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel

from autocrud import AutoCRUD, Index, OnDelete, Ref, Unique


class Director(BaseModel):
    """A person who directs films."""

    name: Annotated[str, Index(text=True)]
    born: Annotated[date | None, Index()] = None


class Film(BaseModel):
    """A film. Title and year are unique together."""

    title: Annotated[str, Index(text=True), Unique(group="edition")]
    year: Annotated[int, Unique(group="edition")]
    genres: Annotated[list[str], Index()] = []
    rating: Annotated[Decimal | None, Index()] = None
    director: Annotated[str | None, Ref("director", on_delete=OnDelete.set_null)] = None
    plot: Annotated[str, Index(text=True, filters=False)] = ""


def register(crud: AutoCRUD) -> None:
    """Register the models."""
    crud.add_model(Director)
    crud.add_model(Film, temporal=True)
