"""On-delete actions inside transactions."""

from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref, Transaction
from autocrud.errors import Conflict, Deleted, Referenced, ReferenceNotFound, TooManyDependents
from autocrud.storage.decision import overlay
from autocrud.storage.memory import MemoryStorageFactory


class Person(BaseModel):
    """A person."""

    name: str = ""


class Film(BaseModel):
    """A film with a reference of each kind."""

    director: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None
    producer: Annotated[str | None, Ref("person", on_delete=OnDelete.cascade)] = None
    owner: Annotated[str | None, Ref("person")] = None
    title: str = ""


@pytest.fixture
async def crud() -> AsyncIterator[AutoCRUD]:
    """Yield the models with a person."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Person)
    crud.add_model(Film)
    async with crud.running():
        await crud.manager(Person).create({}, resource_id="p")
        yield crud


@pytest.mark.parametrize("deletes_first", [True, False])
async def test_set_null_and_own_writes_to_the_same_referrer_commit_together(
    crud: AutoCRUD, deletes_first: bool
) -> None:
    """Whatever their order, and with a check of the referrer."""
    films = crud.manager(Film)
    await films.create({"director": "p"}, resource_id="f")
    async with crud.transaction() as tx:
        await tx.get(Film, "f")
        if deletes_first:
            await tx.delete(Person, "p")
        await tx.patch(Film, "f", {"title": "x"})
        if not deletes_first:
            await tx.delete(Person, "p")
    film = (await films.get("f")).data
    assert (film.title, film.director) == ("x", None)


async def test_cascade_deletes_referrers_that_the_transaction_has_made(crud: AutoCRUD) -> None:
    """And those that it has only read."""
    films = crud.manager(Film)
    await films.create({"producer": "p"}, resource_id="f")
    async with crud.transaction() as tx:
        await tx.get(Film, "f")
        await tx.create(Person, {}, resource_id="q")
        await tx.create(Film, {"producer": "q"}, resource_id="g")
        await tx.delete(Person, "p")
        await tx.delete(Person, "q")
    for name in "fg":
        with pytest.raises(Deleted):
            await films.get(name)


@pytest.mark.parametrize("titles", ["y", "yz"])
async def test_lost_race_for_a_referrer_is_a_conflict_of_the_own_write(crud: AutoCRUD, titles: str) -> None:
    """Not the fault of the delete before it, which no retry would heal."""
    films = crud.manager(Film)
    await films.create({"director": "p"}, resource_id="f")

    async def lose(tx: Transaction) -> None:
        await tx.delete(Person, "p")
        await tx.patch(Film, "f", {"title": "x"})
        for title in titles:
            await films.patch("f", {"title": title})

    with pytest.raises(Conflict) as refusal:
        await crud.transact(lose, attempts=1)
    assert (refusal.value.operation, refusal.value.operation_model) == (1, "film")


async def test_delete_with_more_referrers_than_a_commit_loads_is_refused(
    crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit changes all referrers that it has loaded, and there may be more."""
    monkeypatch.setattr(overlay, "MAX_REFERRERS", 2)
    for name in "fg":
        await crud.manager(Film).create({"producer": "p"}, resource_id=name)
    with pytest.raises(TooManyDependents):
        await crud.manager(Person).delete("p")
    assert await crud.manager(Film).count() == 2


async def test_reference_to_a_resource_that_the_transaction_deletes_is_refused(crud: AutoCRUD) -> None:
    """With the operation at fault: a new reference, or the delete."""

    async def refer(tx: Transaction) -> None:
        await tx.delete(Person, "p")
        await tx.create(Film, {"owner": "p"})

    with pytest.raises((Referenced, ReferenceNotFound)) as refusal:
        await crud.transact(refer)
    assert refusal.value.operation in (0, 1)

    async def let_go(tx: Transaction) -> None:
        await tx.create(Film, {"owner": "p"}, resource_id="h")
        await tx.delete(Person, "p")
        await tx.patch(Film, "h", {"owner": None})

    await crud.transact(let_go)
    assert (await crud.manager(Film).get("h")).data.owner is None
