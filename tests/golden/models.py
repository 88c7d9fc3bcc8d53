"""Models of the golden stores. Never change them: later versions of a model are models of their own."""

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel

from autocrud import AutoCRUD, Index, OnDelete, Ref, Schema, Unique
from autocrud.migrations import fill, rename


class Author(BaseModel):
    """A model that books refer to."""

    name: Annotated[str, Unique()]
    born: Annotated[date | None, Index()] = None


class OldBook(BaseModel):
    """A book in schema version 1, in which the golden stores have it."""

    title: Annotated[str, Index()]
    writer: Annotated[str, Ref("author", on_delete=OnDelete.restrict)]


class Book(BaseModel):
    """A book in schema version 2."""

    headline: Annotated[str, Index()]
    writer: Annotated[str, Ref("author", on_delete=OnDelete.restrict)]
    language: str


class Diary(BaseModel):
    """A model that the reading process registers later, or never."""

    text: Annotated[str, Index()]


def registry(factory: Any, *, version: int, has_diary: bool) -> AutoCRUD:
    """Return the registry of the models with books in a schema version."""
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(Author)
    if version == 1:
        crud.add_model(OldBook, name="book")
    else:
        schema = Schema(2).step(1, 2, rename("title", "headline"), fill("language", "en"))
        crud.add_model(Book, name="book", schema=schema)
    if has_diary:
        crud.add_model(Diary)
    return crud
