"""Visibility of references: guards, expansion, reference filters and their documentation."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index, Ref, Resource
from autocrud.errors import (
    AutoCRUDError,
    InvalidParameter,
    ReferenceNotFound,
)
from autocrud.query.builder import QB
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.model_storage import ModelStorage
from autocrud.storage.ports.types import Head
from tests.http.conftest import serving
from tests.http.openapi_helpers import parameters_of
from tests.http.reference_models import MODELS, Person, library, made, new


class Secret(BaseModel):
    """A model with a guard."""

    words: Annotated[str, Index()] = "x"
    about: Annotated[str | None, Ref("note")] = None


class Note(BaseModel):
    """A model without a guard."""

    secret: Annotated[str | None, Ref("secret")] = None


class Open(BaseModel):
    """A note whose reference sets `expand=True`."""

    secret: Annotated[str | None, Ref("secret", expand=True)] = None


async def deny() -> None:
    """Refuse every request."""
    raise ReferenceNotFound("No.")


async def test_reference_does_not_bypass_a_guard() -> None:
    """Neither expand, nor filters, nor referrers, unless the field allows it."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Secret, dependencies=[Depends(deny)])
    crud.add_model(Note)
    crud.add_model(Open)
    crud.add_model(Person, routes={"list"})
    crud.add_model(MODELS[0])
    crud.apply(app)
    document, paths = app.openapi(), ("/note", "/open", "/film")
    assert ["expand" in parameters_of(document, path) for path in paths] == [False, True, False]
    assert "/note/{resource_id}/referrers" not in document["paths"]
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


def test_openapi_describes_expand_and_referrers() -> None:
    """The enumeration of references and the expanded envelope."""
    app, _ = library(MemoryStorageFactory())
    document = app.openapi()
    expand = parameters_of(document, "/film")["expand"]
    one = "(director|producer|writer|cast)"
    assert expand["schema"]["pattern"] == f"^{one}(,{one})*$"
    schemas = document["components"]["schemas"]
    expanded = schemas["FilmExpanded"]["properties"]
    assert expanded["director"]["anyOf"][0] == {"$ref": "#/components/schemas/PersonResource"}
    assert expanded["cast"]["items"]["anyOf"] == expanded["director"]["anyOf"]
    assert "PersonExpandedResource" in schemas
    assert "/person/{resource_id}/referrers" in document["paths"]
    assert "/quote/{resource_id}/referrers" not in document["paths"]


async def test_list_expands_with_few_queries_per_model(crud: AutoCRUD, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of resources and references. A first query tells the size of the targets."""
    people, films = crud.manager("person"), crud.manager("film")
    ids = [(await people.create({"name": f"p{number:03}"})).resource_id for number in range(150)]
    await asyncio.gather(*(films.create({"director": name, "cast": ids[:5]}) for name in ids))
    get_many, calls = ModelStorage.get_many, list[int]()

    async def counted(self: ModelStorage, resource_ids: Sequence[str], *, current: bool = False) -> dict[str, Head]:
        calls.append(len(resource_ids))
        return await get_many(self, resource_ids, current=current)

    monkeypatch.setattr(ModelStorage, "get_many", counted)
    page = await films.search(limit=200)
    expanded = await films.expanded(page.items, ["director", "cast"])
    assert sum(calls) == 150
    assert len(calls) <= 2
    directors = [item for each in expanded for item in [each["director"]] if isinstance(item, Resource)]
    assert {item.data.name for item in directors} == {f"p{number:03}" for number in range(150)}


async def test_reference_filter_with_too_many_matches_is_400(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message helps."""
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


async def test_openapi_lists_reference_filters() -> None:
    """An unknown filter is refused with the known ones."""
    app, _ = library(MemoryStorageFactory())
    schemas = app.openapi()["components"]["schemas"]
    members = schemas["FilmFilter"]["properties"] | schemas["ReviewFilter"]["properties"]
    assert members["director.name__in"] == {"$ref": "#/components/schemas/FilterTextList"}
    assert members["director.email__is_null"] == {"type": "boolean"}
    assert members["film.cast__contains_any"] == {"$ref": "#/components/schemas/FilterTextList"}
    async with serving(app) as http:
        detail = (await http.get("/film?director.words=x")).json()["detail"]
        assert "director.name, director.email, director.boss" in detail
        for name in ("director.name__in", "cast.email__is_null", "director.boss__starts_with"):
            assert (await http.get("/film", params={name: "true"})).status_code == 200
