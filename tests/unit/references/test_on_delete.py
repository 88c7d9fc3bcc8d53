"""On-delete actions: restrict and cascade, and the tasks that a crash leaves pending."""

from collections.abc import Sequence

import pytest

from autocrud.errors import Referenced, StorageUnavailable
from autocrud.references import on_delete
from autocrud.references.committer import ReferenceCommitter
from autocrud.references.on_delete import OnDeleteRunner
from autocrud.references.planned_writes import PlannedWrite
from autocrud.references.planner import DependentPlanner
from autocrud.references.referrer_writes import meta_of
from autocrud.resource import CommitKind
from autocrud.storage.ports.transactions import Dependent, Transaction
from autocrud.storage.ports.types import OnDeleteTask, Write, on_delete_task_of
from autocrud.versioning.write_builder import Author, next_meta
from tests.unit.references.library import Library


def runner_of(library: Library) -> OnDeleteRunner:
    """The runner of a library's on-delete tasks."""
    return OnDeleteRunner(library.graph, ReferenceCommitter(library.graph).commit_all)


async def delete_without_actions(library: Library, model: str, resource_id: str) -> OnDeleteTask:
    """Commit a delete with a task as a process does that crashes right after the commit."""
    node, head = library.nodes[model], (await library.managers[model].get(resource_id)).head
    meta = meta_of(head)
    deleted = next_meta(meta, Author("ada", meta.updated_time), is_deleted=True)
    write = Write(CommitKind.delete, meta.version, deleted, has_task=True)
    plan = await DependentPlanner(library.graph).plan([PlannedWrite(node, write, head)])
    dependents = [Dependent(*name) for name in plan.removed if name != (model, resource_id)]
    assert node.storage.prepare(write) is None
    assert node.storage.store is not None
    (outcome,) = await node.storage.store.commit([Transaction((write, *dependents))])
    assert not any(outcome)
    return on_delete_task_of(write)


async def pending(library: Library, model: str) -> list[str]:
    """The ids of the pending tasks of a model."""
    return [task.resource_id for task in await library.nodes[model].storage.pending_deletions(None, 100)]


async def film_with_reviews(count: int) -> Library:
    """The film `f`, with a chain of reviews `r0`, `r1`, …, each an answer to the one before."""
    library = await Library().open()
    await library.create("film", "f")
    for number in range(count):
        await library.create("review", f"r{number}", film="f", answers=f"r{number - 1}" if number else None)
    return library


async def test_delete_finds_a_referrer_at_the_end_of_a_cascade() -> None:
    """The error names the restricting referrer and the resource that it keeps."""
    library = await film_with_reviews(3)
    await library.create("quote", "q", review="r2")
    films = library.managers["film"]
    with pytest.raises(Referenced) as caught:
        await films.delete("f")
    error = caught.value
    assert (error.model, error.field, error.resource_ids) == ("quote", "review", ("q",))
    assert "review 'r2'" in str(error)
    assert await library.live("review") == ["r0", "r1", "r2"]
    await library.managers["quote"].delete("q")
    await films.delete("f")
    assert await library.live("review") == []


async def test_delete_ends_on_a_cycle_of_cascades() -> None:
    """Reviews that answer each other are deleted once."""
    library = await film_with_reviews(2)
    await library.managers["review"].replace("r0", {"film": "f", "answers": "r1"})
    await library.managers["review"].delete("r0")
    assert await library.live("review") == []
    assert (await library.managers["review"].get("r1", include_deleted=True)).meta.version == 2


async def test_run_removes_the_id_from_all_set_null_fields_in_one_revision() -> None:
    """Other ids and other fields stay, and the author is the author of the delete."""
    library = await Library().open()
    for name in ("ann", "bob"):
        await library.create("person", name)
    await library.create("film", "f", title="t", producer="ann", cast=["ann", "bob"])
    task = await delete_without_actions(library, "person", "ann")
    await runner_of(library).run(library.nodes["person"], [task])
    film = await library.managers["film"].get("f")
    assert film.data.model_dump() == {"title": "t", "director": None, "producer": None, "cast": ["bob"]}
    assert (film.meta.total_revision_count, film.meta.updated_by) == (2, "ada")
    assert await pending(library, "person") == []


async def test_run_deletes_cascading_referrers_of_all_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page; all tasks are complete at the end."""
    monkeypatch.setattr(on_delete, "_PAGE", 2)
    library = await film_with_reviews(5)
    task = await delete_without_actions(library, "film", "f")
    await runner_of(library).run(library.nodes["film"], [task])
    assert await library.live("review") == []
    assert (await pending(library, "film"), await pending(library, "review")) == ([], [])


async def test_run_for_a_restored_resource_changes_no_referrer() -> None:
    """A restore before the actions ends them."""
    library = await film_with_reviews(2)
    task = await delete_without_actions(library, "film", "f")
    await library.managers["film"].restore("f")
    await runner_of(library).run(library.nodes["film"], [task])
    assert await library.live("review") == ["r0", "r1"]


async def test_run_after_a_failure_leaves_the_task_for_finish(monkeypatch: pytest.MonkeyPatch) -> None:
    """`finish` runs the pending actions again."""
    library = await film_with_reviews(1)
    task = await delete_without_actions(library, "film", "f")
    runner = runner_of(library)
    with monkeypatch.context() as patch:

        async def fail(writes: Sequence[Write], *, atomic: bool = False) -> None:
            raise StorageUnavailable("away")

        patch.setattr(library.nodes["review"].storage, "commit_all", fail)
        with pytest.raises(StorageUnavailable):
            await runner.run(library.nodes["film"], [task])
    assert await pending(library, "film") == ["f"]
    await runner.finish(library.nodes["film"])
    assert (await library.live("review"), await pending(library, "film")) == ([], [])
