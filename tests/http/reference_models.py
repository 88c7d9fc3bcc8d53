"""Models that refer to each other in every way, and helpers of the reference tests."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index, OnDelete, Ref, ResourceManager, Unique
from autocrud.resource import CommitKind, RevisionStatus
from autocrud.storage.ports.storage import IStorageFactory
from autocrud.storage.ports.transactions import Transaction, TransactionOutcome
from autocrud.storage.ports.types import Head, Write
from autocrud.storage.store import Store
from autocrud.versioning.write_builder import Author, Encoded, create_write, next_meta


class Person(BaseModel):
    """A person."""

    name: Annotated[str, Index()]
    email: Annotated[str | None, Unique()] = None
    boss: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None


class Film(BaseModel):
    """A film with its makers."""

    title: Annotated[str, Index()] = "The Third Man"
    director: Annotated[str | None, Ref("person")] = None
    producer: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None
    writer: Annotated[str | None, Ref("person", on_delete=OnDelete.dangling, must_exist=False)] = None
    cast: Annotated[list[str], Ref("person", on_delete=OnDelete.set_null)] = []


class Review(BaseModel):
    """A review of a film."""

    film: Annotated[str, Ref("film", on_delete=OnDelete.cascade)]
    answers: Annotated[str | None, Ref("review", on_delete=OnDelete.cascade)] = None
    words: str = ""


class Quote(BaseModel):
    """A quote of a review."""

    review: Annotated[str, Ref("review")]


MODELS: tuple[type[BaseModel], ...] = (Film, Review, Person, Quote)


def library(factory: IStorageFactory, **options: Any) -> tuple[FastAPI, AutoCRUD]:
    """Yield a service of these models."""
    crud = AutoCRUD(storage_factory=factory, **options)
    for model in MODELS:
        crud.add_model(model)
    app = FastAPI()
    crud.apply(app)
    return app, crud


async def new(http: httpx.AsyncClient, model: str, **fields: Any) -> str:
    """Create a resource and return its id."""
    response = await http.post(f"/{model}", json=fields)
    assert response.status_code == 201, response.text
    resource_id: str = response.json()["meta"]["resource_id"]
    return resource_id


def meanwhile(monkeypatch: pytest.MonkeyPatch, kind: CommitKind, step: Callable[[], Awaitable[Any]]) -> None:
    """Call a function just before the first commit of this kind."""
    commit, steps = Store.commit, [step]

    async def late(self: Store, transactions: Sequence[Transaction]) -> list[TransactionOutcome]:
        kinds = {item.kind for each in transactions for item in each.items if isinstance(item, Write)}
        if kind in kinds and steps:
            await steps.pop()()
        return await commit(self, transactions)

    monkeypatch.setattr(Store, "commit", late)


def made(manager: ResourceManager[Any], resource_id: str, **fields: Any) -> tuple[Write, None]:
    """Return a create for a group."""
    data = manager.spec.dump(manager.spec.validate(fields))
    now = Author(None, datetime.now(UTC))
    return create_write(manager.spec, resource_id, Encoded(data), now, RevisionStatus.stable, None), None


async def gone(manager: ResourceManager[Any], resource_id: str) -> tuple[Write, Head]:
    """Return a delete for a group."""
    head = (await manager.get(resource_id)).head
    meta = (await manager.get(resource_id)).meta
    author = Author(None, datetime.now(UTC))
    return Write(CommitKind.delete, meta.version, next_meta(meta, author, is_deleted=True)), head
