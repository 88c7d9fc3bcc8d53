"""Model of the query tests: a field of each sort that queries treat in its own way."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel

from autocrud import Index, Ref
from autocrud.query.resolver import Resolver
from autocrud.schema.model_spec import ModelSpec


class Film(BaseModel):
    """A film."""

    title: Annotated[str, Index(text=True)]
    year: Annotated[int | None, Index()] = None
    rating: Annotated[Decimal | None, Index()] = None
    shown_at: Annotated[datetime | None, Index()] = None
    genres: Annotated[list[str], Index()] = []
    director: Annotated[str | None, Ref("person")] = None


SPEC: ModelSpec[Film] = ModelSpec(Film)
FILMS = Resolver(SPEC)
