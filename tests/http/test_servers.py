"""The service on real servers: failed starts and outages."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Index
from autocrud.service.cli import main as service_main
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.testing.servers import PostgresServer, SeaweedServer, free_port
from tests.http.conftest import serving
from tests.servers import Service, running_stack, service, start_fails
from tests.servers_real import folder, postgres, seaweed
from tests.storage.backends import BACKENDS, s3_factory, s3_options

SECRET = "hunter2-and-more"
Capture = pytest.CaptureFixture[str]


def s3_settings(server: SeaweedServer, **changes: Any) -> dict[str, Any]:
    """Return settings for the test's own bucket."""
    return {
        "storage": "s3",
        "s3_bucket": "service",
        "s3_endpoint_url": server.endpoint_url,
        "s3_access_key": server.access_key,
        "s3_secret_key": server.secret_key,
        "s3_create_bucket": True,
        **changes,
    }


def postgres_settings(database: PostgresServer, server: SeaweedServer, **changes: Any) -> dict[str, Any]:
    """Return settings for PostgreSQL and S3."""
    return s3_settings(server) | {"storage": "postgres", "postgres_url": database.url, **changes}


def refused(monkeypatch: pytest.MonkeyPatch, capsys: Capture, **settings: Any) -> tuple[int, str]:
    """Run `python -m app` that cannot start, and return status and output."""
    for name, value in settings.items():
        monkeypatch.setenv(f"AUTOCRUD_{name.upper()}", str(value))
    with pytest.raises(SystemExit) as ended:
        service_main([])
    logging.getLogger().handlers.clear()
    said = capsys.readouterr()
    return int(str(ended.value.code)), said.out + said.err


def test_process_that_cannot_start_exits(tmp_path: Path) -> None:
    """With its own status."""
    url = f"postgresql://postgres:{SECRET}@127.0.0.1:1/postgres"
    status, said = start_fails(tmp_path, **postgres_settings(postgres(), seaweed(), postgres_url=url))
    assert status == 2
    assert said.startswith("AUTOCRUD_POSTGRES_URL: PostgreSQL at 127.0.0.1:1 cannot be reached")
    assert SECRET not in said


@pytest.mark.parametrize(
    ("changes", "begin", "reason"),
    [
        ({"s3_bucket": ""}, "AUTOCRUD_S3_BUCKET: ", "must be set"),
        ({"s3_bucket": "nowhere", "s3_create_bucket": False}, "AUTOCRUD_S3_BUCKET: ", "no bucket 'nowhere'"),
        ({"s3_secret_key": SECRET}, "AUTOCRUD_S3_SECRET_KEY: ", "refuses the credentials"),
        ({"s3_access_key": "nobody"}, "AUTOCRUD_S3_ACCESS_KEY: ", "refuses the credentials"),
        ({"s3_secret_key": ""}, "AUTOCRUD_S3_SECRET_KEY: ", "set both"),
        ({"s3_endpoint_url": "http://127.0.0.1:1"}, "AUTOCRUD_S3_ENDPOINT_URL: ", "127.0.0.1:1 cannot be reached"),
        ({"s3_endpoint_url": "nonsense"}, "AUTOCRUD_S3_ENDPOINT_URL: ", "Invalid endpoint"),
    ],
)
def test_start_without_s3_names_setting_and_host(
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    changes: dict[str, Any],
    begin: str,
    reason: str,
) -> None:
    """Never the secret."""
    status, said = refused(monkeypatch, capsys, **s3_settings(seaweed(), **changes))
    assert status != 0
    assert said.splitlines()[-1].startswith(begin)
    assert reason in said
    assert SECRET not in said
    assert seaweed().secret_key not in said


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "must be set"),
        ("postgresql://postgres:{secret}@127.0.0.1:{port}/postgres", "refuses the user or the password"),
        ("postgresql://postgres:{password}@127.0.0.1:{port}/nowhere", "no such database"),
        ("postgresql://postgres:{secret}@127.0.0.1:1/postgres", "127.0.0.1:1 cannot be reached"),
        ("postgresql://postgres:{secret}@127.0.0.1:many/postgres", "cannot be read"),
        ("mysql://postgres:{secret}@127.0.0.1/postgres", "cannot be read"),
    ],
)
def test_start_without_postgres_names_setting_and_host(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, url: str, reason: str
) -> None:
    """Never the password."""
    url = url.format(secret=SECRET, password=postgres().password, port=postgres().port)
    status, said = refused(monkeypatch, capsys, **postgres_settings(postgres(), seaweed(), postgres_url=url))
    assert status != 0
    assert said.splitlines()[-1].startswith("AUTOCRUD_POSTGRES_URL: ")
    assert reason in said
    assert SECRET not in said


@dataclass
class Stack:
    """A service on servers that a test may kill."""

    s3: SeaweedServer
    database: PostgresServer
    http: httpx.Client
    running: Service

    def until_ready(self, expected: int) -> dict[str, Any]:
        """Wait for this readiness and return the answer."""
        while True:
            answer = self.http.get("/readyz")
            if answer.status_code == expected:
                found: dict[str, Any] = answer.json()
                return found


@pytest.fixture(params=["s3", "postgres"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    """Yield a service on its own servers."""
    with ExitStack() as stack:
        own = folder(tmp_path.name)
        s3, database = SeaweedServer(own / "s3", free_port()), PostgresServer(own / "db", free_port(), durable=False)
        for server in (s3, database) if request.param == "postgres" else (s3,):
            stack.callback(server.kill)
            server.start()
        settings = s3_settings(s3) if request.param == "s3" else postgres_settings(database, s3)
        running = stack.enter_context(service(tmp_path, **settings))
        http = stack.enter_context(httpx.Client(base_url=running.base, timeout=30))
        yield Stack(s3, database, http, running)


def test_outage_is_503_and_recovers(stack: Stack) -> None:
    """Nothing is lost or restarted, and readiness names the server."""
    http = stack.http
    before = [http.post("/movie", json={"title": f"before {number}"}).headers["location"] for number in range(3)]
    on_postgres = "postgresql" in stack.until_ready(200)["storage"]
    servers = {"s3 bucket service": stack.s3} | ({"postgresql": stack.database} if on_postgres else {})
    for name, server in servers.items():
        server.kill()
        states = stack.until_ready(503)["storage"]
        assert {other: state == "ok" for other, state in states.items()} == {other: other != name for other in servers}
        meanwhile = http.post("/movie", json={"title": "meanwhile"})
        refused = [meanwhile, http.get(before[0]), http.get("/movie")]
        if on_postgres and server is stack.s3:  # heads and new records are in PostgreSQL
            assert [answer.status_code for answer in refused] == [201, 200, 200]
            before.append(meanwhile.headers["location"])
            refused = []
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
            assert answer.headers["retry-after"]
            assert "127.0.0.1" not in answer.text
        server.start()
        stack.until_ready(200)
        assert [http.get(location).status_code for location in before] == [200] * len(before)
        before.append(http.post("/movie", json={"title": f"after {name}"}).headers["location"])
    assert http.get("/movie/count").json()["count"] == len(before)
    # A server that accepts and does not answer must not hang a request for ever.
    stack.s3.pause()
    answer = http.post("/movie", json={"title": "stalled"})
    if on_postgres:
        assert answer.status_code == 201
    else:
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    stack.s3.resume()
    stack.until_ready(200)
    before.append(http.post("/movie", json={"title": "after"}).headers["location"])
    titles = [item["data"]["title"] for item in http.get("/movie").json()["items"]]
    assert len(set(titles) - {"stalled"}) == len(before)


def test_make_stack_keeps_its_data(tmp_path: Path) -> None:
    """Start twice on one folder."""
    own = folder(tmp_path.name)
    for number in range(2):
        with running_stack(own, tmp_path) as (base, process), httpx.Client(base_url=base, timeout=30) as http:
            assert http.get("/movie/count").json() == {"count": number}
            assert http.post("/movie", json={"title": "kept"}).status_code == 201
            process.terminate()
            assert process.wait(60) in (0, 143)
        assert "passwords of these servers are fixed" in (tmp_path / "stack.log").read_text()
    readable = [path for path in own.rglob("*") if path.is_file() and _is_reachable(path, own)]
    assert [path for path in readable if path.stat().st_mode & 0o077] == []


def _is_reachable(path: Path, top: Path) -> bool:
    """Return True if every folder up to the top lets other users pass."""
    return all(parent.stat().st_mode & 0o011 for parent in path.parents if parent.is_relative_to(top))


def test_s3_server_gives_no_bytes_without_credentials() -> None:
    """Neither the filer nor a volume serves files over HTTP."""
    server = seaweed()
    command = Path(f"/proc/{server.process_id}/cmdline").read_text().split("\0")
    ports = dict(part.split("=", 1) for part in command if ".port=" in part)
    for name, path, expected in (
        ("-filer.port", "/", 404), ("-filer.port", "/buckets/", 404), ("-volume.port", "/1,01", 401),
        ("-s3.port", "/", 403),
    ):  # fmt: skip
        assert httpx.get(f"http://127.0.0.1:{ports[name]}{path}").status_code == expected, (name, path)


class Image(BaseModel):
    """A model with its own bucket."""

    name: Annotated[str, Index()]
    pixels: str = ""


class Album(BaseModel):
    """A model on the default storage."""

    title: str


@pytest.mark.parametrize("default", ["disk", "postgres"])
async def test_model_may_use_another_bucket(tmp_path: Path, default: str) -> None:
    """Models of one factory share its connections."""
    images = s3_factory(tmp_path, bucket="image-bucket")
    rest = BACKENDS[default](tmp_path)
    crud = AutoCRUD(storage_factory=rest)
    crud.add_model(Album)
    crud.add_model(Image, storage=images)
    crud.add_model(Image, name="thumbnail", storage=images)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        for path, body in (
            ("/album", {"title": "x"}),
            ("/image", {"name": "a", "pixels": "p" * 50_000}),
            ("/thumbnail", {"name": "b"}),
        ):
            location = (await http.post(path, json=body)).headers["location"]
            assert (await http.get(location)).status_code == 200
        assert [len((await http.get(f"/image?name={name}")).json()["items"]) for name in "ab"] == [1, 0]
        expected = {"s3 bucket image-bucket"} | ({"disk"} if default == "disk" else {"postgresql", "s3 bucket tests"})
        assert await crud.check() == dict.fromkeys(expected)
    found = await _keys("image-bucket", tmp_path)
    assert {key.split("/")[0] for key in found} - {".probe"} == {"log", "models", "store.json"}
    assert {key.split("/")[1] for key in found if key.startswith("models/")} == {"image", "thumbnail"}
    if default == "disk":
        assert await asyncio.to_thread((tmp_path / "metadata.sqlite").exists)
    else:
        assert {key.split("/")[0] for key in await _keys("tests", tmp_path)} == {
            "log",
            "models",
            "store.json",
        }


async def _keys(bucket: str, tmp_path: Path) -> list[str]:
    store = S3ObjectStore(S3Location(**s3_options() | {"bucket": bucket}, prefix=tmp_path.name))
    await store.open()
    found = [key async for key in store.keys("")]
    await store.close()
    return found
