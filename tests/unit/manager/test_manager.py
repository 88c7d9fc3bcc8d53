"""ResourceManager: assembly in AutoCRUD."""

from typing import Annotated

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref
from autocrud.errors import ConfigurationError, Referenced, ReferenceNotFound
from autocrud.query.builder import QB
from autocrud.storage.memory import MemoryStorageFactory


class Person(BaseModel):
    """A person."""

    name: str = ""


class Film(BaseModel):
    """A film, which keeps its director from being deleted."""

    director: Annotated[str | None, Ref("person", on_delete=OnDelete.restrict)] = None


class InvalidReference(BaseModel):
    """A model whose field cannot be a reference."""

    owner: Annotated[int, Ref("person")] = 0


def service() -> AutoCRUD:
    """A service without models."""
    return AutoCRUD(storage_factory=MemoryStorageFactory())


async def test_manager_taken_before_its_referrers_are_registered_enforces_their_references() -> None:
    """A manager that was taken early shares the graph with models that are registered later."""
    crud = service()
    crud.add_model(Person)
    people = crud.manager(Person)
    crud.add_model(Film)
    async with crud.running():
        await people.create({}, resource_id="ann")
        await crud.manager(Film).create({"director": "ann"})
        with pytest.raises(Referenced):
            await people.delete("ann")


async def test_manager_taken_before_its_target_is_registered_enforces_and_filters_the_reference() -> None:
    """The reference, and the filter through it, work once the target is registered."""
    crud = service()
    crud.add_model(Film)
    films = crud.manager(Film)
    crud.add_model(Person, indexed_fields=["name"])
    async with crud.running():
        with pytest.raises(ReferenceNotFound):
            await films.create({"director": "nobody"})
        await crud.manager(Person).create({"name": "Ann"}, resource_id="ann")
        await films.create({"director": "ann"})
        assert await films.count(QB["director.name"].eq("Ann")) == 1


def test_manager_asked_for_twice_is_the_same_object() -> None:
    """By class, by name, and after other models are registered."""
    crud = service()
    crud.add_model(Person)
    people = crud.manager(Person)
    crud.add_model(Film)
    crud.manager(Film)
    assert crud.manager("person") is people
    assert crud.manager(Person) is people


def test_manager_of_a_service_with_an_invalid_reference_is_refused_every_time() -> None:
    """No manager is built on a graph that lacks the references of a registered model."""
    crud = service()
    crud.add_model(Person)
    crud.add_model(InvalidReference)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="cannot be a reference"):
            crud.manager(Person)
