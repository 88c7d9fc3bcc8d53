"""Rules of access over HTTP and in Python: rows, fields, writes, references, blobs and tenants."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel

from autocrud import QB, AutoCRUD, Binary, Index, Ref, Unique
from autocrud.access import Access, Principal, anyone, owner, read_only, role, where
from autocrud.errors import BlobNotFound, ConfigurationError, Forbidden, NotFound, Unauthenticated
from autocrud.manager.bulk.operation import BulkOp, BulkOperation
from autocrud.pages import add_home
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving

MERGE = {"content-type": "application/merge-patch+json"}
STEPS = {"content-type": "application/json-patch+json"}
ED, ANN, BOB = Principal("ed", {"editor", "author"}), Principal("ann", {"author"}), Principal("bob")


class Article(BaseModel):
    """An article."""

    title: str
    status: Annotated[str, Index()] = "draft"
    slug: Annotated[str | None, Unique()] = None
    internal_notes: str = ""
    rating: int = 0
    image: Binary | None = None


class Comment(BaseModel):
    """A comment, open to every principal."""

    article: Annotated[str | None, Ref("article")] = None


ACCESS = Access(
    read=role("editor") | where(lambda user: QB["status"].eq("published") | QB["created_by"].eq(user.id)),
    create=role("author"),
    update=role("editor") | owner() & where(QB["title"].ne("locked") & QB["status"].eq("draft")),
    delete=role("editor"),
    fields={"internal_notes": role("editor"), "rating": read_only()},
)


async def authenticate(request: Request) -> Principal | None:
    """Return the principal that a header names."""
    return {"ed": ED, "ann": ANN, "bob": BOB}.get(request.headers.get("x-user", ""))


@pytest.fixture
async def crud() -> AsyncIterator[AutoCRUD]:
    """Yield a registry with an article of ann."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), authenticator=authenticate)
    crud.add_model(Article, access=ACCESS)
    crud.add_model(Comment)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        vars(crud)["http"] = http
        await crud.manager(Article).create(
            {"title": "a", "slug": "s", "internal_notes": "x"}, resource_id="a", by="ann"
        )
        yield crud


async def send(crud: AutoCRUD, method: str, path: str, user: str = "", **options: Any) -> httpx.Response:
    """Send a request of a user."""
    headers = options.pop("headers", {}) | ({"x-user": user} if user else {})
    response: httpx.Response = await vars(crud)["http"].request(method, path, headers=headers, **options)
    return response


async def test_hidden_row_is_a_missing_one(crud: AutoCRUD) -> None:
    hidden, missing = [await send(crud, "GET", f"/article/{name}", "bob") for name in ("a", "none")]
    assert (hidden.status_code, hidden.text) == (404, missing.text.replace("none", "a"))
    assert (await send(crud, "GET", "/article/a")).status_code == 401
    assert [(await send(crud, "GET", "/article/count", user)).json()["count"] for user in ("ann", "bob")] == [1, 0]


async def test_hidden_field_is_neither_read_nor_changed(crud: AutoCRUD) -> None:
    """A PUT keeps it, and a JSON Patch cannot copy it."""
    shown = (await send(crud, "GET", "/article/a", "ann")).json()
    assert "internal_notes" not in shown["data"]
    assert (shown["revision_info"]["data_hash"], shown["revision_info"]["size"]) == ("", 0)
    put = await send(crud, "PUT", "/article/a", "ann", json={"title": "b"})
    assert put.json()["data"] == {"title": "b", "status": "draft", "slug": None, "rating": 0, "image": None}
    copy = [{"op": "copy", "from": "/internal_notes", "path": "/title"}]
    assert (await send(crud, "PATCH", "/article/a", "ann", json=copy, headers=STEPS)).status_code == 409
    for body in ({"internal_notes": "y"}, {"rating": 9}):
        refused = await send(crud, "PATCH", "/article/a", "ann", json=body, headers=MERGE)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (403, next(iter(body)))
        refused = await send(crud, "POST", "/article", "ann", json={"title": "n"} | body)
        assert refused.status_code == 403
    stored = (await crud.manager(Article).get("a")).data
    assert (stored.title, stored.internal_notes, stored.rating) == ("b", "x", 0)


async def test_rule_of_a_write_holds_before_and_after_it(crud: AutoCRUD) -> None:
    """An author may not publish, nor change what he may not change any more."""
    for body, status in (({"status": "published"}, 403), ({"title": "locked"}, 403), ({"title": "c"}, 200)):
        assert (await send(crud, "PATCH", "/article/a", "ann", json=body, headers=MERGE)).status_code == status
    assert (await send(crud, "PATCH", "/article/a", "ed", json={"title": "locked"}, headers=MERGE)).status_code == 200
    assert (await send(crud, "PATCH", "/article/a", "ann", json={"title": "d"}, headers=MERGE)).status_code == 403
    operations = [{"op": "patch", "model": "article", "id": "a", "merge": {"title": "e"}}]
    assert (await send(crud, "POST", "/transaction", "ann", json={"operations": operations})).status_code == 403
    bulk = await send(crud, "POST", "/article/bulk", "ann", json={"operations": [{"op": "delete", "id": "a"}]})
    assert bulk.json()["items"][0]["status"] == 403
    assert (await crud.manager(Article).get("a")).data.title == "locked"


async def test_refusals_name_no_hidden_resource(crud: AutoCRUD) -> None:
    """Neither the holder of a unique value, nor the target of a reference, nor a referrer."""
    other = await crud.manager(Article).create({"title": "b"}, resource_id="b", by="ed")
    taken = await send(crud, "POST", "/article", "ed", json={"title": "n", "slug": "s"})
    assert taken.json()["holder"] == "a"
    await crud.manager(Article).patch("b", {"slug": "t"}, if_match=other.tag)
    taken = await send(crud, "POST", "/article", "ann", json={"title": "n", "slug": "t"})
    assert (taken.status_code, "holder" in taken.json()) == (409, False)
    answers = [await send(crud, "POST", "/comment", "bob", json={"article": name}) for name in ("a", "none")]
    assert [answer.status_code for answer in answers] == [422, 422]
    assert answers[0].text == answers[1].text.replace("none", "a")


async def test_blob_is_attached_by_its_uploader_or_stays(crud: AutoCRUD) -> None:
    """Who knows the hash of bytes that another one uploaded cannot attach them, and so cannot read them."""
    upload = {"content": b"bytes", "headers": {"content-type": "text/plain"}}
    image = {"file_id": (await send(crud, "POST", "/article/blobs", "ed", **upload)).json()["file_id"]}
    stolen = await send(crud, "PATCH", "/article/a", "ann", json={"image": image}, headers=MERGE)
    unknown = await send(crud, "PATCH", "/article/a", "ann", json={"image": {"file_id": "0" * 64}}, headers=MERGE)
    assert (stolen.status_code, stolen.text) == (422, unknown.text)
    assert (await send(crud, "PATCH", "/article/a", "ed", json={"image": image}, headers=MERGE)).status_code == 200
    kept = await send(crud, "PATCH", "/article/a", "ann", json={"title": "t"}, headers=MERGE)
    assert kept.json()["data"]["image"]["file_id"] == image["file_id"]
    put = await send(crud, "PUT", "/article/a", "ann", json={"title": "u", "image": image})
    assert put.status_code == 200
    await send(crud, "POST", "/article/blobs", "ann", **upload)
    assert (await send(crud, "POST", "/article", "ann", json={"title": "n", "image": image})).status_code == 201


async def test_history_and_blobs_are_rights_to_single_resources() -> None:
    """Also those that only the past has. A reader without the right to the history sees the current blobs."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Article, temporal=True, access=Access(history=owner(), fields={"internal_notes": role("editor")}))
    async with crud.running():
        own, other = crud.manager(Article, principal=ANN), crud.manager(Article, principal=BOB)
        first = await own.create({"title": "a", "image": {"data": "b25l"}}, resource_id="a")
        await own.replace("a", {"title": "a", "image": {"data": "dHdv"}})
        old = first.data.image
        new = (await other.get("a")).data.image
        assert old is not None
        assert new is not None
        await other.blobs.get("a", new.file_id or "")
        await own.blobs.get("a", old.file_id or "")
        for read in (
            other.revisions("a"), other.commits("a"), other.diff("a", "1", "2"), other.get("a", revision_id="1"),
            other.get("a", at=first.meta.created_time),
        ):  # fmt: skip
            with pytest.raises(Forbidden, match=r"^You do not have the right to read the history of article\.$"):
                await read
        with pytest.raises(BlobNotFound):
            await other.blobs.get("a", old.file_id or "")
        now = datetime.now(UTC)
        assert [len((await who.search(at=now)).items) for who in (own, other)] == [1, 0]
        assert len((await own.revisions("a")).items) == 2


class Folder(BaseModel):
    """A record whose file is hidden, and is required."""

    name: str
    file: Binary


async def test_hidden_file_is_not_read_by_its_hash() -> None:
    """Nor listed as unreadable, because the data lacks a required field. The export has no history."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Folder, access=Access(fields={"file": role("editor")}))
    async with crud.running():
        folder = await crud.manager(Folder).create({"name": "n", "file": {"data": "b25l"}}, resource_id="f")
        reader, editor = crud.manager(Folder, principal=BOB), crud.manager(Folder, principal=ED)
        file_id = folder.data.file.file_id or ""
        assert (await editor.blobs.get("f", file_id)).blob.size == 3
        with pytest.raises(BlobNotFound):
            await reader.blobs.get("f", file_id)
        assert (await reader.search(unreadable=True)).items == []
        assert (await reader.patch("f", {"name": "m"})).shown_json == b'{"name":"m"}'
        assert (await crud.manager(Folder).get("f")).data.file.file_id == file_id
        for raw in (False, True):
            lines = b"".join([chunk async for chunk in reader.transfer.export(blobs=True, raw=raw)])
            assert file_id.encode() not in lines
        with pytest.raises(Forbidden):
            reader.transfer.export(history=True)


async def test_upsert_needs_no_right_to_lists() -> None:
    """The holder is found, and the result has no hidden field."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    access = Access(list=role("editor"), fields={"internal_notes": role("editor")})
    crud.add_model(Article, access=access)
    async with crud.running():
        await crud.manager(Article).create({"title": "a", "slug": "s", "internal_notes": "x"}, resource_id="a")
        found = await crud.manager(Article, principal=BOB).create({"title": "b", "slug": "s"}, on_conflict="merge")
        assert (found.resource_id, found.is_partial) == ("a", True)
        stored = (await crud.manager(Article).get("a")).data
        assert (stored.title, stored.internal_notes) == ("b", "x")


async def test_manager_with_a_principal_has_the_rules(crud: AutoCRUD) -> None:
    """The manager without one has none."""
    with pytest.raises(NotFound):
        await crud.manager(Article, principal=BOB).get("a")
    with pytest.raises(Forbidden):
        await crud.manager("article", principal=ANN).delete("a")
    with pytest.raises(Unauthenticated):
        await crud.manager(Article, principal=None).create({"title": "n"})
    created = await crud.manager(Article, principal=ANN).create({"title": "n"}, by="bob")
    assert (created.meta.created_by, created.is_partial) == ("ann", True)
    async with crud.transaction(principal=ANN, by="bob") as transaction:
        with pytest.raises(Forbidden):
            await transaction.create(Article, {"title": "n", "rating": 4})
        assert (await transaction.get(Article, "a")).is_partial
        mine = await transaction.create(Article, {"title": "m"}, resource_id="m")
        assert (mine.is_partial, mine.meta.created_by) == (True, "ann")
    operation = BulkOperation(BulkOp.create, "k", {"title": "k"})
    results = crud.manager(Article, principal=ANN).bulk.run([operation], by="bob")
    assert [result.error async for result in results] == [None]
    assert (await crud.manager(Article).get("k")).meta.created_by == "ann"
    assert await crud.manager(Article).count() == 4


async def test_home_page_counts_what_the_principal_may_list() -> None:
    """Also in a new context, as a server has for each request. A model that he may not list has no count."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), authenticator=authenticate)
    crud.add_model(Article, access=ACCESS)
    crud.add_model(Comment, access=Access(list=role("editor")))
    app = FastAPI()
    crud.apply(app)
    add_home(app)
    async with serving(app) as http:
        await crud.manager(Article).create({"title": "a"}, by="ann")

        async def counts(user: str) -> list[int | None]:
            headers = {"x-user": user, "accept": "application/json"}
            request = asyncio.create_task(http.get("/", headers=headers), context=Context())
            return [model["count"] for model in (await request).json()["models"]]

        assert [await counts(user) for user in ("ed", "ann", "bob")] == [[1, 0], [1, None], [0, None]]


class Invoice(BaseModel):
    """An invoice of a tenant."""

    org_id: Annotated[str, Index()]
    total: int = 0


async def test_tenants_see_their_own_resources_only() -> None:
    """A new resource gets the tenant of its principal, also in a PUT, and no other one."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Invoice, access=Access(tenant="org_id"))
    async with crud.running():
        here, there, outside = [
            crud.manager(Invoice, principal=Principal("ann", tenant=tenant)) for tenant in ("a", "b", None)
        ]
        invoice = await here.create({"total": 1}, resource_id="i")
        assert invoice.data.org_id == "a"
        assert (await here.replace("i", {"total": 2})).data == Invoice(org_id="a", total=2)
        for write in (here.create({"org_id": "b"}), here.patch("i", {"org_id": "b"}), outside.create({"org_id": "a"})):
            with pytest.raises(Forbidden):
                await write
        with pytest.raises(NotFound):
            await there.delete("i")
        assert [await manager.count() for manager in (here, there)] == [1, 0]


async def test_models_without_rules_can_be_closed() -> None:
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), authenticator=authenticate, default_access="deny")
    crud.add_model(Comment)
    crud.add_model(Article, access=Access(read=anyone()))
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        assert (await http.get("/comment", headers={"x-user": "ed"})).status_code == 403
        assert (await http.get("/article/none")).status_code == 404
        assert (await http.post("/article", json={"title": "n"})).status_code == 401


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (Access(read=where(QB["title"].eq("x"))), "compares 'title', which is not indexed"),
        (Access(update=where(QB["nothing"].eq("x"))), "A rule of article names 'nothing'"),
        (Access(fields={"nothing": role("editor")}), "no field 'nothing'"),
        (Access(fields={"title": owner()}), "must not depend on the resource"),
        (Access(tenant="nothing"), "no field 'nothing'"),
    ],
)
async def test_rule_that_cannot_work_is_refused(access: Access, words: str) -> None:
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Article, access=access)
    with pytest.raises(ConfigurationError, match=words):
        crud.apply(FastAPI())
