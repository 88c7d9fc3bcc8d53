"""Blobs over HTTP: uploads, references and limits, on each backend."""

from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from tests.http.blob_models import Album, album, uploaded
from tests.http.conftest import Serve

HELLO = b"hello world"
HELLO_ID = sha256(HELLO).hexdigest()


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Album`s with blobs of up to 20 MB."""
    async with serve(Album, service={"max_blob_bytes": 20_000_000}) as client:
        yield client


async def test_upload_accepts_a_body_or_a_form(http: httpx.AsyncClient) -> None:
    """Both store the bytes once, under their hash."""
    raw = await http.post("/album/blobs?filename=a.txt", content=HELLO, headers={"Content-Type": "text/plain"})
    assert raw.status_code == 201
    assert raw.json() == {"file_id": HELLO_ID, "size": 11, "content_type": "text/plain", "filename": "a.txt"}
    form = await http.post("/album/blobs", data={"x": "y"}, files={"file": ("ü/b.txt", HELLO, "text/html")})
    assert form.json() == {"file_id": HELLO_ID, "size": 11, "content_type": "text/html", "filename": "b.txt"}
    empty = await http.post("/album/blobs", content=b"")
    assert empty.json()["size"] == 0
    location = await album(http, pages=[form.json(), {"file_id": empty.json()["file_id"]}])
    assert (await http.get(f"{location}/blobs/{HELLO_ID}")).content == HELLO
    assert (await http.get(f"{location}/blobs/{empty.json()['file_id']}")).content == b""


FORM = "multipart/form-data; boundary=b"
_PART = b'--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\nx\r\n'


async def test_upload_without_a_file_is_refused(http: httpx.AsyncClient) -> None:
    """Nothing is stored."""
    for content, kind in (
        (b"x", "multipart/form-data"),
        (b"x", FORM),
        (_PART.replace(b'; filename="f"', b"") + b"--b--\r\n", FORM),
        (_PART, FORM),
        (_PART + _PART + b"--b--\r\n", FORM),
        (b"x", "no media type"),
    ):
        response = await http.post("/album/blobs", content=content, headers={"Content-Type": kind})
        assert (response.status_code, response.json()["status"]) == (400, 400), content
    unknown = await http.post("/album", json={"cover": {"file_id": sha256(b"x").hexdigest()}})
    assert unknown.status_code == 422


async def test_large_blob_is_transferred_in_parts(http: httpx.AsyncClient) -> None:
    """Use several parts of the object store."""
    content = b"".join(bytes([number]) * 1_000_000 for number in range(18))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 70_000):
            yield content[start : start + 70_000]

    reference = (await http.post("/album/blobs", content=pieces())).json()
    assert (reference["file_id"], reference["size"]) == (sha256(content).hexdigest(), len(content))
    url = f"{await album(http, cover=reference)}/blobs/{reference['file_id']}"
    assert (await http.get(url)).content == content
    part = await http.get(url, headers={"Range": "bytes=5999999-12000001"})
    assert (part.status_code, part.content) == (206, content[5999999:12000002])


async def test_upload_over_the_limit_is_413(serve: Serve) -> None:
    """With an announced length and without."""
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 10_000
            yield b"x" * 10_000

    async with serve(Album, service={"max_blob_bytes": 100_000}) as http:
        announced = await http.post("/album/blobs", content=b"x" * 100_001)
        sent = await http.post("/album/blobs", content=endless())
        form = await http.post("/album/blobs", files={"file": b"x" * 100_001})
        assert [response.status_code for response in (announced, sent, form)] == [413] * 3
        assert {response.json()["code"] for response in (announced, sent, form)} == {"payload_too_large"}
        assert taken <= 120_000
        assert (await http.post("/album/blobs", files={"file": b"x" * 100_000})).status_code == 201


async def test_inline_data_is_stored_as_a_blob(http: httpx.AsyncClient) -> None:
    """In a field, a list, a nested model and a mapping."""
    data = b64encode(HELLO).decode()
    fields: dict[str, Any] = {
        "cover": {"data": data, "content_type": "text/plain", "filename": "hello.txt"},
        "pages": [{"data": data}],
        "pictures": [{"image": {"data": data, "content_type": "image/png"}}],
        "named": {"one": {"data": data}},
    }
    location = await album(http, **fields)
    stored = (await http.get(location)).json()["data"]
    expected = {"file_id": HELLO_ID, "size": 11, "content_type": "text/plain", "filename": "hello.txt"}
    assert stored["cover"] == expected
    assert stored["pages"][0] == stored["named"]["one"]
    assert stored["pictures"][0]["image"]["file_id"] == HELLO_ID
    assert data not in (await http.get(location)).text
    assert (await http.put(location, json=stored)).json()["meta"]["total_revision_count"] == 1
    read = await http.get(f"{location}/blobs/{HELLO_ID}")
    assert read.content == HELLO


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"cover": {"file_id": "0" * 64}}, "cover.file_id"),
    ({"pages": [{"data": "eA=="}, {"file_id": "0" * 64}]}, "pages.1.file_id"),
    ({"pictures": [{"image": {"file_id": "0" * 64, "content_type": "image/png"}}]}, "pictures.0.image.file_id"),
    ({"named": {"a": {"file_id": "0" * 64}}}, "named.a.file_id"),
    ({"cover": {"file_id": "zz"}}, "cover.file_id"),
    ({"cover": {}}, "cover"),
    ({"cover": {"file_id": "0" * 64, "data": "eA=="}}, "cover"),
    ({"cover": {"data": "no base64"}}, "cover.data"),
    ({"cover": {"data": "eA==", "filename": "a/b"}}, "cover.filename"),
    ({"cover": {"data": "eA==", "content_type": "x\r\ny"}}, "cover.content_type"),
    ({"cover": {"data": "eA==", "more": 1}}, "cover.more"),
    ({"pictures": [{"image": {"data": "eA==", "content_type": "text/html"}}]}, "pictures.0.image"),
    ({"pictures": [{"image": {"data": "eHh4" * 400, "content_type": "image/png"}}]}, "pictures.0.image"),
]


async def test_invalid_blob_reference_is_422(http: httpx.AsyncClient) -> None:
    """The error names the path."""
    for fields, field in REFUSED:
        response = await http.post("/album", json=fields)
        assert response.status_code == 422, fields
        assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_limits_apply_to_the_uploaded_size(http: httpx.AsyncClient) -> None:
    """The client's size does not count."""
    large = await uploaded(http, b"x" * 1001, "image/png")
    for size in (None, 5):
        named = {**large, "size": size}
        response = await http.post("/album", json={"pictures": [{"image": named}]})
        assert response.status_code == 422, size
    patched = await http.patch(
        await album(http),
        json=[{"op": "add", "path": "/pictures/0", "value": {"image": large}}],
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert patched.status_code == 422


async def test_blob_is_read_only_through_its_resource(http: httpx.AsyncClient) -> None:
    """Through any revision. A purge erases it."""
    reference = await uploaded(http, HELLO)
    with_it, without_it = await album(http, cover=reference), await album(http)
    assert (await http.put(with_it, json={"title": "later"})).status_code == 200
    assert (await http.get(f"{with_it}/blobs/{HELLO_ID}")).content == HELLO
    for path in (f"{without_it}/blobs/{HELLO_ID}", f"{with_it}/blobs/{'0' * 64}", f"/album/none/blobs/{HELLO_ID}"):
        assert (await http.get(path)).status_code == 404
    await http.delete(with_it)
    assert (await http.get(f"{with_it}/blobs/{HELLO_ID}")).status_code == 410
    assert (await http.get(f"{with_it}/blobs/{HELLO_ID}?include_deleted=true")).content == HELLO
    assert (await http.delete(f"{with_it}/permanently")).status_code == 204
    assert (await http.post("/album", json={"cover": reference})).status_code == 422
    again = await album(http, cover=await uploaded(http, HELLO))
    assert (await http.get(f"{again}/blobs/{HELLO_ID}")).content == HELLO


async def test_blob_stays_until_its_last_reference(http: httpx.AsyncClient) -> None:
    """Purge one of two referring resources, then the other."""
    reference = await uploaded(http, HELLO)
    one, two = await album(http, cover=reference), await album(http, pages=[reference])
    await http.delete(f"{one}/permanently")
    assert (await http.get(f"{two}/blobs/{HELLO_ID}")).content == HELLO
    await http.delete(f"{two}/permanently")
    assert (await http.post("/album", json={"cover": reference})).status_code == 422


async def test_model_without_binary_fields_has_no_blob_routes(serve: Serve) -> None:
    """No field could refer to an upload."""
    async with serve() as http:
        response = await http.post("/book/blobs", content=b"x")
        assert (response.status_code, response.json()["code"]) == (404, "route_not_found")
