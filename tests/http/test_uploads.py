"""Uploads in parts over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from autocrud import AutoCRUD
from tests.http.blob_models import Album, album
from tests.http.conftest import Serve, serving
from tests.storage.backends import BACKENDS

PART = 8 * 1024 * 1024
CONTENT = b"".join(bytes([65 + number]) * (PART // 2) for number in range(4)) + b"the end"


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of `Album`s."""
    async with serve(Album) as client:
        yield client


async def _begun(http: httpx.AsyncClient, size: int = len(CONTENT), **fields: str) -> tuple[str, Any]:
    response = await http.post("/album/blobs/uploads", json={"size": size, **fields})
    assert response.status_code == 201, response.text
    return response.headers["location"], response.json()


async def _part(http: httpx.AsyncClient, upload: str, number: int) -> httpx.Response:
    content = CONTENT[(number - 1) * PART : number * PART]
    return await http.put(f"{upload}/parts/{number}", content=content)


async def test_parts_are_accepted_in_any_order(serve: Serve) -> None:
    """Finishing twice has one effect, and equal bytes are stored once."""
    async with serve(Album) as http:
        upload, state = await _begun(http, content_type="video/mp4", filename="a.mp4")
        assert (state["part_size"], state["part_count"], state["parts"]) == (PART, 3, [])
        assert (await http.get(upload)).json() == state
        assert (await _part(http, upload, 3)).status_code == 204
        incomplete = await http.post(f"{upload}/finish")
        assert (incomplete.status_code, incomplete.json()["code"]) == (409, "upload_incomplete")
        assert "1, 2" in incomplete.json()["detail"]
        parts = await asyncio.gather(*(_part(http, upload, number) for number in (2, 1, 2)))
        assert [part.status_code for part in parts] == [204] * 3
        assert (await http.get(upload)).json()["parts"] == [1, 2, 3]
        finished = await asyncio.gather(*(http.post(f"{upload}/finish") for _ in range(2)))
        assert [answer.status_code for answer in finished] == [200, 200]
        assert (await http.post(f"{upload}/finish")).json() == finished[0].json() == finished[1].json()
        reference = finished[0].json()
        assert reference == {
            "file_id": sha256(CONTENT).hexdigest(), "size": len(CONTENT), "content_type": "video/mp4",
            "filename": "a.mp4",
        }  # fmt: skip
        url = f"{await album(http, cover=reference)}/blobs/{reference['file_id']}"
        assert (await http.delete(upload)).status_code == 204
        assert (await http.get(url)).content == CONTENT


@pytest.mark.parametrize("backend", ["disk", "s3", "postgres"])
async def test_upload_survives_a_restart(backend: str, tmp_path: Path) -> None:
    """And continues on any node."""
    upload = ""
    for number in (1, 2):
        crud, app = AutoCRUD(storage_factory=BACKENDS[backend](tmp_path)), FastAPI()
        crud.add_model(Album)
        crud.apply(app)
        async with serving(app) as http:
            upload = upload or (await _begun(http, PART + 1))[0]
            content = CONTENT[:PART] if number == 1 else b"x"
            assert (await http.put(f"{upload}/parts/{number}", content=content)).status_code == 204
            finished = await http.post(f"{upload}/finish")
    assert finished.json()["file_id"] == sha256(CONTENT[:PART] + b"x").hexdigest()


async def test_upload_of_another_user_is_404(serve: Serve) -> None:
    """For every operation."""
    users = iter(["ann", "bob", "ann"])
    async with serve(Album, service={"current_user": lambda: next(users)}) as http:
        upload, _ = await _begun(http, 5)
        assert (await http.get(upload)).status_code == 404
        assert (await http.get(upload)).status_code == 200


async def test_invalid_part_is_refused(http: httpx.AsyncClient) -> None:
    """Nothing changes."""
    upload, state = await _begun(http, 5)
    for method, path, content, status in (
        ("PUT", "/parts/1", b"four", 422),
        ("PUT", "/parts/1", b"sixsix", 413),
        ("PUT", "/parts/0", b"fives", 422),
        ("PUT", "/parts/2", b"fives", 422),
        ("PUT", "/parts/x", b"fives", 422),
        ("PUT", f"/parts/{'9' * 5000}", b"fives", 422),
        ("POST", "/finish", b"", 409),
    ):
        assert (await http.request(method, upload + path, content=content)).status_code == status
        assert (await http.get(upload)).json() == state


async def test_aborted_upload_is_erased(http: httpx.AsyncClient) -> None:
    """With its parts."""
    upload, _ = await _begun(http, 5)
    await http.put(f"{upload}/parts/1", content=b"fives")
    assert (await http.delete(upload)).status_code == 204
    for method, path in (("GET", ""), ("PUT", "/parts/1"), ("POST", "/finish"), ("DELETE", "")):
        response = await http.request(method, upload + path, content=b"fives")
        assert (response.status_code, response.json()["code"]) == (404, "upload_not_found")
    for odd in ("x", "..%2F..%2Fx", "0192f3a0-7c1e-7c3a-9d55-0a4b6f1c2d3e"):
        assert (await http.get(f"/album/blobs/uploads/{odd}")).status_code == 404


async def test_invalid_upload_is_422_or_413(http: httpx.AsyncClient) -> None:
    """413 if the blob is too large."""
    odd: list[dict[str, Any]] = [{}, {"size": 0}, {"size": "x"}, {"size": 5, "more": 1}, {"size": 5, "filename": "a/b"}]
    for body in odd:
        assert (await http.post("/album/blobs/uploads", json=body)).status_code == 422
    assert (await http.post("/album/blobs/uploads", json={"size": 10**15})).status_code == 413
    malformed = await http.post("/album/blobs/uploads", content=b"{", headers={"content-type": "application/json"})
    assert malformed.status_code == 400


async def test_upload_expires(serve: Serve) -> None:
    """Maintenance erases its bytes."""
    async with serve(Album, service={"upload_seconds": -7200}) as http:
        upload, _ = await _begun(http, 5)
        assert (await http.put(f"{upload}/parts/1", content=b"fives")).status_code == 404
        assert (await http.get(upload)).status_code == 404
