"""Reference integrity: invalid fields, races of writers and deleters, groups of writes, nested references."""

from pathlib import Path
from typing import Annotated

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref, Unique
from autocrud.errors import (
    Aborted,
    ConfigurationError,
    Referenced,
    ReferenceNotFound,
)
from autocrud.query.builder import QB
from autocrud.resource import CommitKind, RevisionStatus
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving
from tests.http.reference_models import MODELS, Person, gone, made, meanwhile


def applied(*models: type[BaseModel]) -> None:
    """Apply a service of these models."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    for model in models:
        crud.add_model(model)
    crud.apply(FastAPI())


def test_invalid_reference_field_is_refused() -> None:
    """The error names the field."""

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


async def test_models_with_references_may_be_added_in_any_order(tmp_path: Path) -> None:
    """An early manager enforces later references. Each model may have its own storage."""
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


@pytest.mark.parametrize("kind", [CommitKind.create, CommitKind.update, CommitKind.modify, CommitKind.restore])
async def test_write_is_refused_if_its_target_is_deleted_meanwhile(
    crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch, kind: CommitKind
) -> None:
    """The resource is as before the write, and has no version more."""
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
    with pytest.raises(ReferenceNotFound, match="refers to resources that do not exist"):
        await writes[kind]()
    after = await films.get(film, include_deleted=True)
    assert (after.data_json, after.meta) == (before.data_json, before.meta)
    assert await films.count(include_deleted=True) == 1
    await films.create({"director": ben})


class Node(BaseModel):
    """A node of a tree whose parents are restricted."""

    parent: Annotated[str | None, Ref("node")] = None
    owner: Annotated[str | None, Ref("person", on_delete=OnDelete.cascade)] = None


async def test_group_of_writes_keeps_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes may refer to each other. An atomic group applies as a whole, in races too."""
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
    """A link of a chain with restrict or cascade."""

    code: Annotated[str | None, Unique()] = None
    held: Annotated[str | None, Ref("link")] = None
    taken: Annotated[str | None, Ref("link", on_delete=OnDelete.cascade)] = None


@pytest.mark.parametrize("by", ["held", "taken"])
async def test_write_that_relies_on_a_refused_write_is_refused(by: str) -> None:
    """At any distance, in any order, before and after the commit."""
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


class Role(BaseModel):
    """A role in a play."""

    person: Annotated[str | None, Ref("person", on_delete=OnDelete.set_null)] = None
    part: str = ""


class Play(BaseModel):
    """References in nested records and lists."""

    lead: Role | None = None
    roles: list[Role] = []
    crew: list[Annotated[str, Ref("person")]] = []


async def test_nested_references_are_enforced() -> None:
    """Checked, expanded, filtered and set to null by their paths."""
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
