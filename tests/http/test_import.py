"""Imports restore exports byte for byte, on each backend."""

from collections.abc import Sequence
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.errors import StorageUnavailable
from autocrud.schema.markers import Ref
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.ports.types import Outcome, Write
from tests.http.blob_models import Album, album, uploaded
from tests.http.conftest import Book, Serve, serving
from tests.http.transfer_helpers import exported, history, imported, lines_of, parsed


async def test_import_restores_an_export_byte_for_byte(serve: Serve) -> None:
    """States and histories. A second import changes nothing."""
    async with serve() as http:
        await history(http)
        whole = await exported(http, include_deleted=True), await exported(http, history=True)
    for number, content in enumerate(whole):
        params: dict[str, Any] = {"history": True} if number else {"include_deleted": True}
        model, lines = f"copy{number}", len(content.splitlines())
        async with serve(name=model) as http:
            assert await imported(http, content, model) == ({"end": True, "line": lines, "created": lines}, [])
            assert await exported(http, model, **params) == content
            again = await imported(http, content, model, on_duplicate="overwrite")
            assert again == ({"end": True, "line": lines, "unchanged": lines}, [])
            before = (await http.get(f"/{model}/a")).json()
            after = (await http.put(f"/{model}/a", json={"title": "later"})).json()
            assert after["meta"]["version"] == before["meta"]["version"] + 1
            assert after["revision_info"]["parent_revision_id"] == before["meta"]["current_revision_id"]
            revisions = (await http.get(f"/{model}/a/revisions")).json()["items"]
            assert revisions[1]["revision_info"] == before["revision_info"]
            assert (await http.post(f"/{model}/b/restore")).status_code == 200
            assert (await http.get(f"/{model}", params={"title": "later"})).json()["items"] == [after]


async def test_import_restores_blobs(serve: Serve) -> None:
    """Without their bytes, or with other bytes, referrers are refused."""
    large = bytes(range(256)) * 6000
    async with serve(Album, name="album", max_body_bytes=8192) as http:
        cover, page = await uploaded(http, large), await uploaded(http, b"")
        path = await album(http, title="one", cover=cover, pages=[page])
        await http.put(path, json={"title": "two", "pages": [page]})
        content = await exported(http, "album", blobs=True, history=True)
        without = await exported(http, "album", history=True)
    resource_id = path.rpartition("/")[2]
    async with serve(Album, name="copy") as http:
        _, refused = await imported(http, without, "copy")
        assert [(report["line"], report["error"]["code"]) for report in refused] == [
            (1, "invalid_data"), (2, "invalid_data"),
        ]  # fmt: skip
        damaged = content.replace(b'"offset":0,"data":"AAEC', b'"offset":0,"data":"BBEC')
        _, refused = await imported(http, damaged, "copy")
        assert [report["line"] for report in refused] == [2, 4, 5]
        assert "must be" in refused[0]["error"]["errors"][0]["message"]
        counts, refused = await imported(http, content, "copy")
        assert (counts, refused) == ({"end": True, "line": 5, "created": 2, "blobs": 1}, [])
        assert await exported(http, "copy", blobs=True, history=True) == content
        assert (await http.get(f"/copy/{resource_id}/blobs/{cover['file_id']}")).content == large
        # A blob that only the overwritten resource refers to stays with the one in its place.
        (line,) = parsed(await exported(http, "copy"))
        line["meta"]["created_by"] = "ada"
        assert await imported(http, lines_of(line), "copy", on_duplicate="overwrite") == (
            {"end": True, "line": 1, "overwritten": 1}, [],
        )  # fmt: skip
        assert (await http.get(f"/copy/{resource_id}/blobs/{page['file_id']}")).status_code == 200
        assert (await http.get(f"/copy/{resource_id}/blobs/{cover['file_id']}")).status_code == 404


async def test_import_of_a_taken_id_follows_on_duplicate(http: httpx.AsyncClient) -> None:
    """Error by default, skip, overwrite, or new revision."""
    await history(http)
    content = await exported(http, include_deleted=True)
    told = await exported(http, history=True)
    await http.put("/book/a", json={"title": "other", "isbn": "x"})
    await http.post("/book/b/restore")
    counts, refused = await imported(http, content)
    assert counts == {"end": True, "line": 3, "unchanged": 1, "failed": 2}
    assert [(report["line"], report["error"]["status"]) for report in refused] == [(1, 409), (2, 409)]
    assert {report["error"]["code"] for report in refused} == {"already_exists"}
    counts, _ = await imported(http, content, on_duplicate="skip")
    assert counts == {"end": True, "line": 3, "unchanged": 1, "skipped": 2}
    counts, _ = await imported(http, content, on_duplicate="new_revision")
    assert counts == {"end": True, "line": 3, "unchanged": 2, "updated": 1}
    assert (await http.get("/book/a")).json()["meta"]["version"] == 8
    assert await imported(http, content, on_duplicate="overwrite") == (
        {"end": True, "line": 3, "unchanged": 1, "overwritten": 2}, [],
    )  # fmt: skip
    assert await exported(http, include_deleted=True) == content
    assert len((await http.get("/book/a/revisions")).json()["items"]) == 1
    # Histories: another one is refused, left out or overwritten as a whole; and c still has its own.
    total = len(told.splitlines())
    there = sum(line["meta"]["resource_id"] == "c" for line in parsed(told))
    assert (await imported(http, told))[0] == {
        "end": True, "line": total, "unchanged": there, "failed": total - there,
    }  # fmt: skip
    counts, _ = await imported(http, told, on_duplicate="skip")
    assert counts == {"end": True, "line": total, "unchanged": there, "skipped": total - there}
    counts, _ = await imported(http, told, on_duplicate="new_revision")
    assert counts == {"end": True, "line": total, "unchanged": there, "failed": total - there}
    counts, _ = await imported(http, told, on_duplicate="overwrite")
    assert counts == {"end": True, "line": total, "unchanged": there, "overwritten": total - there}
    assert await exported(http, history=True) == told
    # Nothing is lost where what would come in its place is refused.
    await http.put("/book/d", json={"title": "d", "isbn": "new"}, headers={"If-None-Match": "*"})
    line = parsed(content)[0]
    line["data"]["isbn"] = "new"
    counts, (refusal,) = await imported(http, lines_of(line), on_duplicate="overwrite")
    assert (counts["failed"], refusal["error"]["code"]) == (1, "unique_violation")
    assert await exported(http, resource_id__in="a,b,c", history=True) == told
    headers = {"Content-Type": "application/x-ndjson"}
    assert (await http.post("/book/import", params={"on_duplicate": "mend"}, headers=headers)).status_code == 400
    assert (await http.post("/book/import", json={})).status_code == 415


async def test_import_of_bare_data_creates_resources(http: httpx.AsyncClient) -> None:
    """With an id and without. Equal data is unchanged, and a unique value is refused."""
    same = {"title": "b", "isbn": "1"}
    body = lines_of({"data": {"title": "a"}}, {"id": "b", "data": same}, {"data": {"title": "c", "isbn": "1"}})
    counts, (refusal,) = await imported(http, body + b"\r\n\n")
    assert counts == {"end": True, "line": 5, "created": 2, "failed": 1}
    assert (refusal["line"], refusal["error"]["code"]) == (3, "unique_violation")
    read = (await http.get("/book/b")).json()
    assert (read["data"]["title"], read["meta"]["version"]) == ("b", 1)
    counts, _ = await imported(http, lines_of({"id": "b", "data": same}))
    assert counts == {"end": True, "line": 1, "unchanged": 1}
    twice = lines_of(*({"id": "b", "data": {"title": title}} for title in ("x", "y")))
    assert (await imported(http, twice, on_duplicate="new_revision"))[0]["updated"] == 2
    assert (await http.get("/book/b")).json()["data"]["title"] == "y"


async def test_interrupted_import_continues(http: httpx.AsyncClient) -> None:
    """By sending everything again, or from a line. A truncated body loses nothing."""
    values = [{"id": f"r{number:04}", "data": {"title": str(number)}} for number in range(2200)]
    body = lines_of(*values)
    half = len(body) // 2 + 7

    async def breaking() -> Any:
        yield body[:half]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await imported(http, breaking())
    assert (await http.get("/book/count")).json()["count"] == 1000
    counts, refused = await imported(http, body[:half])
    assert (counts["line"], len(refused)) == (len(body[:half].splitlines()), 1)
    done = counts["line"] - 1
    assert (await imported(http, body, start=done))[0] == {"end": True, "line": 2200, "created": 2200 - done}
    assert (await imported(http, body))[0] == {"end": True, "line": 2200, "unchanged": 2200}
    assert (await imported(http, b"", start=7))[0] == {"end": True, "line": 7}


async def test_outage_ends_an_import_with_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Earlier lines are durable, and the last line has the number to continue from."""
    storage = MemoryStorageFactory().build(ModelSpec(Book))
    crud, app = AutoCRUD(), FastAPI()
    crud.add_model(Book, storage=storage)
    crud.apply(app)
    commit_all = storage.commit_all
    answers = [commit_all, None]

    async def failing(writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        commit = answers.pop(0) if answers and writes else commit_all
        return [StorageUnavailable("away")] * len(writes) if commit is None else await commit(writes, atomic=atomic)

    monkeypatch.setattr(storage, "commit_all", failing)
    body = lines_of(*({"id": f"r{number}", "data": {"title": "x"}} for number in range(2500)))
    headers = {"Content-Type": "application/x-ndjson"}
    async with serving(app) as http:
        last = parsed((await http.post("/book/import", content=body, headers=headers)).content)[-1]
        assert (last["end"], last["line"], last["error"]["status"]) == (False, 1000, 503)
        assert (await http.get("/book/count")).json() == {"count": 1000}
        counts, _ = await imported(http, body, start=last["line"])
        assert counts == {"end": True, "line": 2500, "created": 1500}


class Film(BaseModel):
    title: str
    director: Annotated[str | None, Ref("person")] = None
    sequel_of: Annotated[str | None, Ref("film")] = None


class Person(BaseModel):
    name: str


async def test_import_of_a_dangling_reference_is_refused() -> None:
    """Unless the target comes with it. An export may filter through references."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    for model in (Film, Person):
        crud.add_model(model)
    crud.apply(app)
    async with serving(app) as http:
        await imported(http, lines_of({"id": "reed", "data": {"name": "Reed"}}), "person")
        films = [
            {"title": "A", "director": "reed"},
            {"title": "B", "director": "nobody"},
            {"title": "C", "sequel_of": "3"},
        ]
        lines = [{"id": str(number), "data": film} for number, film in enumerate([*films, {"title": "D"}])]
        counts, (refusal,) = await imported(http, lines_of(*lines), "film")
        assert (counts["created"], refusal["line"], refusal["error"]["code"]) == (3, 2, "reference_not_found")
        found = await http.get("/film/export", params={"director.created_time__gte": "2020-01-01T00:00:00Z"})
        assert [line["data"]["title"] for line in parsed(found.content)[:-1]] == ["A"]
