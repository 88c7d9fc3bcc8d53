"""What the service does with connected models: `AUTOCRUD_MODELS=examples.cinema make run`."""

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel

from autocrud import AutoCRUD, Index, OnDelete, Ref, Unique


class Director(BaseModel):
    """Somebody who makes films."""

    name: Annotated[str, Index(text=True)]
    born: Annotated[date | None, Index()] = None


class Film(BaseModel):
    """A film; no two of one year have the same title."""

    title: Annotated[str, Index(text=True), Unique(group="edition")]
    year: Annotated[int, Unique(group="edition")]
    genres: Annotated[list[str], Index()] = []
    rating: Annotated[Decimal | None, Index()] = None
    director: Annotated[str | None, Ref("director", on_delete=OnDelete.set_null)] = None
    plot: Annotated[str, Index(text=True, filters=False)] = ""


def register(crud: AutoCRUD) -> None:
    """Add the models to the service."""
    crud.add_model(Director)
    crud.add_model(Film, temporal=True)
