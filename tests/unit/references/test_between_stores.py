"""References between stores, and referrers of models that a process does not know."""

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref, Schema
from autocrud.errors import Referenced, ReferenceNotFound, UnhandledReferrers
from autocrud.migrations import convert
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.types import Page
from tests.unit.references.library import Film, Person, Quote, Review


@pytest.fixture
async def crud() -> AsyncIterator[AutoCRUD]:
    """Yield a service whose reviews are in another store than its films, persons and quotes."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    for model in (Person, Film, Quote):
        crud.add_model(model)
    crud.add_model(Review, storage=MemoryStorageFactory())
    async with crud.running():
        yield crud


async def test_write_needs_a_live_target_in_the_other_store(crud: AutoCRUD) -> None:
    """A group of writes may refer to each other besides."""
    films, reviews = crud.manager(Film), crud.manager(Review)
    with pytest.raises(ReferenceNotFound) as caught:
        await reviews.create({"film": "f"})
    assert [error.message for error in caught.value.errors] == ["there is no film 'f'"]
    await films.create({}, resource_id="f")
    await reviews.create({"film": "f"}, resource_id="r")
    await films.delete("f")
    with pytest.raises(ReferenceNotFound):
        await reviews.restore("r")


async def test_delete_runs_its_actions_in_the_other_store(crud: AutoCRUD) -> None:
    """Reviews are deleted by a task, with the answers in their own store. A quote in a third step refuses it all."""
    films, reviews, quotes = crud.manager(Film), crud.manager(Review), crud.manager(Quote)
    await films.create({}, resource_id="f")
    await films.create({}, resource_id="g")
    await reviews.create({"film": "f"}, resource_id="r")
    await reviews.create({"film": "g", "answers": "r"}, resource_id="s")
    await quotes.create({"review": "s"}, resource_id="q")
    with pytest.raises(Referenced, match="The review 's' is the review of quote 'q'"):
        await films.delete("f")
    await quotes.delete("q")
    await films.delete("f", by="ada")
    assert await reviews.count() == 0
    assert await reviews.count(QB["updated_by"].eq("ada"), include_deleted=True) == 2
    for manager in (films, reviews):
        assert await manager.node.storage.pending_deletions(None, 9) == []


class Step(BaseModel):
    """A step with two references to the step before it."""

    film: Annotated[str | None, Ref("film", on_delete=OnDelete.cascade)] = None
    after: Annotated[str | None, Ref("step", on_delete=OnDelete.cascade)] = None
    below: Annotated[str | None, Ref("step", on_delete=OnDelete.cascade)] = None
    guard: Annotated[str | None, Ref("step")] = None


async def test_delete_reads_a_referrer_in_the_other_store_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if many paths lead to it: 15 steps have 32,768 paths."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    for model in (Person, Film):
        crud.add_model(model)
    crud.add_model(Step, storage=MemoryStorageFactory())
    async with crud.running():
        films, steps = crud.manager(Film), crud.manager(Step)
        await films.create({}, resource_id="f")
        await steps.create({"film": "f"}, resource_id="s0")
        for number in range(1, 16):
            before = f"s{number - 1}"
            await steps.create({"after": before, "below": before}, resource_id=f"s{number}")
        await steps.create({"guard": "s15"}, resource_id="g")
        searches = 0
        search = steps.node.storage.search

        async def count(query: Query) -> Page:
            nonlocal searches
            searches += 1
            return await search(query)

        monkeypatch.setattr(steps.node.storage, "search", count)
        with pytest.raises(Referenced, match="The step 's15' is the guard of step 'g'"):
            await films.delete("f")
        await steps.delete("g")
        await films.delete("f")
        assert await steps.count() == 0
        assert searches < 1000


class Note(BaseModel):
    """A note of another service, on a film."""

    film: Annotated[str | None, Ref("film", on_delete=OnDelete.set_null)] = None
    kept: Annotated[str | None, Ref("film")] = None


async def test_referrers_of_an_unknown_model_prevent_a_delete() -> None:
    """Two services with different models share a store. The error names the other model."""
    factory = MemoryStorageFactory()
    own, other = AutoCRUD(storage_factory=factory), AutoCRUD(storage_factory=factory)
    for crud in (own, other):
        crud.add_model(Person)
        crud.add_model(Film)
    other.add_model(Note)
    async with own.running(), other.running():
        films = own.manager(Film)
        for name in ("nulled", "restricted"):
            await films.create({}, resource_id=name)
        await other.manager(Note).create({"film": "nulled"}, resource_id="n")
        await other.manager(Note).create({"kept": "restricted"}, resource_id="m")
        with pytest.raises(UnhandledReferrers, match="The note 'n' refers to the film 'nulled'"):
            await films.delete("nulled")
        with pytest.raises(Referenced, match="The film 'restricted' is the kept of note 'm'"):
            await films.delete("restricted")
        assert await films.count() == 2
        await other.manager(Film).delete("nulled")
        assert (await other.manager(Note).get("n")).data.film is None


class Ticket(BaseModel):
    """A ticket with a price that a schema step converts."""

    film: Annotated[str | None, Ref("film", on_delete=OnDelete.set_null)] = None
    price: int = 0


class OldTicket(BaseModel):
    """A ticket before the conversion."""

    film: Annotated[str | None, Ref("film", on_delete=OnDelete.set_null)] = None
    price: str = ""


async def test_set_null_upgrades_referrers_and_passes_those_that_cannot_be_upgraded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The delete goes on, and the log names the referrer that keeps its reference."""
    factory = MemoryStorageFactory()
    for version in (1, 2):
        crud = AutoCRUD(storage_factory=factory)
        for model in (Person, Film):
            crud.add_model(model)
        schema = Schema(1) if version == 1 else Schema(2).step(1, 2, convert("price", int))
        crud.add_model(OldTicket if version == 1 else Ticket, name="ticket", schema=schema)
        async with crud.running():
            films, tickets = crud.manager(Film), crud.manager("ticket")
            if version == 1:
                await films.create({}, resource_id="f")
                await tickets.create({"film": "f", "price": "12"}, resource_id="good")
                await tickets.create({"film": "f", "price": "cheap"}, resource_id="bad")
                continue
            await films.delete("f")
            good = await tickets.get("good")
            assert (good.data.model_dump(), good.meta.schema_version) == ({"film": None, "price": 12}, 2)
            assert "ticket 'bad' keeps its reference" in caplog.text
            assert await films.node.storage.pending_deletions(None, 9) == []
