"""Media types of blobs on each backend: a reference names a type that the blob was uploaded with."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from autocrud import AutoCRUD
from autocrud.storage.blobs.uploaded_types import UploadedTypeStore
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.blob_models import Album, album, uploaded
from tests.http.conftest import Serve, serving

PICTURE = b"\x89PNG and so on"


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Album`s."""
    async with serve(Album) as client:
        yield client


async def refused(http: httpx.AsyncClient, **fields: Any) -> tuple[int, str, str]:
    """Send an album that is refused. Return the status, and the field and the message of the only error."""
    response = await http.post("/album", json=fields)
    (error,) = response.json()["errors"]
    return response.status_code, error["field"], error["message"]


async def test_type_that_the_upload_did_not_have_is_422(http: httpx.AsyncClient) -> None:
    """In a field with limits and in one without, in each way of writing."""
    reference = await uploaded(http, b"<script>", "text/plain")
    false = {"file_id": reference["file_id"], "content_type": "image/png"}
    expected = "content_type must be a type of the upload: text/plain"
    assert await refused(http, cover=false) == (422, "cover", expected)
    assert await refused(http, pictures=[{"image": false}]) == (422, "pictures.0.image", expected)
    patched = await http.patch(
        await album(http), json={"cover": false}, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert patched.status_code == 422
    bulk = await http.post("/album/bulk", json=[{"op": "create", "data": {"cover": false}}])
    assert bulk.json()["items"][0]["status"] == 422
    location = await album(http, cover={**reference, "content_type": "TEXT/plain; charset=utf-8"})
    read = await http.get(f"{location}/blobs/{reference['file_id']}")
    assert read.headers["content-type"] == "TEXT/plain; charset=utf-8"


async def test_blob_that_was_uploaded_with_several_types_has_each(http: httpx.AsyncClient) -> None:
    """Uploads of equal bytes are one blob."""
    for kind in ("image/png", "text/plain", "image/gif"):
        reference = await uploaded(http, PICTURE, kind)
    for kind in ("image/png", "text/plain", "image/gif"):
        location = await album(http, cover={"file_id": reference["file_id"], "content_type": kind})
        read = await http.get(f"{location}/blobs/{reference['file_id']}")
        assert (read.headers["content-type"].partition(";")[0], read.content) == (kind, PICTURE)
    assert (await refused(http, cover={"file_id": reference["file_id"], "content_type": "text/html"}))[0] == 422


async def test_reference_with_an_id_alone_takes_type_and_name_of_the_upload(http: httpx.AsyncClient) -> None:
    """Of the last upload that fits the field."""
    for kind, name in (("image/png", "a.png"), ("text/plain", "a.txt")):
        headers = {"Content-Type": kind}
        upload = await http.post(f"/album/blobs?filename={name}", content=PICTURE, headers=headers)
    alone: dict[str, Any] = {"file_id": upload.json()["file_id"]}
    location = await album(http, cover=alone, pictures=[{"image": alone}], pages=[{**alone, "filename": "own"}])
    data = (await http.get(location)).json()["data"]
    references = [data["cover"], data["pictures"][0]["image"], data["pages"][0]]
    assert [(item["content_type"], item["filename"]) for item in references] == [
        ("text/plain", "a.txt"),
        ("image/png", "a.png"),
        ("text/plain", "own"),
    ]
    default = {**alone, "content_type": "application/octet-stream"}  # as generated clients send it
    assert (await http.get(await album(http, cover=default))).json()["data"]["cover"] == data["cover"]
    text = await uploaded(http, b"text", "text/plain")
    status, field, message = await refused(http, pictures=[{"image": {"file_id": text["file_id"]}}])
    assert (status, field, "image/*" in message) == (422, "pictures.0.image", True)


async def test_default_type_of_a_reference_stays_if_the_upload_had_it(http: httpx.AsyncClient) -> None:
    """A later upload does not change what a patch of another field writes."""
    reference = await uploaded(http, PICTURE, "application/octet-stream")
    location = await album(http, cover=reference)
    await uploaded(http, PICTURE, "image/png")
    merge = {"Content-Type": "application/merge-patch+json"}
    patched = await http.patch(location, json={"title": "later"}, headers=merge)
    assert patched.json()["data"]["cover"] == reference


async def test_types_of_inline_blobs_and_of_sessions_count(http: httpx.AsyncClient) -> None:
    """Each way of uploading notes the type."""
    inline = {"data": b64encode(b"inline").decode(), "content_type": "image/png"}
    stored = (await http.get(await album(http, cover=inline))).json()["data"]["cover"]
    assert (await refused(http, cover={**stored, "content_type": "text/html"}))[0] == 422
    begun = await http.post("/album/blobs/uploads", json={"size": 4, "content_type": "image/gif", "filename": "s.gif"})
    path = begun.headers["location"]
    await http.put(f"{path}/parts/1", content=b"part")
    finished = (await http.post(f"{path}/finish")).json()
    assert (await http.post(f"{path}/finish")).json() == finished
    alone = (await http.get(await album(http, cover={"file_id": finished["file_id"]}))).json()["data"]["cover"]
    assert alone == finished
    assert (await refused(http, cover={**finished, "content_type": "text/html"}))[0] == 422


async def test_import_keeps_the_types_of_blobs(serve: Serve) -> None:
    """A blob that the importer has already gets the further types."""
    app, crud = FastAPI(), AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Album)
    crud.apply(app)
    async with serving(app) as source, serve(Album) as target:
        for kind in ("image/png", "image/gif"):
            reference = await uploaded(source, PICTURE, kind)
        await album(source, cover={**reference, "content_type": "image/png"})
        known = await uploaded(target, b"known", "text/plain")
        await album(source, cover=await uploaded(source, b"known", "text/html"))
        body = (await source.get("/album/export?blobs=true")).content
        answer = await target.post("/album/import", content=body, headers={"Content-Type": "application/x-ndjson"})
        assert answer.text.splitlines()[-1].startswith('{"end":true'), answer.text
        assert (await target.get("/album/count")).json() == {"count": 2}
        for kind in ("image/png", "image/gif"):
            await album(target, cover={"file_id": reference["file_id"], "content_type": kind})
        for kind in ("text/plain", "text/html"):
            await album(target, cover={"file_id": known["file_id"], "content_type": kind})
        for item in (reference, known):
            assert (await refused(target, cover={**item, "content_type": "image/webp"}))[0] == 422


async def test_blob_of_an_older_version_accepts_the_type_of_its_reference(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types were not kept then. A later upload does not make the old references invalid."""
    async with serve(Album) as http:
        with monkeypatch.context() as patch:

            async def keep_nothing(*_: object, **__: object) -> None:
                return None

            patch.setattr(UploadedTypeStore, "add", keep_nothing)
            reference = await uploaded(http, PICTURE, "text/plain")
        location = await album(http, cover={**reference, "content_type": "image/png"})
        await uploaded(http, PICTURE, "image/gif")
        merge = {"Content-Type": "application/merge-patch+json"}
        assert (await http.patch(location, json={"title": "later"}, headers=merge)).status_code == 200
