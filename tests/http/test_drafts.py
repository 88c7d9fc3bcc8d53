"""Drafts and retentions, on each backend."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from autocrud import Retention, RevisionStatus
from autocrud.crud import AutoCRUD
from autocrud.manager.manager import ResourceManager
from tests.http.conftest import Book, Serve, created
from tests.storage.backends import BACKENDS

MERGE = {"Content-Type": "application/merge-patch+json"}


async def _put(http: httpx.AsyncClient, location: str, year: int, query: str = "") -> httpx.Response:
    return await http.put(f"{location}?{query}", json={"title": "Emma", "year": year})


def _state(response: httpx.Response) -> tuple[Any, ...]:
    assert response.status_code == 200, response.text
    body = response.json()
    meta, info = body["meta"], body["revision_info"]
    assert meta["status"] == info["status"]
    return body["data"]["year"], meta["total_revision_count"], meta["version"], meta["status"]


async def test_draft_is_edited_in_place(serve: Serve) -> None:
    """By PUT and PATCH. Number and creation time stay, the version ascends, and earlier states are readable."""
    async with serve(default_status=RevisionStatus.draft) as http:
        first = await created(http, year=1)
        location, body = first.headers["location"], first.json()
        assert body["revision_info"]["status"] == "draft"
        assert _state(await _put(http, location, 2, "mode=modify")) == (2, 1, 2, "draft")
        edited = await http.patch(f"{location}?mode=modify", json={"year": 3}, headers=MERGE)
        assert _state(edited) == (3, 1, 3, "draft")
        info, before = edited.json()["revision_info"], body["revision_info"]
        assert info["data_hash"] != before["data_hash"]
        assert {**info, "data_hash": 0, "size": 0} == {**before, "data_hash": 0, "size": 0}
        assert edited.headers["etag"] != first.headers["etag"]
        then = await http.get(location, params={"at": body["meta"]["created_time"]})
        assert then.json() == body
        assert (await http.get(f"{location}/revisions/1")).json()["data"]["year"] == 3
        assert (await http.get("/book/count?year=3")).json()["count"] == 1
        assert (await http.get("/book/count?year=1")).json()["count"] == 0
        assert _state(await _put(http, location, 4)) == (4, 2, 4, "draft")


async def test_edit_of_a_stable_revision_is_409(http: httpx.AsyncClient) -> None:
    """Nothing changes. Equal data is no edit."""
    response = await created(http, year=1)
    location = response.headers["location"]
    for refused in (
        await _put(http, location, 2, "mode=modify"),
        await _put(http, location, 2, "mode=modify&change_status=draft"),
        await http.patch(f"{location}?mode=modify", json={"year": 2}, headers=MERGE),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "not_draft")
    same = await _put(http, location, 1, "mode=modify")
    assert (same.status_code, same.headers["etag"]) == (200, response.headers["etag"])
    assert (await http.get(location)).json() == response.json()
    for query in ("mode=other", "change_status=done"):
        assert (await _put(http, location, 2, query)).status_code == 400


async def test_status_changes_between_draft_and_stable(http: httpx.AsyncClient) -> None:
    """With the data, or by an edit."""
    location = (await created(http, year=1)).headers["location"]
    assert _state(await _put(http, location, 1, "change_status=draft")) == (1, 1, 2, "draft")
    assert _state(await _put(http, location, 2, "mode=modify&change_status=stable")) == (2, 1, 3, "stable")
    assert (await _put(http, location, 3, "mode=modify")).status_code == 409
    assert _state(await _put(http, location, 3, "change_status=draft")) == (3, 2, 4, "draft")
    assert _state(await http.patch(f"{location}?change_status=stable", json={}, headers=MERGE)) == (3, 2, 5, "stable")
    statuses = [item["revision_info"]["status"] for item in (await http.get(f"{location}/revisions")).json()["items"]]
    assert statuses == ["stable", "stable"]
    assert _state(await http.post(f"{location}/switch/1")) == (2, 2, 6, "stable")


async def test_keep_last_prunes_older_revisions(serve: Serve) -> None:
    """The current revision is never pruned, also after a switch."""
    async with serve(retention=Retention(keep_last=2)) as http:
        location = (await created(http, year=1)).headers["location"]
        for year in (2, 3):
            await _put(http, location, year)
        assert (await http.get(f"{location}/revisions/1")).status_code == 404
        assert (await http.post(f"{location}/switch/1")).status_code == 404
        assert (await http.post(f"{location}/switch/2")).status_code == 200
        body = (await http.get(f"{location}/revisions")).json()
        assert [item["revision_info"]["revision_id"][-2:] for item in body["items"]] == [":3", ":2"]
        read = await http.get(location)
        assert read.json()["data"]["year"] == 2
        gone = await http.get(location, params={"at": read.json()["meta"]["created_time"]})
        assert (gone.status_code, gone.json()["code"]) == (404, "revision_not_found")
        assert (await http.get(f"{location}/revisions/diff?from=1&to=3")).status_code == 404


def _files(folder: Path, marker: bytes) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and marker in path.read_bytes()]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_keep_for_prunes_expired_revisions(backend: str, tmp_path: Path) -> None:
    """By maintenance, without a write. The current revision stays."""
    crud = AutoCRUD(storage_factory=BACKENDS[backend](tmp_path))
    crud.add_model(Book, retention=Retention(keep_for=timedelta(microseconds=1)))
    async with crud.running():
        books: ResourceManager[Book] = crud.manager(Book)
        resource_id = (await books.create({"title": "MARKER-OLD"})).resource_id
        await books.replace(resource_id, {"title": "MARKER-NEW"})
        other = (await books.create({"title": "MARKER-ONLY"})).resource_id
        await books.run_maintenance()
        page = await books.revisions(resource_id)
        assert [info.revision_id for info in page.items] == [f"{resource_id}:2"]
        assert (await books.get(resource_id)).data.title == "MARKER-NEW"
        assert (await books.get(other)).data.title == "MARKER-ONLY"
    assert _files(tmp_path, b"MARKER-OLD") == []
