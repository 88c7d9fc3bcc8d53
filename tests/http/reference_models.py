"""Models that refer to each other in every way, and what their tests have in common."""

from typing import Annotated, Any

import httpx
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index, OnDelete, Ref, Unique
from autocrud.storage.ports.storage import IStorageFactory


class Person(BaseModel):
    """Somebody."""

    name: Annotated[str, Index()]
    email: Annotated[str | None, Unique()] = None
    boss: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None


class Film(BaseModel):
    """A film, and who made it."""

    title: Annotated[str, Index()] = "The Third Man"
    director: Annotated[str | None, Ref("person")] = None
    producer: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None
    writer: Annotated[str | None, Ref("person", on_delete=OnDelete.dangling, must_exist=False)] = None
    cast: Annotated[list[str], Ref("person", on_delete=OnDelete.set_null)] = []


class Review(BaseModel):
    """What somebody thinks of a film."""

    film: Annotated[str, Ref("film", on_delete=OnDelete.cascade)]
    answers: Annotated[str | None, Ref("review", on_delete=OnDelete.cascade)] = None
    words: str = ""


class Quote(BaseModel):
    """A part of a review that somebody relies on."""

    review: Annotated[str, Ref("review")]


MODELS: tuple[type[BaseModel], ...] = (Film, Review, Person, Quote)


def library(factory: IStorageFactory, **options: Any) -> tuple[FastAPI, AutoCRUD]:
    """A service of these models."""
    crud = AutoCRUD(storage_factory=factory, **options)
    for model in MODELS:
        crud.add_model(model)
    app = FastAPI()
    crud.apply(app)
    return app, crud


async def new(http: httpx.AsyncClient, model: str, **fields: Any) -> str:
    """The id of a new resource."""
    response = await http.post(f"/{model}", json=fields)
    assert response.status_code == 201, response.text
    resource_id: str = response.json()["meta"]["resource_id"]
    return resource_id
