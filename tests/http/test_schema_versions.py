"""Data of older schema versions over HTTP: upgraded on every read, raw on request, and never in the way of a list."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from autocrud import AutoCRUD, Index, Schema
from autocrud.migrations import fill, rename
from autocrud.storage.ports.storage import IStorageFactory
from tests.http.conftest import serving
from tests.storage.backends import BACKENDS

OLD_TAGS = "a,b"


class OldArticle(BaseModel):
    """Version 1 of the model."""

    title: Annotated[str, Index()]
    tags: str = OLD_TAGS


class Article(BaseModel):
    """Version 3 of the model."""

    model_config = ConfigDict(serialize_by_alias=True)

    headline: Annotated[str, Index()]
    language: str = Field(serialization_alias="lang")
    tags: list[str]


def split_tags(document: dict[str, Any]) -> dict[str, Any]:
    """Make a list of tags. Fails for one title."""
    if document["headline"] == "bad":
        raise ValueError("no tags")
    return {**document, "tags": document["tags"].split(",")}


SCHEMA = Schema(3).step(1, 2, rename("title", "headline"), fill("language", "en")).step(2, 3, split_tags)
Versions = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(params=BACKENDS)
def version(request: pytest.FixtureRequest, tmp_path: Path) -> Versions:
    """Return a function that serves a version of the model on one store."""

    def serve(model: type[Any], schema: Any = 1) -> Any:
        crud = AutoCRUD(storage_factory=factory(request.param, tmp_path))
        crud.add_model(model, name="article", schema=schema)
        app = FastAPI()
        crud.apply(app)
        return serving(app)

    return serve


def factory(backend: str, path: Path) -> IStorageFactory:
    """Return a factory on a store that other factories of the test use, too."""
    return BACKENDS[backend](path)


@pytest.fixture
async def http(version: Versions, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of version 3, on a store with data of version 1."""
    async with version(OldArticle) as old:
        for name, title in (("a", "one"), ("b", "two"), ("c", "bad")):
            await old.put(f"/article/{name}", json={"title": title}, headers={"if-none-match": "*"})
        await old.patch("/article/b", json={"tags": "x"}, headers={"content-type": "application/merge-patch+json"})
        export = (await old.get("/article/export?history=true")).content
    async with version(Article, SCHEMA) as new:
        if request.node.callspec.params["version"] == "memory":
            # A memory store ends with its process, so that the data comes from an export. It refuses the bad line.
            await new.post("/article/import", content=export, headers={"content-type": "application/x-ndjson"})
        yield new


async def test_every_read_returns_data_of_the_new_version(http: httpx.AsyncClient) -> None:
    """Read single resources, lists, revisions, past states, differences and exports."""
    upgraded = {"headline": "two", "lang": "en", "tags": ["x"]}
    read = await http.get("/article/b")
    assert (read.json()["data"], read.json()["meta"]["schema_version"]) == (upgraded, 1)
    assert [
        item["data"]["headline"] for item in (await http.get("/article?sort=resource_id&limit=2")).json()["items"]
    ] == [
        "one",
        "two",
    ]
    revisions = (await http.get("/article/b/revisions?returns=data,revision_info")).json()["items"]
    assert [item["data"]["tags"] for item in revisions] == [["x"], ["a", "b"]]
    assert (await http.get("/article/b/revisions/1")).json()["data"]["tags"] == ["a", "b"]
    past = read.json()["meta"]["created_time"]
    assert (await http.get("/article/b", params={"at": past})).json()["data"]["tags"] == ["a", "b"]
    assert (await http.get("/article", params={"at": past})).json()["items"][0]["data"]["lang"] == "en"
    difference = (await http.get("/article/b/revisions/diff?from=1&to=2")).json()
    assert {item["path"].split("/")[1] for item in difference} == {"tags"}
    lines = (await http.get("/article/export")).text.splitlines()
    assert '"data":{"headline":"one","language":"en","tags":["a","b"]}' in lines[0]
    assert "one,en" in (await http.get("/article", headers={"accept": "text/csv"})).text


async def test_raw_returns_the_stored_bytes(http: httpx.AsyncClient) -> None:
    """The tag differs, and the tag of a raw answer is a precondition, too."""
    stored = b'"data":{"title":"two","tags":"x"}'
    raw, plain = await http.get("/article/b?raw=true"), await http.get("/article/b")
    assert stored in raw.content
    assert raw.json()["raw"] is True
    assert raw.headers["etag"] != plain.headers["etag"]
    assert (await http.get("/article/b?raw=true", headers={"if-none-match": plain.headers["etag"]})).status_code == 200
    assert (await http.get("/article/b?raw=true", headers={"if-none-match": raw.headers["etag"]})).status_code == 304
    for query in ("article?raw=true", "article/b/revisions?returns=data&raw=true", "article/export?raw=true"):
        assert stored in (await http.get(f"/{query}")).content
    assert b'"title":"two","tags":"a,b"' in (await http.get("/article/b/revisions/1?raw=true")).content
    refused = await http.get("/article?raw=true", headers={"accept": "text/csv"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "raw")
    deleted = await http.delete("/article/b", headers={"if-match": raw.headers["etag"]})
    assert deleted.status_code in (200, 204)


async def test_patch_of_old_data_writes_the_new_version(http: httpx.AsyncClient) -> None:
    """A patch without effect writes nothing, and a switch to an old revision keeps its bytes."""
    merge = {"content-type": "application/merge-patch+json"}
    same = await http.patch("/article/a", json={}, headers=merge)
    assert same.json()["meta"]["version"] == 1
    changed = (await http.patch("/article/a", json={"tags": ["z"]}, headers=merge)).json()
    assert changed["data"] == {"headline": "one", "lang": "en", "tags": ["z"]}
    assert (changed["meta"]["schema_version"], changed["meta"]["version"]) == (3, 2)
    got = (await http.get("/article/b")).json()["data"]
    assert (await http.put("/article/b", json=got)).json()["meta"]["version"] == 2
    switched = (await http.post("/article/a/switch/1")).json()
    assert (switched["data"]["tags"], switched["meta"]["schema_version"]) == (["a", "b"], 1)
    raw = (await http.get("/article/a?raw=true")).json()
    assert raw["data"] == {"title": "one", "tags": OLD_TAGS}
    status = (await http.patch("/article/a?change_status=draft", json={}, headers=merge)).json()
    assert (status["meta"]["status"], status["meta"]["schema_version"]) == ("draft", 1)
    assert (await http.get("/article/a?raw=true")).json()["data"] == raw["data"]


async def test_export_of_old_data_imports_again(http: httpx.AsyncClient) -> None:
    """Upgraded and raw exports, with and without history, change nothing."""
    await http.delete("/article/c")
    for query in ("history=true", "history=true&raw=true", "", "raw=true"):
        body = (await http.get(f"/article/export?include_deleted=false&{query}")).content
        lines = [line for line in body.splitlines(keepends=True) if b'"resource_id":"c"' not in line]
        answer = await http.post(
            "/article/import", content=b"".join(lines), headers={"content-type": "application/x-ndjson"}
        )
        end = json.loads(answer.text.splitlines()[-1])
        assert (end["end"], end["created"], end["updated"], end["failed"]) == (True, 0, 0, 0), answer.text


async def test_line_of_a_newer_version_is_refused(http: httpx.AsyncClient) -> None:
    line = (await http.get("/article/export?raw=true")).text.splitlines()[0]
    newer = line.replace('"schema_version":1', '"schema_version":4').replace('"resource_id":"a"', '"resource_id":"n"')
    answer = await http.post("/article/import", content=newer, headers={"content-type": "application/x-ndjson"})
    assert "must be from 1 to 3" in answer.text
    assert (await http.get("/article/n")).status_code == 404


@pytest.mark.parametrize("version", ["disk", "s3", "postgres"], indirect=True)
async def test_data_that_cannot_be_upgraded_breaks_no_list(http: httpx.AsyncClient) -> None:
    """The item has a problem in place of its data; the resource can be read raw, listed, replaced and deleted."""
    items = (await http.get("/article?sort=resource_id")).json()["items"]
    assert [item.get("data", {}).get("headline") for item in items] == ["one", "two", None]
    assert items[2]["problem"]["code"] == "unreadable"
    for text in ("'c:1'", "step 2 to 3, split_tags", "no tags"):
        assert text in items[2]["problem"]["detail"]
    single = await http.get("/article/c")
    assert (single.status_code, single.json()["code"]) == (409, "unreadable")
    assert (await http.get("/article/c?raw=true")).json()["data"]["title"] == "bad"
    unreadable = (await http.get("/article?unreadable=true")).json()
    assert [item["meta"]["resource_id"] for item in unreadable["items"]] == ["c"]
    assert unreadable["next_cursor"] is None
    merge = {"content-type": "application/merge-patch+json"}
    assert (await http.patch("/article/c", json={"tags": []}, headers=merge)).json()["code"] == "unreadable"
    assert (await http.get("/article/c/revisions?returns=data")).json()["items"][0]["problem"]["code"] == "unreadable"
    assert '"title":"bad"' in (await http.get("/article/export")).text
    html = {"accept": "text/html"}
    assert "unreadable</span>" in (await http.get("/article", headers=html)).text
    assert "step 2 to 3, split_tags" in (await http.get("/article/c", headers=html)).text
    assert (await http.delete("/article/c")).status_code in (200, 204)
    assert (await http.post("/article/c/restore")).status_code in (200, 204)
    replaced = await http.put("/article/c", json={"headline": "good", "language": "en", "tags": []})
    assert (replaced.status_code, replaced.json()["meta"]["schema_version"]) == (200, 3)
    assert (await http.get("/article?unreadable=true")).json()["items"] == []


@pytest.mark.parametrize("version", ["disk", "s3", "postgres"], indirect=True)
async def test_process_of_an_older_version_never_writes_over_newer_data(version: Versions) -> None:
    """Reads of newer data are 409, too, unless the newer version has a downgrade."""
    async with version(Article, SCHEMA) as new:
        await new.put(
            "/article/n", json={"headline": "h", "language": "en", "tags": []}, headers={"if-none-match": "*"}
        )
        before = (await new.get("/article/n")).json()
        export = (await new.get("/article/export")).content
    async with version(OldArticle) as old:
        merge = {"content-type": "application/merge-patch+json"}
        answers = [
            await old.get("/article/n"),
            await old.put("/article/n", json={"title": "t"}),
            await old.patch("/article/n", json={"title": "t"}, headers=merge),
            await old.delete("/article/n"),
            await old.post("/article/n/switch/1"),
        ]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "newer_schema")] * 5
        bulk = await old.post("/article/bulk", json=[{"op": "update", "id": "n", "data": {"title": "t"}}])
        assert "newer_schema" in bulk.text
        assert (await old.get("/article")).json()["items"][0]["problem"]["code"] == "newer_schema"
        assert (await old.get("/article/n?raw=true")).json()["data"] == {"headline": "h", "language": "en", "tags": []}
        lines = {"content-type": "application/x-ndjson"}
        refused = await old.post("/article/import?on_duplicate=overwrite", content=export, headers=lines)
        assert "must be 1, the versions that this service knows" in refused.text
        await old.put("/article/o", json={"title": "old"}, headers={"if-none-match": "*"})
    async with version(Article, SCHEMA) as new:
        assert (await new.get("/article/n")).json() == before
        assert (await new.get("/article/o")).json()["data"]["headline"] == "old"


class ChangedArticle(BaseModel):
    """A change of version 1 that lacks a new version: another field is required."""

    title: Annotated[str, Index()]
    language: Annotated[str, Index()]


class WrongArticle(BaseModel):
    """Another such change: a field has another type."""

    title: str
    tags: list[str] | int


@pytest.mark.parametrize("version", ["disk", "s3", "postgres"], indirect=True)
async def test_data_that_a_changed_model_refuses_has_a_problem(version: Versions) -> None:
    """Answers fit the published document, also if the model was changed without a new version.

    Data that only lacks fields is shown, as the variant with optional members describes.
    """
    merge = {"content-type": "application/merge-patch+json"}
    async with version(OldArticle) as old:
        for name in ("a", "b", "c"):
            await old.put(f"/article/{name}", json={"title": name}, headers={"if-none-match": "*"})
    async with version(ChangedArticle) as new:
        assert (await new.put("/article/b", json={"title": "b", "language": "en"})).status_code == 200
        items = (await new.get("/article?sort=title&limit=2")).json()
        assert items["items"][0]["problem"]["code"] == "unreadable"
        assert items["items"][0]["data"] == {"title": "a", "tags": OLD_TAGS}
        assert items["items"][1]["data"] == {"title": "b", "language": "en"}
        last = (await new.get("/article", params={"sort": "title", "cursor": items["next_cursor"]})).json()
        assert [item["meta"]["resource_id"] for item in last["items"]] == ["c"]
        assert (await new.get("/article/a?returns=meta")).json().keys() == {"meta"}
        single = await new.get("/article/a")
        assert single.json()["data"] == {"title": "a", "tags": OLD_TAGS}
        assert "language: does not fit the model: Field required" in single.json()["problem"]["detail"]
        assert (await new.get("/article/a?raw=true")).json()["data"] == {"title": "a", "tags": OLD_TAGS}
        assert ",,\r\n" in (await new.get("/article?sort=title", headers={"accept": "text/csv"})).text
        assert "unreadable</span>" in (await new.get("/article", headers={"accept": "text/html"})).text
        patched = await new.patch("/article/a", json={"language": "de"}, headers=merge)
        assert patched.json()["data"] == {"title": "a", "language": "de"}
        listed = (await new.get("/article?unreadable=true")).json()["items"]
        assert [item["meta"]["resource_id"] for item in listed] == ["c"]
    async with version(WrongArticle) as wrong:
        assert "data" not in (await wrong.get("/article")).json()["items"][0]
        assert (await wrong.get("/article/c")).json()["code"] == "unreadable"
        assert (await wrong.get("/article/c?raw=true")).json()["data"] == {"title": "c", "tags": OLD_TAGS}
