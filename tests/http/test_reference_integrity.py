"""What references are refused for, what they show to whom, and what happens in races and after faults."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index, OnDelete, Ref, Resource, ResourceManager, Unique
from autocrud.errors import (
    Aborted,
    AutoCRUDError,
    ConfigurationError,
    InvalidParameter,
    Referenced,
    ReferenceNotFound,
    StorageUnavailable,
)
from autocrud.query.builder import QB
from autocrud.resource import CommitKind, RevisionStatus
from autocrud.storage.composite import Storage
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.types import Head, Outcome, Write
from autocrud.versioning.write_builder import Author, Encoded, create_write, next_meta
from tests.http.conftest import serving
from tests.http.reference_models import MODELS, Person, library, new


def applied(*models: type[BaseModel]) -> None:
    """A service of these models, as far as it comes."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    for model in models:
        crud.add_model(model)
    crud.apply(FastAPI())


def test_references_that_cannot_be_are_refused() -> None:
    """When the service is put together, by name."""

    class Lost(BaseModel):
        owner: Annotated[str, Ref("nobody")]

    class Never(BaseModel):
        owner: Annotated[str, Ref("person", on_delete=OnDelete.set_null)]

    class Number(BaseModel):
        owner: Annotated[int, Ref("person")]

    for model, words in (
        (Lost, "Lost.owner refers to 'nobody', which is not a registered model; registered models: person, lost"),
        (Never, "Never.owner cannot be null"),
        (Number, "Number.owner cannot be a reference"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            applied(Person, model)


async def test_models_may_be_added_in_any_order_and_be_elsewhere(tmp_path: Path) -> None:
    """A manager that was asked for early knows those that came later, and each may have its own storage."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(MODELS[0], storage=DiskStorageFactory(tmp_path))
    films = crud.manager("film")
    for model in MODELS[1:]:
        crud.add_model(model)
    async with crud.running():
        person = (await crud.manager("person").create({"name": "Ann"})).resource_id
        with pytest.raises(ReferenceNotFound):
            await films.create({"director": "nobody"})
        film = (await films.create({"director": person, "cast": [person]})).resource_id
        found = await films.search(QB["director.name"].eq("Ann") & QB["cast.name"].starts_with("A"))
        assert [item.resource_id for item in found.items] == [film]
        with pytest.raises(Referenced):
            await crud.manager("person").delete(person)
        await films.delete(film)
        await crud.manager("person").purge(person)


class Secret(BaseModel):
    """What not everybody may read."""

    words: Annotated[str, Index()] = "x"
    about: Annotated[str | None, Ref("note")] = None


class Note(BaseModel):
    """What everybody may read."""

    secret: Annotated[str | None, Ref("secret")] = None


class Open(BaseModel):
    """A note that says that it may show it."""

    secret: Annotated[str | None, Ref("secret", expand=True)] = None


async def deny() -> None:
    """Nobody gets in."""
    raise ReferenceNotFound("No.")


async def test_a_reference_is_no_way_around_a_guard() -> None:
    """Neither by expanding it, nor by a filter, nor from the other side, unless it says that it may."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Secret, dependencies=[Depends(deny)])
    crud.add_model(Note)
    crud.add_model(Open)
    crud.add_model(Person, routes={"list"})
    crud.add_model(MODELS[0])
    crud.apply(app)
    paths = app.openapi()["paths"]
    shown = ("/note", "/open", "/film")
    names = {path: {part.get("name") for part in paths[path]["get"]["parameters"]} for path in shown}
    assert ["expand" in names[path] for path in shown] == [False, True, False]
    assert "/note/{resource_id}/referrers" not in paths
    async with serving(app) as http:
        secret = (await crud.manager("secret").create({})).resource_id
        note, opened = await new(http, "note", secret=secret), await new(http, "open", secret=secret)
        assert (await http.get(f"/secret/{secret}/referrers")).status_code == 422
        assert (await http.get(f"/note/{note}?expand=secret")).status_code == 400
        shown = (await http.get(f"/open/{opened}?expand=secret")).json()
        assert shown["expanded"]["secret"]["data"]["words"] == "x"
        with pytest.raises(AutoCRUDError, match="not an index field"):
            await crud.manager("note").search(QB["secret.words"].eq("x"))
        assert await crud.manager("open").count(QB["secret.words"].eq("x")) == 1


def test_openapi_shows_what_can_be_expanded() -> None:
    """An enumeration of the references, the envelope with what they lead to, and the list of what refers."""
    app, _ = library(MemoryStorageFactory())
    document = app.openapi()
    (expand,) = (part for part in document["paths"]["/film"]["get"]["parameters"] if part.get("name") == "expand")
    one = "(director|producer|writer|cast)"
    assert expand["schema"]["pattern"] == f"^{one}(,{one})*$"
    schemas = document["components"]["schemas"]
    expanded = schemas["FilmExpanded"]["properties"]
    assert expanded["director"]["anyOf"][0] == {"$ref": "#/components/schemas/PersonResource"}
    assert expanded["cast"]["items"]["anyOf"] == expanded["director"]["anyOf"]
    assert "PersonExpandedResource" in schemas
    assert "/person/{resource_id}/referrers" in document["paths"]
    assert "/quote/{resource_id}/referrers" not in document["paths"]


@pytest.fixture
async def crud() -> AsyncIterator[AutoCRUD]:
    """The library in memory, running."""
    _, crud = library(MemoryStorageFactory())
    async with crud.running():
        yield crud


def meanwhile(monkeypatch: pytest.MonkeyPatch, kind: CommitKind, step: Callable[[], Awaitable[Any]]) -> None:
    """Do something else just before the first commit of this kind, which has looked at everything by then."""
    commit_all, steps = Storage.commit_all, [step]

    async def late(self: Storage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        if kind in {write.kind for write in writes} and steps:
            await steps.pop()()
        return await commit_all(self, writes, atomic=atomic)

    monkeypatch.setattr(Storage, "commit_all", late)


@pytest.mark.parametrize("kind", [CommitKind.create, CommitKind.update, CommitKind.modify, CommitKind.restore])
async def test_a_writer_sees_that_its_reference_went_away(
    crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch, kind: CommitKind
) -> None:
    """What was written is taken back, and whoever reads finds it as it was before."""
    people, films = crud.manager("person"), crud.manager("film")
    ann, ben = [(await people.create({"name": name})).resource_id for name in ("Ann", "Ben")]
    film = (await films.create({"title": "t"}, resource_id="f", status=RevisionStatus.draft)).resource_id
    if kind is CommitKind.restore:
        await films.replace(film, {"director": ann})
        await films.delete(film)
    before = await films.get(film, include_deleted=True)
    meanwhile(monkeypatch, kind, lambda: people.delete(ann))
    new = {"director": ann, "title": "new"}
    writes = {
        CommitKind.create: lambda: films.create(new),
        CommitKind.restore: lambda: films.restore(film),
        CommitKind.update: lambda: films.replace(film, new),
        CommitKind.modify: lambda: films.replace(film, new, modify=True),
    }
    with pytest.raises(ReferenceNotFound, match="refers to what is not there"):
        await writes[kind]()
    after = await films.get(film, include_deleted=True)
    assert after.data_json == before.data_json
    assert (after.meta.is_deleted, after.meta.current_revision_id, after.meta.status) == (
        before.meta.is_deleted,
        before.meta.current_revision_id,
        before.meta.status,
    )
    assert await films.count(include_deleted=True) == 1
    await films.create({"director": ben})


async def test_a_writer_that_others_have_overtaken_keeps_what_they_wrote(
    crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the reference is put back as it was."""
    people, films = crud.manager("person"), crud.manager("film")
    ann = (await people.create({"name": "Ann"})).resource_id
    await films.create({}, resource_id="f")
    commit_all = Storage.commit_all

    async def busy(self: Storage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        first = writes[0].kind is CommitKind.update and writes[0].meta.version == 2
        if first:
            await people.delete(ann)
        outcomes = await commit_all(self, writes, atomic=atomic)
        if first:
            await films.replace("f", {"director": ann, "title": "other"})
        return outcomes

    monkeypatch.setattr(Storage, "commit_all", busy)
    with pytest.raises(ReferenceNotFound):
        await films.replace("f", {"director": ann})
    assert (await films.get("f")).data.model_dump(exclude_defaults=True) == {"title": "other"}


async def test_a_deleter_sees_that_a_reference_came_in(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """What must not be deleted is back, and what can let go lets go."""
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


async def test_writers_and_deleters_at_once_leave_nothing_dangling(tmp_path: Path) -> None:
    """Two nodes on one directory: whoever wins, no live resource refers to what is not there."""
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


async def test_what_fails_is_pending_and_finished_later(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delete says so; the housekeeping goes on where it stopped, and stops where all was restored."""
    films, reviews = crud.manager("film"), crud.manager("review")
    for name in ("f", "g"):
        await films.create({}, resource_id=name)
    for name in "abc":
        await reviews.create({"film": "f", "answers": chr(ord(name) - 1) if name > "a" else None}, resource_id=name)
    await reviews.create({"film": "g"}, resource_id="d")
    commit_all = Storage.commit_all
    with monkeypatch.context() as broken:

        async def fail(self: Storage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
            if self is reviews.node.storage:
                raise StorageUnavailable("away")
            return await commit_all(self, writes, atomic=atomic)

        broken.setattr(Storage, "commit_all", fail)
        for name in ("f", "g"):
            with pytest.raises(StorageUnavailable, match="Deleted, but not all"):
                await films.delete(name)
    await films.restore("g")
    assert [item.resource_id for item in await films.node.storage.pending_deletions(None, 9)] == ["f", "g"]
    await films.run_maintenance()
    assert [item.resource_id for item in (await reviews.search()).items] == ["d"]
    for manager in (films, reviews):
        assert await manager.node.storage.pending_deletions(None, 9) == []
        await manager.run_maintenance()
    assert await reviews.count() == 1


async def test_a_client_that_goes_away_does_not_stop_a_cascade(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has begun is done, though nobody waits for it; and by whoever began it."""
    films, reviews = crud.manager("film"), crud.manager("review")
    await films.create({}, resource_id="f")
    await asyncio.gather(*(reviews.create({"film": "f"}) for _ in range(450)))
    commit_all, begun = Storage.commit_all, asyncio.Event()

    async def slowly(self: Storage, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        begun.set()
        await asyncio.sleep(0)
        return await commit_all(self, writes, atomic=atomic)

    monkeypatch.setattr(Storage, "commit_all", slowly)
    deleting = asyncio.create_task(films.delete("f", by="ada"))
    await begun.wait()
    deleting.cancel()
    await asyncio.wait([deleting])
    await films.references.drain()
    assert await reviews.count() == 0
    assert await reviews.count(QB["updated_by"].eq("ada"), include_deleted=True) == 450


async def test_a_chain_is_followed_to_its_end(crud: AutoCRUD) -> None:
    """However deep: each answers the one before it."""
    films, reviews = crud.manager("film"), crud.manager("review")
    await films.create({}, resource_id="f")
    for number in range(300):
        before = f"r{number - 1}" if number else None
        await reviews.create({"film": "f", "answers": before}, resource_id=f"r{number}")
    await reviews.delete("r0")
    assert await reviews.count() == 0


class Node(BaseModel):
    """A part of a tree whose parts cannot be taken from under others."""

    parent: Annotated[str | None, Ref("node")] = None
    owner: Annotated[str | None, Ref("person", on_delete=OnDelete.cascade)] = None


def made(manager: ResourceManager[Any], resource_id: str, **fields: Any) -> tuple[Write, None]:
    """The creation of a resource, for a group."""
    data = manager.spec.dump(manager.spec.validate(fields))
    now = Author(None, datetime.now(UTC))
    return create_write(manager.spec, resource_id, Encoded(data), now, RevisionStatus.stable, None), None


async def gone(manager: ResourceManager[Any], resource_id: str) -> tuple[Write, Head]:
    """The delete of a resource, for a group."""
    head = (await manager.get(resource_id)).head
    meta = (await manager.get(resource_id)).meta
    author = Author(None, datetime.now(UTC))
    return Write(CommitKind.delete, meta.version, next_meta(meta, author, is_deleted=True)), head


async def test_groups_of_writes_keep_to_references_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may refer to each other and go together; an atomic one is made whole or not at all, in races too."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Node)
    crud.add_model(Person)
    async with crud.running():
        nodes, people = crud.manager("node"), crud.manager("person")
        group = [made(nodes, "child", parent="top"), made(nodes, "top"), made(nodes, "lost", parent="nobody")]
        assert [type(item) for item in await nodes.references.commit_all(group)] == [
            type(None),
            type(None),
            ReferenceNotFound,
        ]
        refused = [made(nodes, "good"), made(nodes, "bad", parent="nobody")]
        outcomes = await nodes.references.commit_all(refused, atomic=True)
        assert [type(item) for item in outcomes] == [Aborted, ReferenceNotFound]
        assert [type(item) for item in await nodes.references.commit_all([await gone(nodes, "top")])] == [Referenced]
        both = [await gone(nodes, name) for name in ("top", "child")]
        assert await nodes.references.commit_all(both, atomic=True) == [None, None]
        assert await nodes.count() == 0
        for name in ("a", "b"):
            await people.create({"name": name}, resource_id=name)
        await nodes.create({"owner": "a"}, resource_id="old")
        meanwhile(monkeypatch, CommitKind.create, lambda: people.delete("b"))
        late = [made(nodes, "new", owner="b"), made(nodes, "other", parent="old")]
        outcomes = await nodes.references.commit_all(late, atomic=True)
        assert [type(item) for item in outcomes] == [ReferenceNotFound, Aborted]
        assert [item.resource_id for item in (await nodes.search()).items] == ["old"]
        await nodes.references.commit_all([await gone(nodes, "old"), made(nodes, "next", owner="a")])
        await people.references.commit_all([await gone(people, "a")])
        assert await nodes.count() == 0


class Link(BaseModel):
    """A part of a chain, which is kept, or taken along, by those before it."""

    code: Annotated[str | None, Unique()] = None
    held: Annotated[str | None, Ref("link")] = None
    taken: Annotated[str | None, Ref("link", on_delete=OnDelete.cascade)] = None


@pytest.mark.parametrize("by", ["held", "taken"])
async def test_what_relies_on_a_refused_part_of_a_group_is_refused(by: str) -> None:
    """However far, in whatever order, and before the commit or by it; what is answered as done is there."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Link)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        await http.post("/link/bulk", json=[{"op": "create", "id": "old", "data": {"code": "1"}}])
        for number, (first, status) in enumerate((({"held": "nobody"}, 422), ({"code": "1"}, 409))):
            names = [f"{number}{letter}" for letter in "abcd"]
            data = [first, *({by: name} for name in names)]
            asked = [{"op": "create", "id": name, "data": part} for name, part in zip(names, data, strict=False)]
            for operations in (asked, asked[::-1]):
                items = (await http.post("/link/bulk", json=operations)).json()["items"]
                found = {item["id"]: item["status"] for item in items}
                assert found == dict.fromkeys(names, 422) | {names[0]: status}
        # What is refused because it is there already can be relied on.
        asked = [{"op": "create", "id": name, "data": {by: "old"}} for name in ("old", "new")]
        items = (await http.post("/link/bulk", json=asked)).json()["items"]
        assert [item["status"] for item in items] == [409, 201]
        listed = (await http.get("/link?sort=resource_id")).json()["items"]
        assert [item["meta"]["resource_id"] for item in listed] == ["new", "old"]


async def test_lists_ask_once_for_all_that_they_expand(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many resources there are on the page, and however many they refer to."""
    people, films = crud.manager("person"), crud.manager("film")
    ids = [(await people.create({"name": f"p{number:03}"})).resource_id for number in range(150)]
    await asyncio.gather(*(films.create({"director": name, "cast": ids[:5]}) for name in ids))
    get_many, calls = Storage.get_many, list[int]()

    async def counted(self: Storage, resource_ids: Sequence[str], *, current: bool = False) -> dict[str, Head]:
        calls.append(len(resource_ids))
        return await get_many(self, resource_ids, current=current)

    monkeypatch.setattr(Storage, "get_many", counted)
    page = await films.search(limit=200)
    expanded = await films.expanded(page.items, ["director", "cast"])
    assert calls == [150]
    directors = [item for each in expanded for item in [each["director"]] if isinstance(item, Resource)]
    assert {item.data.name for item in directors} == {f"p{number:03}" for number in range(150)}


async def test_what_a_filter_reaches_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many are found by one list of ids; too many are refused, in words that help."""
    _, crud = library(DiskStorageFactory(tmp_path))
    async with crud.running():
        people, films = crud.manager("person"), crud.manager("film")
        ids = [made(people, f"p{number}", name=f"p{number}") for number in range(150)]
        assert not any(await people.references.commit_all(ids))
        assert not any(await films.references.commit_all([made(films, f"f{n}", director=f"p{n}") for n in range(150)]))
        assert await films.count(QB["director.name"].starts_with("p")) == 150
        monkeypatch.setattr("autocrud.references.reference_filters.MAX_REACHED", 149)
        with pytest.raises(InvalidParameter, match=r"director\.name: holds for more than 149 person resources"):
            await films.search(QB["director.name"].starts_with("p"))


class Role(BaseModel):
    """Who plays what."""

    person: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None
    part: str = ""


class Play(BaseModel):
    """References within records, and within lists of them."""

    lead: Role | None = None
    roles: list[Role] = []
    crew: list[Annotated[str, Ref("person")]] = []


async def test_references_may_stand_anywhere_in_a_record() -> None:
    """They are checked, followed both ways, asked through, and let go of, by their paths."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Play)
    crud.add_model(Person)
    async with crud.running():
        plays, people = crud.manager("play"), crud.manager("person")
        for name in ("ann", "ben"):
            await people.create({"name": name}, resource_id=name)
        with pytest.raises(ReferenceNotFound) as refused:
            await plays.create({"lead": {"person": "nobody"}, "roles": [{"person": "ann"}, {"person": "no"}]})
        assert [error.field for error in refused.value.errors] == ["lead.person", "roles.person"]
        roles = [{"person": "ann", "part": "1"}, {"part": "2"}, {"person": "ben", "part": "3"}]
        play = await plays.create({"lead": {"person": "ann"}, "roles": roles, "crew": ["ben"]})
        assert await plays.count(QB["roles.person.name"].eq("ben") & QB["lead.person.name"].eq("ann")) == 1
        (expanded,) = await plays.expanded([play], ["roles.person"])
        assert isinstance(expanded["roles.person"], list)
        assert [item.resource_id for item in expanded["roles.person"] if item] == ["ann", "ben"]
        fields = [item.reference.field.name for item in (await people.referrers("ann")).items]
        assert fields == ["lead.person", "roles.person"]
        await people.delete("ann")
        stored = (await plays.get(play.resource_id)).data
        assert stored.lead == Role()
        assert [role.person for role in stored.roles] == [None, None, "ben"]
        with pytest.raises(Referenced, match="is the crew of play"):
            await people.delete("ben")


async def test_filters_through_references_are_documented_and_listed() -> None:
    """Each with its type; and who asks for another one is told which there are."""
    app, _ = library(MemoryStorageFactory())
    shown = app.openapi()["components"]["parameters"]
    by_name = {part["name"]: part for part in shown.values()}
    assert by_name["director.name__in"]["schema"]["items"]["type"] == "string"
    assert by_name["director.email__is_null"]["schema"] == {"type": "boolean"}
    assert by_name["film.cast__contains_any"]["schema"]["type"] == "array"
    async with serving(app) as http:
        detail = (await http.get("/film?director.words=x")).json()["detail"]
        assert "director.name, director.email, director.boss" in detail
        for name in ("director.name__in", "cast.email__is_null", "director.boss__starts_with"):
            assert (await http.get("/film", params={name: "true"})).status_code == 200
