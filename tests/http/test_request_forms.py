"""Forms of requests that some clients send: compressed bodies, byte order marks, encoded file names, broken bodies."""

import asyncio
import gzip
import json
import logging
from codecs import BOM_UTF8
from datetime import datetime
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import Message

from autocrud import AutoCRUD, Binary, Index
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving

JSON = {"Content-Type": "application/json"}


class Note(BaseModel):
    """A note."""

    title: Annotated[str, Index()]
    q: Annotated[str, Index()] = ""
    due: Annotated[datetime | None, Index()] = None
    file: Binary | None = None


def build() -> FastAPI:
    """Return an application with notes."""
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(Note)
    crud.apply(app)
    return app


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/note"), ("PUT", "/note/a"), ("PATCH", "/note/a"), ("POST", "/note/bulk"), ("POST", "/note/import"),
        ("POST", "/note/blobs"),
    ],
)  # fmt: skip
async def test_compressed_body_is_415_with_the_accepted_encoding(method: str, path: str) -> None:
    """A compressed body would be read as damaged JSON, or stored compressed."""
    types = {"PATCH": "application/merge-patch+json"} | dict.fromkeys(("POST", "PUT"), "application/json")
    content_type = {"/note/import": "application/x-ndjson", "/note/blobs": "text/plain"}.get(path, types[method])
    headers = {"Content-Encoding": "gzip", "Content-Type": content_type}
    async with serving(build()) as http:
        await http.put("/note/a", json={"title": "x"}, headers={"If-None-Match": "*"})
        response = await http.request(method, path, content=gzip.compress(b'{"title": "y"}'), headers=headers)
        assert response.status_code == 415
        assert response.headers["accept-encoding"] == "identity"
        assert response.json()["errors"][0]["field"] == "Content-Encoding"
        assert (await http.get("/note/count")).json() == {"count": 1}
        identity = await http.post("/note", json={"title": "y"}, headers={"Content-Encoding": "identity"})
        assert identity.status_code == 201


async def test_byte_order_mark_before_json_is_skipped() -> None:
    """In single writes, patches, bulk writes and imports."""
    async with serving(build()) as http:
        created = await http.post("/note", content=BOM_UTF8 + b'{"title": "a"}', headers=JSON)
        assert created.status_code == 201
        location = created.headers["location"]
        merge = {"Content-Type": "application/merge-patch+json"}
        assert (await http.patch(location, content=BOM_UTF8 + b'{"title": "b"}', headers=merge)).status_code == 200
        operation = json.dumps({"op": "create", "data": {"title": "c"}}).encode()
        array = await http.post("/note/bulk", content=BOM_UTF8 + b"[" + operation + b"]", headers=JSON)
        assert array.json()["succeeded"] == 1
        lines = {"Content-Type": "application/x-ndjson"}
        bulk = await http.post("/note/bulk", content=BOM_UTF8 + operation, headers=lines)
        assert bulk.json()["status"] == 201
        imported = await http.post("/note/import", content=BOM_UTF8 + b'{"data": {"title": "d"}}', headers=lines)
        assert json.loads(imported.text.splitlines()[-1])["created"] == 1


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ("filename*=UTF-8''na%C3%AFve%20%E2%82%AC.txt", "naïve €.txt"),
        ("filename=\"plain.txt\"; filename*=UTF-8'de'%C3%BCber.txt", "über.txt"),
        ("filename*=iso-8859-1''%E9t%E9.txt", "été.txt"),
    ],
)
async def test_extended_file_name_of_a_form_is_read(disposition: str, expected: str) -> None:
    """`filename*` has precedence over `filename` (RFC 6266)."""
    body = f'--x\r\nContent-Disposition: form-data; name="file"; {disposition}\r\n\r\nhello\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with serving(build()) as http:
        response = await http.post("/note/blobs", content=body, headers=headers)
        assert response.status_code == 201, response.text
        assert response.json()["filename"] == expected


@pytest.mark.parametrize(
    "disposition",
    [
        "filename*=UTF-8",
        "filename*=UTF-8''%FF",
        "filename*=no-such''a.txt",
        "filename*=\x00''a.txt",
        "filename*=idna''a%2Etxt",
        "filename*=base64''YQ%3D%3D",
    ],
)
async def test_malformed_extended_file_name_is_400(disposition: str) -> None:
    """The answer tells the form of the parameter."""
    body = f'--x\r\nContent-Disposition: form-data; name="file"; {disposition}\r\n\r\nhello\r\n--x--\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with serving(build()) as http:
        response = await http.post("/note/blobs", content=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "malformed_body")
        assert "filename*" in response.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("POST", "/note", "application/json"),
        ("PUT", "/note/a", "application/json"),
        ("POST", "/note/bulk", "application/json"),
        ("POST", "/note/bulk", "application/x-ndjson"),
        ("POST", "/note/blobs", "text/plain"),
    ],
)
async def test_client_that_disconnects_within_a_body_is_no_error(
    method: str, path: str, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is stored, no exception leaves the application, and no error is logged."""
    app = build()
    messages: list[Message] = [
        {"type": "http.request", "body": b'{"title"', "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"host", b"test"), (b"content-type", content_type.encode())], "scheme": "http",
        "http_version": "1.1", "client": ("127.0.0.1", 1), "server": ("test", 80),
    }  # fmt: skip
    with caplog.at_level(logging.INFO):
        async with serving(app) as http:
            await asyncio.wait_for(app(scope, receive, send), 10)
            assert (await http.get("/note/count")).json() == {"count": 0}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record for record in caplog.records if "disconnected" in record.message]


async def test_weak_tag_in_if_match_is_412_with_the_reason() -> None:
    """If-Match compares strongly, so that a weak tag matches nothing."""
    async with serving(build()) as http:
        created = await http.post("/note", json={"title": "a"})
        headers = {"If-Match": f"W/{created.headers['etag']}"}
        response = await http.put(created.headers["location"], json={"title": "b"}, headers=headers)
        assert response.status_code == 412
        assert "weak tag" in response.json()["detail"]


async def test_messages_name_filters_as_they_must_be_written() -> None:
    """A field with the name of a parameter needs its operator. A plus sign that became a space is named."""
    async with serving(build()) as http:
        await http.post("/note", json={"title": "a", "due": "2026-01-02T03:04:05+02:00"})
        unknown = (await http.get("/note?nothing=x")).json()["detail"]
        assert "q__eq" in unknown
        assert "title, q__eq, due" in unknown
        lost = await http.get("/note?due=2026-01-02T03:04:05+02:00")
        assert (lost.status_code, "%2B" in lost.json()["detail"]) == (400, True)
        found = await http.get("/note", params={"due": "2026-01-02T03:04:05+02:00", "sort": "title, -due"})
        assert len(found.json()["items"]) == 1


async def test_model_with_256_index_fields_has_routes_and_a_document() -> None:
    """The document repeats the names in patterns, which no regular expression engine has to compile."""
    names = [f"a_field_with_a_long_name_{number:03}" for number in range(256)]
    wide = type("Wide", (BaseModel,), {"__annotations__": {name: Annotated[int, Index()] for name in names}})
    crud, app = AutoCRUD(storage_factory=MemoryStorageFactory()), FastAPI()
    crud.add_model(wide)
    crud.apply(app)
    async with serving(app) as http:
        assert (await http.post("/wide", json=dict.fromkeys(names, 1))).status_code == 201
        assert len((await http.get(f"/wide?{names[255]}=1&sort=-{names[0]}")).json()["items"]) == 1
        assert (await http.get("/openapi.json")).status_code == 200


async def test_python_precondition_takes_one_tag_or_several_and_compares_whole_tags() -> None:
    """A text is one tag, not a collection of characters."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Note)
    async with crud.running():
        notes = crud.manager(Note)
        note = await notes.create({"title": "a"})
        with pytest.raises(Exception, match="not in the state"):
            await notes.replace(note.resource_id, {"title": "b"}, if_match=f"99{note.tag}junk")
        note = await notes.replace(note.resource_id, {"title": "b"}, if_match=note.tag)
        note = await notes.replace(note.resource_id, {"title": "c"}, if_match=f'"{note.tag}"')
        note = await notes.replace(note.resource_id, {"title": "d"}, if_match=["other", note.tag])
        assert note.data.title == "d"


async def test_python_patch_takes_members_or_operations() -> None:
    """A mapping is a merge patch, and a sequence is a JSON Patch."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Note)
    async with crud.running():
        notes = crud.manager(Note)
        note = await notes.create({"title": "a"})
        note = await notes.patch(note.resource_id, {"title": "b"})
        assert note.data.title == "b"
        note = await notes.patch(note.resource_id, [{"op": "replace", "path": "/title", "value": "c"}])
        assert note.data.title == "c"


async def test_upload_of_a_file_that_begins_with_a_byte_order_mark_keeps_it() -> None:
    """A file is not JSON; each of its bytes counts."""
    content = BOM_UTF8 + b"hello"
    async with serving(build()) as http:
        whole = await http.post("/note/blobs", content=content, headers={"Content-Type": "text/plain"})
        assert whole.json()["size"] == len(content)
        upload = (await http.post("/note/blobs/uploads", json={"size": len(content)})).json()["upload_id"]
        assert (await http.put(f"/note/blobs/uploads/{upload}/parts/1", content=content)).status_code == 204
        finished: httpx.Response = await http.post(f"/note/blobs/uploads/{upload}/finish")
        assert finished.json()["file_id"] == whole.json()["file_id"]
