"""Faults of real connections and processes: truncated bytes, and a crash before the answer."""

import signal
import socket
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.http.crash_models import FUSE
from tests.http.test_servers import postgres_settings, s3_settings
from tests.servers import service
from tests.servers_real import postgres, seaweed

MEGABYTE = 1024 * 1024


def settings(backend: str) -> dict[str, Any]:
    """Return settings for the test's own place on a backend."""
    name = f"wire_{uuid4().hex[:8]}"
    if backend == "disk":
        return {"storage": "disk"}
    if backend == "s3":
        return s3_settings(seaweed(), s3_prefix=name)
    return postgres_settings(postgres(), seaweed(), s3_prefix=name, postgres_schema=name)


@pytest.mark.parametrize("backend", ["disk", "s3", "postgres"])
def test_repeated_create_after_a_crash_creates_nothing(backend: str, tmp_path: Path) -> None:
    """The repetition gets the answer of the dead process."""
    options = settings(backend) | {"models": "tests.http.crash_models"}
    body, key = {"title": "The Third Man"}, {"Idempotency-Key": "once"}
    with service(tmp_path, **options) as running:
        pass
    (tmp_path / FUSE).touch()
    with service(tmp_path, **options) as running, httpx.Client(base_url=running.base, timeout=60) as http:
        with pytest.raises(httpx.TransportError):
            http.post("/movie", json=body, headers=key)
        assert running.process.wait(60) == -signal.SIGKILL
    with service(tmp_path, **options) as running, httpx.Client(base_url=running.base, timeout=60) as http:
        assert http.get("/movie/count").json() == {"count": 1}
        answers = [http.post("/movie", json=body, headers=key) for _ in range(2)]
        (only,) = http.get("/movie").json()["items"]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert [answer.json() for answer in answers] == [only, only]
        assert http.post("/movie", json={"title": "Another"}, headers=key).status_code == 422


def test_upload_over_the_limit_closes_the_connection(tmp_path: Path) -> None:
    """The answer arrives while the client sends, and nothing is stored."""
    with service(tmp_path, max_blob_bytes=MEGABYTE) as running:
        with socket.create_connection(("127.0.0.1", int(running.base.rpartition(":")[2])), timeout=60) as connection:
            connection.sendall(b"POST /document/blobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            connection.sendall(b"%x\r\n%s" % (3 * MEGABYTE, b"x" * (MEGABYTE + 1)))
            answer = b"".join(iter(lambda: connection.recv(4096), b"")).lower()
        assert answer.startswith(b"http/1.1 413 ")
        assert b"connection: close" in answer
        assert b"payload_too_large" in answer
        left = [path for path in (tmp_path / "data").rglob("*") if "blobs" in path.parts]
        assert [path for path in left if path.is_file()] == []


def _document(http: httpx.Client, content: bytes) -> tuple[str, dict[str, Any]]:
    """Upload a blob, refer to it, and return its URL and reference."""
    reference = http.post("/document/blobs", content=content).json()
    made = http.post("/document", json={"title": "t", "attachments": [reference]})
    return f"{made.headers['location']}/blobs/{reference['file_id']}", reference


def test_damaged_blob_ends_the_connection(tmp_path: Path) -> None:
    """The client sees a truncated answer, and the log names the damage."""
    with service(tmp_path) as running, httpx.Client(base_url=running.base, timeout=60) as http:
        url, reference = _document(http, b"x" * 5 * MEGABYTE)
        (stored,) = [path for path in tmp_path.glob("data/blobs/document/*/*") if path.is_file() and not path.suffix]
        with stored.open("r+b") as file:
            file.seek(10)
            file.write(b"y")
        with pytest.raises(httpx.RemoteProtocolError):
            http.get(url)
        assert http.get("/document/count").json() == {"count": 1}
        assert f"The blob {reference['file_id']}" in running.log.read_text()


def test_disconnected_upload_leaves_nothing(tmp_path: Path) -> None:
    """Neither half an upload nor an open connection."""
    with service(tmp_path) as running, httpx.Client(base_url=running.base, timeout=60) as http:
        with socket.create_connection(("127.0.0.1", int(running.base.rpartition(":")[2]))) as connection:
            connection.sendall(b"POST /document/blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\n")
            connection.sendall(b"x" * 3 * MEGABYTE)
        url, _ = _document(http, b"y" * 9 * MEGABYTE)
        with socket.create_connection(("127.0.0.1", int(running.base.rpartition(":")[2]))) as connection:
            connection.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(10)
        assert len(http.get(url).content) == 9 * MEGABYTE
        assert running.stop() in (0, -signal.SIGTERM)
        stored = [
            path for path in (tmp_path / "data" / "blobs" / "document").rglob("*") if path.is_file() and not path.suffix
        ]
        assert [path.stat().st_size for path in stored] == [9 * MEGABYTE]


@pytest.mark.parametrize("backend", ["disk", "s3"])
def test_upload_continues_after_a_kill(backend: str, tmp_path: Path) -> None:
    """Stored parts survive, and the blob is complete."""
    options = settings(backend)
    content = bytes(range(256)) * 40_000
    with service(tmp_path, **options) as running, httpx.Client(base_url=running.base, timeout=60) as http:
        upload = http.post("/document/blobs/uploads", json={"size": len(content)}).json()
        size = upload["part_size"]
        parts = {number: content[(number - 1) * size : number * size] for number in range(1, upload["part_count"] + 1)}
        assert len(parts) == 2
        place = f"/document/blobs/uploads/{upload['upload_id']}"
        assert http.put(f"{place}/parts/2", content=parts[2]).status_code == 204
        running.process.send_signal(signal.SIGKILL)
        running.process.wait(60)
    with service(tmp_path, **options) as running, httpx.Client(base_url=running.base, timeout=60) as http:
        assert http.get(place).json()["parts"] == [2]
        assert http.put(f"{place}/parts/1", content=parts[1]).status_code == 204
        reference = http.post(f"{place}/finish").json()
        made = http.post("/document", json={"title": "t", "attachments": [reference]})
        read = http.get(f"{made.headers['location']}/blobs/{reference['file_id']}")
        assert read.content == content
