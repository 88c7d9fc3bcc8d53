"""The Compose file is valid, and its services work: each command and environment, from wheels."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT
from tests.servers_real import folder
from tests.stack.compose import Compose


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    """Yield the file, and stop everything that was started."""
    with ExitStack() as stack:
        yield Compose(folder(tmp_path.name), stack)


def smoke(base: str) -> None:
    """Use each feature of the service once."""
    with httpx.Client(base_url=base, timeout=30) as http:
        assert http.get("/readyz").json()["status"] == "ready"
        created = http.post("/movie", json={"title": "The Third Man", "imdb_id": "tt0041959"})
        assert created.status_code == 201
        where, tag = created.headers["location"], created.headers["etag"]
        assert http.post("/movie", json={"title": "Another", "imdb_id": "tt0041959"}).status_code == 409
        changed = {"title": "The Third Man", "imdb_id": "tt0041959", "year": 1949}
        assert http.put(where, json=changed, headers={"If-Match": tag}).status_code == 200
        assert http.put(where, json=changed | {"year": 1950}, headers={"If-Match": tag}).status_code == 412
        assert [item["data"]["year"] for item in http.get("/movie?imdb_id=tt0041959").json()["items"]] == [1949]
        assert http.delete(where).status_code == 204
        assert http.get(where).status_code == 410
        assert http.post(f"{where}/restore").status_code == 200
        large = http.post("/movie", json={"title": "Large", "cast": ["x" * 1000] * 50}).headers["location"]
        assert len(http.get(large).json()["data"]["cast"]) == 50
        assert http.delete(f"{where}/permanently").status_code == 204
        assert http.get(where).status_code == 404


def test_compose_file_is_valid() -> None:
    """Validate with the schema of the Compose specification."""
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_names_exist(compose: Compose) -> None:
    """Volumes, configs and dependencies. Data is in named volumes, and ports are local."""
    file = compose.file
    for service in file["services"].values():
        for other, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}
            assert "healthcheck" in file["services"][other] or file["services"][other]["image"] == "autocrud"
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in file["volumes"]
        for config in service.get("configs", []):
            assert config["source"] in file["configs"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize(("name", "port"), [("autocrud", 8000), ("autocrud-s3", 8000)])
def test_compose_services_serve_requests(compose: Compose, name: str, port: int) -> None:
    """Dependencies start first, the bucket is created, and requests are served."""
    compose.up(name)
    smoke(f"http://{compose.addresses[name]}:{port}")


def test_proxy_avoids_a_dead_replica(compose: Compose) -> None:
    """Three replicas are one store."""
    compose.up("proxy")
    smoke(f"http://{compose.addresses['proxy']}:8080")
    replica = f"http://{compose.addresses['replica-2']}:8000"
    with httpx.Client(base_url=f"http://{compose.addresses['proxy']}:8080", timeout=30) as http:
        where = http.post("/movie", json={"title": "x"}).headers["location"]
        assert httpx.get(replica + where).status_code == 200
        compose.kill("replica-2")
        assert {http.get(where).status_code for _ in range(12)} == {200}
