"""On-delete actions: late referrers, failures, disconnects and chains."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from autocrud import AutoCRUD
from autocrud.errors import (
    AutoCRUDError,
    Referenced,
    StorageUnavailable,
)
from autocrud.query.builder import QB
from autocrud.resource import CommitKind
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.model_storage import ModelStorage
from autocrud.storage.ports.types import Outcome, Write
from tests.http.reference_models import library, meanwhile


async def test_delete_is_undone_if_a_referrer_appears(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Restricting referrers restore the resource; others are set to null."""
    people, films = crud.manager("person"), crud.manager("film")
    ann = (await people.create({"name": "Ann"})).resource_id
    meanwhile(monkeypatch, CommitKind.delete, lambda: films.create({"director": ann}, resource_id="f"))
    with pytest.raises(Referenced, match="is the director of film 'f'"):
        await people.purge(ann)
    assert not (await people.get(ann)).meta.is_deleted
    assert await people.node.storage.pending_deletions(None, 1) == []
    await films.replace("f", {"producer": ann})
    meanwhile(monkeypatch, CommitKind.delete, lambda: films.replace("f", {"producer": ann, "title": "new"}))
    await people.delete(ann)
    assert (await films.get("f")).data.model_dump(exclude_defaults=True) == {"title": "new"}
    # A writer that looks only after all of that lets go by itself.
    ben = (await people.create({"name": "Ben"})).resource_id
    meanwhile(monkeypatch, CommitKind.update, lambda: people.delete(ben))
    await films.replace("f", {"producer": ben})
    assert (await films.get("f")).data.model_dump(exclude_defaults=True) == {}


async def test_concurrent_writes_and_deletes_leave_no_dangling_reference(tmp_path: Path) -> None:
    """Two nodes on one directory."""
    services = [library(DiskStorageFactory(tmp_path))[1] for _ in range(2)]
    async with services[0].running(), services[1].running():
        films, people = services[0].manager("film"), services[1].manager("person")
        for _ in range(8):
            ann = (await people.create({"name": "Ann"})).resource_id
            writes = [films.create({"director": ann}), films.create({"producer": ann, "cast": [ann]})]
            outcomes = await asyncio.gather(*writes, people.delete(ann), return_exceptions=True)
            assert all(isinstance(item, AutoCRUDError) for item in outcomes if isinstance(item, BaseException))
            gone = (await people.get(ann, include_deleted=True)).meta.is_deleted
            for field in ("director", "producer"):
                assert not gone or await films.count(QB[field].eq(ann)) == 0
            assert not gone or await films.count(QB["cast"].contains(ann)) == 0


async def test_failed_on_delete_action_is_finished_later(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delete reports it, and maintenance continues."""
    films, reviews = crud.manager("film"), crud.manager("review")
    for name in ("f", "g"):
        await films.create({}, resource_id=name)
    for name in "abc":
        await reviews.create({"film": "f", "answers": chr(ord(name) - 1) if name > "a" else None}, resource_id=name)
    await reviews.create({"film": "g"}, resource_id="d")
    commit_all = ModelStorage.commit_all
    with monkeypatch.context() as broken:

        async def fail(self: ModelStorage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
            if self is reviews.node.storage:
                raise StorageUnavailable("away")
            return await commit_all(self, writes, atomic=atomic)

        broken.setattr(ModelStorage, "commit_all", fail)
        for name in ("f", "g"):
            with pytest.raises(StorageUnavailable, match="Deleted, but some on-delete actions failed"):
                await films.delete(name)
    await films.restore("g")
    assert [item.resource_id for item in await films.node.storage.pending_deletions(None, 9)] == ["f", "g"]
    await films.run_maintenance()
    assert [item.resource_id for item in (await reviews.search()).items] == ["d"]
    for manager in (films, reviews):
        assert await manager.node.storage.pending_deletions(None, 9) == []
        await manager.run_maintenance()
    assert await reviews.count() == 1


async def test_cascade_goes_on_after_a_disconnect(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the original author."""
    films, reviews = crud.manager("film"), crud.manager("review")
    await films.create({}, resource_id="f")
    await asyncio.gather(*(reviews.create({"film": "f"}) for _ in range(450)))
    commit_all, begun = ModelStorage.commit_all, asyncio.Event()

    async def slowly(self: ModelStorage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        begun.set()
        await asyncio.sleep(0)
        return await commit_all(self, writes, atomic=atomic)

    monkeypatch.setattr(ModelStorage, "commit_all", slowly)
    deleting = asyncio.create_task(films.delete("f", by="ada"))
    await begun.wait()
    deleting.cancel()
    await asyncio.wait([deleting])
    await films.references.drain()
    assert await reviews.count() == 0
    assert await reviews.count(QB["updated_by"].eq("ada"), include_deleted=True) == 450


async def test_cascade_follows_a_chain_to_its_end(crud: AutoCRUD) -> None:
    """A chain of any depth."""
    films, reviews = crud.manager("film"), crud.manager("review")
    await films.create({}, resource_id="f")
    for number in range(300):
        before = f"r{number - 1}" if number else None
        await reviews.create({"film": "f", "answers": before}, resource_id=f"r{number}")
    await reviews.delete("r0")
    assert await reviews.count() == 0
