"""ReferenceIntegrity: groups of writes, and the recheck after the commit."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from autocrud.errors import Aborted, NotFound, ReferenceNotFound
from autocrud.resource import RevisionStatus
from autocrud.storage.ports.types import Outcome, Write
from autocrud.versioning.write_builder import Author, Encoded, create_write
from tests.unit.references.library import Library


def creation(library: Library, model: str, resource_id: str, **fields: Any) -> tuple[Write, None]:
    """A write that creates a resource."""
    spec = library.nodes[model].spec
    encoded, author = Encoded(spec.dump(spec.validate(fields))), Author(None, datetime.now(UTC))
    return create_write(spec, resource_id, encoded, author, RevisionStatus.stable, None), None


async def test_commit_all_accepts_references_to_creations_of_the_group() -> None:
    """In any order, and also in a cycle."""
    library = await Library().open()
    group = [creation(library, "person", "a", boss="b"), creation(library, "person", "b", boss="a")]
    assert await library.managers["person"].references.commit_all(group) == [None, None]


async def test_commit_all_refuses_direct_and_indirect_dependents_of_a_refused_creation() -> None:
    """Other writes of the group are committed, unless the group is atomic."""
    library = await Library().open()
    names = {"a": "nobody", "b": "a", "c": "b", "d": None}
    group = [creation(library, "person", name, boss=boss) for name, boss in names.items()]
    references = library.managers["person"].references
    outcomes = await references.commit_all(group, atomic=True)
    assert [type(outcome) for outcome in outcomes] == [ReferenceNotFound] * 3 + [Aborted]
    outcomes = await references.commit_all(group)
    assert [type(outcome) for outcome in outcomes] == [ReferenceNotFound] * 3 + [type(None)]
    assert await library.live("person") == ["d"]


@pytest.mark.parametrize("field", ["director", "producer"])
async def test_commit_with_a_target_deleted_during_the_commit_leaves_no_dangling_reference(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restricting reference is compensated, and a `set_null` reference is set to null."""
    library = await Library().open()
    await library.create("person", "ann")
    films = library.managers["film"]
    commit_all = library.nodes["film"].storage.commit_all

    async def commit_after_delete(writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        monkeypatch.undo()
        await library.managers["person"].delete("ann")
        return await commit_all(writes, atomic=atomic)

    monkeypatch.setattr(library.nodes["film"].storage, "commit_all", commit_after_delete)
    if field == "producer":
        await library.create("film", "f", producer="ann")
        assert (await films.get("f")).data.producer is None
        return
    with pytest.raises(ReferenceNotFound):
        await library.create("film", "f", director="ann")
    with pytest.raises(NotFound):
        await films.get("f", include_deleted=True)


async def test_purge_of_a_live_resource_runs_its_on_delete_actions() -> None:
    """The resource is soft-deleted first, then purged."""
    library = await Library().open()
    await library.create("film", "f")
    await library.create("review", "r", film="f")
    await library.managers["film"].purge("f")
    assert await library.live("review") == []
    with pytest.raises(NotFound):
        await library.managers["film"].get("f", include_deleted=True)
