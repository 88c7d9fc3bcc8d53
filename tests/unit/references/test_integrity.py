"""ReferenceIntegrity and ReferenceCommitter: groups of writes, restores, and transactions over models."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from autocrud.errors import Aborted, NotFound, Referenced, ReferenceNotFound
from autocrud.references.committer import PlannedWrite, ReferenceCommitter
from autocrud.references.referrer_writes import author_after, meta_of
from autocrud.resource import CommitKind, RevisionStatus
from autocrud.storage.ports.transactions import Transaction, TransactionOutcome
from autocrud.storage.ports.types import Write
from autocrud.storage.store import Store
from autocrud.versioning.write_builder import Author, Encoded, create_write, next_meta, update_write
from tests.unit.references.library import Library


def creation(library: Library, model: str, resource_id: str, **fields: Any) -> tuple[Write, None]:
    """A write that creates a resource."""
    spec = library.nodes[model].spec
    encoded, author = Encoded(spec.dump(spec.validate(fields))), Author(None, datetime.now(UTC))
    return create_write(spec, resource_id, encoded, author, RevisionStatus.stable, None), None


async def update(library: Library, model: str, resource_id: str, **fields: Any) -> PlannedWrite:
    """A write that updates a resource."""
    node, head = library.nodes[model], (await library.managers[model].get(resource_id)).head
    encoded = Encoded(node.spec.dump(node.spec.validate(fields)))
    author = author_after(None, meta_of(head))
    return PlannedWrite(node, update_write(node.spec, meta_of(head), encoded, author, RevisionStatus.stable, 0), head)


async def deletion(library: Library, model: str, resource_id: str) -> PlannedWrite:
    """A write that deletes a resource."""
    head = (await library.managers[model].get(resource_id)).head
    meta = meta_of(head)
    after = next_meta(meta, author_after("ada", meta), is_deleted=True)
    return PlannedWrite(library.nodes[model], Write(CommitKind.delete, meta.version, after), head)


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
async def test_commit_with_a_target_deleted_before_the_commit_is_refused(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is stored, whatever the on-delete action is."""
    library = await Library().open()
    await library.create("person", "ann")
    films = library.managers["film"]
    commit = Store.commit

    async def commit_after_delete(self: Store, transactions: Sequence[Transaction]) -> list[TransactionOutcome]:
        monkeypatch.undo()
        await library.managers["person"].delete("ann")
        return await commit(self, transactions)

    monkeypatch.setattr(Store, "commit", commit_after_delete)
    with pytest.raises(ReferenceNotFound):
        await library.create("film", "f", **{field: "ann"})
    with pytest.raises(NotFound):
        await films.get("f", include_deleted=True)


async def test_commit_of_a_restore_sets_missing_targets_to_null() -> None:
    """In the transaction of the restore, which has one more revision then."""
    library = await Library().open()
    await library.create("person", "ann")
    await library.create("film", "f", producer="ann", cast=["ann"])
    films = library.managers["film"]
    await films.delete("f")
    await library.managers["person"].delete("ann")
    await films.restore("f")
    film = await films.get("f")
    assert (film.data.producer, film.data.cast, film.meta.version) == (None, [], 4)


async def test_commit_of_a_transaction_over_models_runs_its_on_delete_actions() -> None:
    """A dependent that the transaction writes, too, changes after that write."""
    library = await Library().open()
    await library.create("person", "ann")
    await library.create("film", "f", producer="ann")
    committer = ReferenceCommitter(library.graph)
    film, person = library.managers["film"], library.managers["person"]
    changed = await update(library, "film", "f", title="new", producer="ann")
    outcome = await committer.commit([changed, await deletion(library, "person", "ann")])
    assert outcome == [None, None]
    assert (await film.get("f")).data.model_dump() == {"title": "new", "director": None, "producer": None, "cast": []}
    assert (await film.get("f")).meta.version == 3
    await person.restore("ann")
    await library.create("film", "g", director="ann")
    created = PlannedWrite(library.nodes["person"], *creation(library, "person", "bob"))
    outcome = await committer.commit([created, await deletion(library, "person", "ann")])
    assert [type(item) for item in outcome] == [Aborted, Referenced]
    assert await library.live("person") == ["ann"]


async def test_purge_of_a_live_resource_runs_its_on_delete_actions() -> None:
    """The resource is soft-deleted first, then purged."""
    library = await Library().open()
    await library.create("film", "f")
    await library.create("review", "r", film="f")
    await library.managers["film"].purge("f")
    assert await library.live("review") == []
    with pytest.raises(NotFound):
        await library.managers["film"].get("f", include_deleted=True)
