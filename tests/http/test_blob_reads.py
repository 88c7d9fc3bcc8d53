"""Blob downloads over HTTP: ranges, conditions, headers, damage, links."""

import logging
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.parser import BytesParser
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from autocrud import AutoCRUD
from autocrud.errors import DataCorrupted
from autocrud.storage.disk import DiskStorageFactory
from tests.http.blob_models import Album, album, uploaded
from tests.http.conftest import Serve, serving
from tests.storage.backends import s3_factory

LETTERS = b"abcdefghijklmnopqrstuvwxyz"
FILE_ID = sha256(LETTERS).hexdigest()


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Album`s."""
    async with serve(Album) as client:
        yield client


async def _letters(http: httpx.AsyncClient, **fields: str) -> str:
    reference = await uploaded(http, LETTERS, fields.get("content_type", "text/plain"))
    return f"{await album(http, cover={**reference, **fields})}/blobs/{FILE_ID}"


async def test_download_headers_have_type_name_and_no_display(http: httpx.AsyncClient) -> None:
    """Type and name are those of the reference."""
    url = await _letters(http, content_type="text/html", filename='a "ü".html')
    for response in (await http.get(url), await http.head(url)):
        headers = response.headers
        assert response.status_code == 200
        assert (headers["etag"], headers["content-length"], headers["content-type"]) == (
            f'"{FILE_ID}"', "26", "text/html",
        )  # fmt: skip
        assert headers["content-disposition"] == (
            "attachment; filename=\"a ___.html\"; filename*=UTF-8''a%20%22%C3%BC%22.html"
        )
        assert (headers["x-content-type-options"], headers["accept-ranges"]) == ("nosniff", "bytes")
        assert response.content == (b"" if response.request.method == "HEAD" else LETTERS)


async def test_single_range_is_206(http: httpx.AsyncClient) -> None:
    """The answer has the place of the bytes."""
    url = await _letters(http)
    for asked, start, end in (
        ("0-0", 0, 1), ("0-4", 0, 5), ("20-", 20, 26), ("-3", 23, 26), ("-99", 0, 26), ("24-99", 24, 26), (" 1-2", 1, 3)
    ):  # fmt: skip
        response = await http.get(url, headers={"Range": f"bytes={asked}"})
        assert (response.status_code, response.content) == (206, LETTERS[start:end])
        assert response.headers["content-range"] == f"bytes {start}-{end - 1}/26"


async def test_several_ranges_are_multipart(http: httpx.AsyncClient) -> None:
    """Overlapping ranges are joined, and unsatisfiable ones are left out."""
    url = await _letters(http)
    for asked, expected in (
        ("0-1,-2", ["ab", "yz"]),
        ("10-12,0-1", ["klm", "ab"]),
        ("0-5,3-8,20-21,99-", ["abcdefghi", "uv"]),
    ):
        response = await http.get(url, headers={"Range": f"bytes={asked}"})
        head = b"Content-Type: " + response.headers["content-type"].encode() + b"\r\n\r\n"
        message: EmailMessage = BytesParser(EmailMessage).parsebytes(head + response.content)
        assert response.status_code == 206
        assert int(response.headers["content-length"]) == len(response.content)
        parts = message.get_payload()
        assert [part.get_payload() for part in parts if isinstance(part, EmailMessage)] == expected


async def test_unsatisfiable_range_is_416(http: httpx.AsyncClient) -> None:
    """A malformed range is ignored."""
    url = await _letters(http)
    for asked in ("26-", "99-100,50-", "-0"):
        response = await http.get(url, headers={"Range": f"bytes={asked}"})
        assert (response.status_code, response.headers["content-range"]) == (416, "bytes */26")
    for asked in ("lines=0-1", "bytes=", "bytes=x", "bytes=5-2", "bytes=-", "bytes=0-1,x", "bytes=" + "0-0," * 17):
        response = await http.get(url, headers={"Range": asked})
        assert (response.status_code, response.content) == (200, LETTERS)


async def test_conditional_download_compares_tag_and_date(http: httpx.AsyncClient) -> None:
    """A range of a changed blob returns all of it."""
    url = await _letters(http)
    date = (await http.get(url)).headers["last-modified"]
    old = "Mon, 05 Jan 2026 00:00:00 GMT"
    for name, value, status in (
        ("If-None-Match", f'W/"{FILE_ID}", "x"', 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", '"x"', 200),
        ("If-Modified-Since", date, 304),
        ("If-Modified-Since", old, 200),
        ("If-Modified-Since", "yesterday", 200),
    ):
        response = await http.get(url, headers={name: value})
        assert (response.status_code, response.headers["etag"]) == (status, f'"{FILE_ID}"'), value
    for value, status in ((f'"{FILE_ID}"', 206), (date, 206), ('"x"', 200), (f'W/"{FILE_ID}"', 200), (old, 200)):
        response = await http.get(url, headers={"Range": "bytes=0-1", "If-Range": value})
        assert response.status_code == status, value
    both = {"If-None-Match": '"x"', "If-Modified-Since": date}
    assert (await http.get(url, headers=both)).status_code == 200


def _disk_app(path: Path) -> FastAPI:
    crud, app = AutoCRUD(storage_factory=DiskStorageFactory(path)), FastAPI()
    crud.add_model(Album)
    crud.apply(app)
    return app


def _damage(path: Path, at: int) -> None:
    (file,) = (found for found in (path / "blobs" / "album").rglob("*") if found.is_file() and not found.suffix)
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


async def test_damaged_blob_never_looks_complete(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A short blob is 500. A long one ends early, and the log says why."""
    async with serving(_disk_app(tmp_path)) as http:
        url = await _letters(http)
        _damage(tmp_path, 3)
        response = await http.get(url)
        assert (response.status_code, response.json()["code"]) == (500, "internal_error")
        assert (await http.get(url, headers={"Range": "bytes=0-1"})).content == b"ab"
        await http.delete(f"{url.partition('/blobs')[0]}/permanently")
        reference = await uploaded(http, b"x" * 5_000_000)
        url = f"{await album(http, cover=reference)}/blobs/{reference['file_id']}"
        _damage(tmp_path, 10)
        caplog.clear()
        with caplog.at_level(logging.ERROR), pytest.raises((RuntimeError, DataCorrupted)):
            await http.get(url)
        assert "ends early" in caplog.text


async def test_redirect_to_the_bucket_works_if_configured(tmp_path: Path) -> None:
    """The URL works without credentials. Otherwise the service sends the bytes."""
    for seconds, status in ((60, 307), (0, 200)):
        crud, app = AutoCRUD(storage_factory=s3_factory(tmp_path), redirect_seconds=seconds), FastAPI()
        crud.add_model(Album)
        crud.apply(app)
        async with serving(app) as http, httpx.AsyncClient() as anybody:
            response = await http.get(f"{await _letters(http, filename='a.txt')}?redirect=true")
            assert response.status_code == status
            if seconds:
                linked = await anybody.get(response.headers["location"])
                assert linked.content == LETTERS
                assert linked.headers["content-disposition"] == 'attachment; filename="a.txt"'
                assert response.headers["cache-control"] == "no-store"
