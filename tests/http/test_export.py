"""Exports as of one moment, on each backend."""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.http.blob_models import Album, uploaded
from tests.http.conftest import Serve, created
from tests.http.transfer_helpers import exported, history, imported, lines_of, parsed


async def test_export_equals_reads(http: httpx.AsyncClient) -> None:
    """A line per resource in order of id. Filters select, and the last line ends the export."""
    await history(http)
    lines = parsed(await exported(http))
    read = [(await http.get(f"/book/{line['meta']['resource_id']}")).json() for line in lines]
    assert lines == read
    assert [line["meta"]["resource_id"] for line in lines][-2:] == ["a", "c"]
    assert parsed(await exported(http, include_deleted=True))[-2]["meta"]["is_deleted"] is True
    assert [line["data"]["title"] for line in parsed(await exported(http, title__icontains="A4"))] == [
        "a4" + "x" * 1000
    ]
    assert await exported(http, qb='QB["title"] == "nobody"') == b""
    assert (await http.head("/book/export")).content == b""
    assert (await http.get("/book/export", params={"nothing": 1})).status_code == 400


async def test_export_of_history_has_each_commit(http: httpx.AsyncClient) -> None:
    """Equal to the revisions and past states, with deleted resources."""
    await history(http)
    lines = parsed(await exported(http, history=True))
    of_a = [line for line in lines if line["meta"]["resource_id"] == "a"]
    assert [line["kind"] for line in of_a] == ["create", "update", "modify", "modify", "switch", "update"]
    assert [line["meta"]["version"] for line in of_a] == [1, 2, 3, 4, 5, 6]
    for line in of_a:
        at = line["meta"]["updated_time"]
        read = (await http.get("/book/a", params={"at": at})).json()
        assert {"kind": line["kind"], **read} == line
    of_b = [line for line in lines if line["meta"]["resource_id"] == "b"]
    assert [line["kind"] for line in of_b] == ["create", "delete", "restore", "delete"]
    assert ["data" in line for line in of_b] == [True, False, False, False]


async def test_export_writes_blobs_before_their_referrers(serve: Serve) -> None:
    """Once each, in pieces of 1 MiB."""
    large = bytes(range(256)) * 6000
    async with serve(Album, name="album") as http:
        cover, page = await uploaded(http, large), await uploaded(http, b"small")
        for name in ("a", "b"):
            body = {"title": name, "cover": cover, "pages": [page] if name == "b" else []}
            await http.put(f"/album/{name}", json=body, headers={"If-None-Match": "*"})
        lines = parsed(await exported(http, "album", blobs=True))
        assert [next(iter(line)) for line in lines] == ["blob", "blob", "meta", "blob", "meta"]
        assert [line.get("offset") for line in lines] == [0, 1048576, None, 0, None]
        assert b"".join(b64decode(line["data"]) for line in lines[:2]) == large
        assert lines[3]["blob"] == {
            "file_id": page["file_id"], "size": 5, "types": [{"content_type": "text/plain", "filename": None}],
        }  # fmt: skip
        assert "blob" not in (await exported(http, "album")).decode()


Step = Callable[[], Awaitable[None]]


async def streamed(http: httpx.AsyncClient, at_first: Step, gone: asyncio.Event) -> bytes:
    """Return the body of an export by ASGI, and call a function after its first chunk."""
    transport = http._transport
    assert isinstance(transport, httpx.ASGITransport)
    pieces: list[bytes] = []
    asked = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not asked.is_set():
            asked.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            pieces.append(message["body"])
            if len(pieces) == 1:
                await at_first()

    path, headers = "/book/export", [(b"host", b"test")]
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
    }
    scope |= {"raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": headers}
    await transport.app(scope | {"server": ("test", 80), "client": ("test", 1)}, receive, send)
    return b"".join(pieces)


async def test_export_shows_one_moment_and_ends_with_its_client(http: httpx.AsyncClient) -> None:
    """Others write meanwhile. A disconnect releases every resource."""
    values = [{"id": f"r{number:03}", "data": {"title": "x" * 900, "year": number}} for number in range(900)]
    await imported(http, lines_of(*values))
    before, gone = (await http.get("/book/export")).content, asyncio.Event()

    async def write() -> None:
        await http.put("/book/r899", json={"title": "changed"})
        await http.delete("/book/r898")
        await created(http)

    assert await streamed(http, write, gone) == before

    async def leave() -> None:
        gone.set()
        await asyncio.sleep(0)  # so that the server hears of it

    for _ in range(12):
        assert len(await streamed(http, leave, gone)) < len(before) / 2
        gone.clear()
    assert len(parsed(await exported(http))) == 900
