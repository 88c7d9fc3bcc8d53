"""Compensator: later writes that take back committed writes."""

from typing import Any

import pytest

from autocrud.errors import NotFound
from autocrud.references.compensation import Compensator
from autocrud.references.on_delete import OnDeleteRunner
from autocrud.resource import RevisionStatus
from autocrud.storage.ports.types import Head, Write
from autocrud.versioning.mutations import Change, plan_write
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author, Encoded, create_write, update_write
from tests.unit.references.library import Library


def compensator(library: Library) -> Compensator:
    """A compensator of films."""
    return Compensator(library.nodes["film"], OnDeleteRunner(library.graph))


def encode(library: Library, **fields: Any) -> Encoded:
    """The stored form of a film."""
    spec = library.nodes["film"].spec
    return Encoded(spec.dump(spec.validate(fields)))


async def update(library: Library, **fields: Any) -> tuple[Write, Head]:
    """Commit an update of the film `f`, and return it with the head before it."""
    before = (await library.managers["film"].get("f")).head

    async def change(current: Resource[Any], author: Author) -> Write:
        data = encode(library, **fields)
        return update_write(current.spec, current.meta, data, author, RevisionStatus.stable, 0)

    typed: Change[Any] = change
    write = await plan_write(Resource(library.nodes["film"].spec, before), None, "ada", typed)
    assert write is not None
    await library.nodes["film"].storage.commit(write)
    return write, before


async def test_compensate_a_creation_purges_the_resource() -> None:
    """The id is available again."""
    library = await Library().open()
    await library.create("person", "ann")
    now = (await library.managers["person"].get("ann")).meta.created_time
    write = create_write(
        library.nodes["film"].spec, "f", encode(library), Author(None, now), RevisionStatus.stable, None
    )
    await library.nodes["film"].storage.commit(write)
    await compensator(library).compensate([(write, None, [library.reference("film", "director")])])
    with pytest.raises(NotFound):
        await library.managers["film"].get("f", include_deleted=True)


async def test_compensate_an_update_switches_back_to_the_revision_before() -> None:
    """The history keeps the revision that was taken back."""
    library = await Library().open()
    await library.create("film", "f", title="a")
    write, before = await update(library, title="b", director="x")
    await compensator(library).compensate([(write, before, [library.reference("film", "director")])])
    film = await library.managers["film"].get("f")
    assert (film.data.title, film.data.director) == ("a", None)
    assert (film.meta.current_revision_id, film.meta.total_revision_count, film.meta.version) == ("f:1", 2, 3)


async def test_compensate_an_update_after_another_write_restores_the_references_only() -> None:
    """The changes of the other writer stay."""
    library = await Library().open()
    await library.create("film", "f", title="a")
    write, before = await update(library, title="b", director="x")
    await update(library, title="c", director="x")
    await compensator(library).compensate([(write, before, [library.reference("film", "director")])])
    film = await library.managers["film"].get("f")
    assert (film.data.title, film.data.director, film.meta.total_revision_count) == ("c", None, 4)


async def test_compensate_two_updates_of_one_resource_returns_to_the_first_state() -> None:
    """The last write is taken back first."""
    library = await Library().open()
    await library.create("film", "f", title="a")
    director = [library.reference("film", "director")]
    first, second = await update(library, director="x"), await update(library, director="y")
    await compensator(library).compensate([(*first, director), (*second, director)])
    film = await library.managers["film"].get("f")
    assert (film.data.title, film.data.director, film.meta.current_revision_id) == ("a", None, "f:1")
