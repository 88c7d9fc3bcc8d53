"""On-delete actions: races, limits, tasks, disconnects and chains."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from autocrud import AutoCRUD
from autocrud.errors import (
    AutoCRUDError,
    Referenced,
    ReferenceNotFound,
    StorageUnavailable,
    TooManyDependents,
)
from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.query.builder import QB
from autocrud.references import dependent_walk, plan
from autocrud.resource import CommitKind
from autocrud.storage.ports.transactions import TransactionStore
from autocrud.storage.ports.types import Outcome, Write
from tests.http.reference_models import library, meanwhile
from tests.storage.backends import STORES, nodes_on


async def test_delete_sees_referrers_that_appear_meanwhile(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restricting referrers refuse the delete; others are set to null."""
    people, films = crud.manager("person"), crud.manager("film")
    ann = (await people.create({"name": "Ann"})).resource_id
    meanwhile(monkeypatch, CommitKind.delete, lambda: films.create({"director": ann}, resource_id="f"))
    with pytest.raises(Referenced, match="is the director of film 'f'"):
        await people.delete(ann)
    assert (await people.get(ann)).meta.version == 1
    assert await people.node.storage.pending_deletions(None, 1) == []
    await films.replace("f", {"producer": ann})
    meanwhile(monkeypatch, CommitKind.delete, lambda: films.replace("f", {"producer": ann, "title": "new"}))
    await people.delete(ann)
    assert (await films.get("f")).data.model_dump(exclude_defaults=True) == {"title": "new"}
    assert (await films.get("f")).meta.version == 4
    # A writer that commits after all of that is refused.
    ben = (await people.create({"name": "Ben"})).resource_id
    meanwhile(monkeypatch, CommitKind.update, lambda: people.purge(ben))
    with pytest.raises(ReferenceNotFound):
        await films.replace("f", {"producer": ben})


async def race_writers_and_deleters(writer: AutoCRUD, deleter: AutoCRUD) -> None:
    """Create and delete concurrently, and assert that no reference dangles."""
    films, people, reviews = writer.manager("film"), deleter.manager("person"), writer.manager("review")
    for number in range(8):
        ann = (await people.create({"name": "Ann"})).resource_id
        film = (await films.create({"producer": ann})).resource_id
        review = (await reviews.create({"film": film})).resource_id
        writes = [
            films.create({"director": ann} if number % 2 else {}),
            films.create({"producer": ann, "cast": [ann]}),
            reviews.create({"film": film}),
            writer.manager("quote").create({"review": review}),
        ]
        deletes = [people.delete(ann), deleter.manager("film").delete(film)]
        outcomes = await asyncio.gather(*writes, *deletes, return_exceptions=True)
        assert all(isinstance(item, AutoCRUDError) for item in outcomes if isinstance(item, BaseException))
        gone = (await people.get(ann, include_deleted=True)).meta.is_deleted
        assert gone or number % 2
        for field in ("director", "producer"):
            assert not gone or await films.count(QB[field].eq(ann)) == 0
        assert not gone or await films.count(QB["cast"].contains(ann)) == 0
        assert await reviews.count(QB["film.is_deleted"].eq(True)) == 0
        assert await writer.manager("quote").count(QB["review.is_deleted"].eq(True)) == 0


@pytest.mark.parametrize("backend", STORES)
async def test_concurrent_writes_and_deletes_leave_no_dangling_reference(backend: str, tmp_path: Path) -> None:
    """In one process, and over two nodes."""
    async with AsyncExitStack() as stack:
        services = [library(factory)[1] for factory in nodes_on(backend, tmp_path)]
        for crud in services:
            await stack.enter_async_context(crud.running())
        await race_writers_and_deleters(services[0], services[0])
        await race_writers_and_deleters(services[0], services[-1])


async def test_many_dependents_are_handled_by_a_task_that_another_node_can_finish(
    crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delete reports a failure, and maintenance continues. Meanwhile a dependent counts as deleted."""
    films, reviews = crud.manager("film"), crud.manager("review")
    monkeypatch.setattr(plan, "MAX_DEPENDENTS", 1)
    for name in ("f", "g"):
        await films.create({}, resource_id=name)
    for name in "abc":
        await reviews.create({"film": "f", "answers": chr(ord(name) - 1) if name > "a" else None}, resource_id=name)
    for name in ("d", "e"):
        await reviews.create({"film": "g"}, resource_id=name)
    with monkeypatch.context() as broken:

        async def fail(writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
            raise StorageUnavailable("away")

        broken.setattr(reviews.node.storage, "commit_all", fail)
        for name in ("f", "g"):
            with pytest.raises(StorageUnavailable, match="Deleted, but some on-delete actions failed"):
                await films.delete(name, by="ada")
    await films.restore("g")
    with pytest.raises(ReferenceNotFound):
        await crud.manager("quote").create({"review": "c"})
    await crud.manager("quote").create({"review": "d"})
    assert [item.resource_id for item in await films.node.storage.pending_deletions(None, 9)] == ["f", "g"]
    await films.run_maintenance()
    assert sorted(item.resource_id for item in (await reviews.search()).items) == ["d", "e"]
    assert await reviews.count(QB["updated_by"].eq("ada"), include_deleted=True) == 3
    for manager in (films, reviews):
        assert await manager.node.storage.pending_deletions(None, 9) == []


async def test_restrict_behind_many_dependents_refuses_the_delete(
    crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the restricting referrer appears between the plan and the commit."""
    films, reviews, quotes = crud.manager("film"), crud.manager("review"), crud.manager("quote")
    monkeypatch.setattr(plan, "MAX_DEPENDENTS", 1)
    await films.create({}, resource_id="f")
    for name in "abc":
        await reviews.create({"film": "f"}, resource_id=name)
    meanwhile(monkeypatch, CommitKind.delete, lambda: quotes.create({"review": "b"}, resource_id="q"))
    with pytest.raises(Referenced, match="The review 'b' is the review of quote 'q'"):
        await films.delete("f")
    assert (await films.get("f")).meta.version == 1
    await quotes.delete("q")
    meanwhile(monkeypatch, CommitKind.delete, lambda: reviews.create({"film": "f"}, resource_id="d"))
    await films.delete("f")
    assert await reviews.count() == 0


async def test_cascade_over_the_limit_is_refused(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has advice, and set-null has no limit."""
    monkeypatch.setattr(plan, "MAX_DEPENDENTS", 1)
    monkeypatch.setattr(dependent_walk, "MAX_CASCADE", 2)
    films, reviews, people = crud.manager("film"), crud.manager("review"), crud.manager("person")
    await films.create({}, resource_id="f")
    for name in "abc":
        await reviews.create({"film": "f"}, resource_id=name)
    with pytest.raises(TooManyDependents, match="Delete some of the referrers first") as caught:
        await films.delete("f")
    assert (caught.value.code, await reviews.count(), await films.count()) == ("too_many_dependents", 3, 1)
    await reviews.delete("a")
    await films.delete("f")
    assert await reviews.count() == 0
    await people.create({"name": "Ann"}, resource_id="ann")
    for _ in range(4):
        await films.create({"producer": "ann"})
    await people.delete("ann")
    assert await films.count(QB["producer"].eq("ann")) == 0


async def test_cascade_goes_on_after_a_disconnect(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the original author."""
    films, reviews = crud.manager("film"), crud.manager("review")
    monkeypatch.setattr(plan, "MAX_DEPENDENTS", 100)
    await films.create({}, resource_id="f")
    await asyncio.gather(*(reviews.create({"film": "f"}) for _ in range(450)))
    commit_all, begun = reviews.node.storage.commit_all, asyncio.Event()

    async def slowly(writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        begun.set()
        await asyncio.sleep(0)
        return await commit_all(writes, atomic=atomic)

    monkeypatch.setattr(reviews.node.storage, "commit_all", slowly)
    deleting = asyncio.create_task(films.delete("f", by="ada"))
    await begun.wait()
    deleting.cancel()
    await asyncio.wait([deleting])
    await films.references.drain()
    assert await reviews.count() == 0
    assert await reviews.count(QB["updated_by"].eq("ada"), include_deleted=True) == 450


async def test_cascade_follows_a_chain_to_its_end(crud: AutoCRUD) -> None:
    """A chain of any depth, in the transaction of the delete."""
    films, reviews = crud.manager("film"), crud.manager("review")
    await films.create({}, resource_id="f")
    for number in range(300):
        before = f"r{number - 1}" if number else None
        await reviews.create({"film": "f", "answers": before}, resource_id=f"r{number}")
    position = await store_of(crud).last_position()
    await reviews.delete("r0", by="ada")
    assert await reviews.count() == 0
    assert await reviews.count(QB["updated_by"].eq("ada"), include_deleted=True) == 300
    assert {item.position.sequence for item in await store_of(crud).changes(position, 400)} == {position.sequence + 1}


async def test_bulk_delete_handles_shared_dependents(crud: AutoCRUD) -> None:
    """A restricted resource of the group stays, and the others are deleted with their actions."""
    people, films = crud.manager("person"), crud.manager("film")
    names = [f"p{number}" for number in range(6)]
    for name in names:
        await people.create({"name": name}, resource_id=name)
    await films.create({"title": "t", "cast": names[:4], "producer": "p4"}, resource_id="shared")
    await films.create({"director": "p1"}, resource_id="restricting")
    found = [item async for item in people.bulk.run([BulkOperation(BulkOp.delete, name) for name in names])]
    assert [type(item.error) for item in found] == [type(None), Referenced, *[type(None)] * 4]
    assert (await films.get("shared")).data.model_dump(exclude_defaults=True) == {"title": "t", "cast": ["p1"]}
    assert [item.resource_id for item in (await people.search()).items] == ["p1"]


def store_of(crud: AutoCRUD) -> TransactionStore:
    """Return the store of the models."""
    store = crud.manager("film").node.storage.store
    assert store is not None
    return store
