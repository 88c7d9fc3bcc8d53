"""The service `app`: settings, health, logs and uncaught errors."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from autocrud.errors import StorageUnavailable
from autocrud.service.announcement import startup_lines
from autocrud.service.main import create_app
from autocrud.service.settings import Settings, SettingsError, load_settings
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.metadata.memory.engine import MemoryEngine
from autocrud.storage.metadata.memory.store import MemoryMetaStore
from tests.servers import ROOT


def settings_of(**values: Any) -> Settings:
    """Return settings without `.env`."""
    make: Any = Settings
    made: Settings = make(_env_file=None, **values)
    return made


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Yield the service on memory."""
    app = create_app(settings_of(storage="memory"))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        yield http
    logging.getLogger().handlers.clear()


async def test_readiness_names_an_unavailable_backend(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Health stays ok."""
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).json() == {"status": "ready", "storage": {}}

    async def fail() -> None:
        raise StorageUnavailable("gone fishing")

    async def answer() -> None:
        return

    monkeypatch.setattr(MemoryStorageFactory, "checks", lambda self: {"boat": fail, "shore": answer})
    response = await http.get("/readyz")
    assert (response.status_code, response.json()["storage"]) == (503, {"boat": "gone fishing", "shore": "ok"})
    assert (await http.get("/healthz")).status_code == 200


async def test_storage_outage_is_503_with_retry_after(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never 4xx. The log has the details."""

    async def fail(self: Any, *_: Any) -> None:
        raise StorageUnavailable("/secret/path: no space left")

    for method in ("get", "search", "count"):
        monkeypatch.setattr(MemoryMetaStore, method, fail)
    monkeypatch.setattr(MemoryEngine, "commit", fail)
    for response in (
        await http.get("/movie/x"),
        await http.get("/movie"),
        await http.get("/movie/count"),
        await http.post("/movie", json={"title": "x"}),
    ):
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.json()["code"] == "storage_unavailable"
        assert "secret" not in response.text


async def test_bug_is_500_without_internals(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem has the request id, and the log has the traceback."""

    async def fail(self: Any, *_: Any) -> None:
        raise RuntimeError("the inside")

    monkeypatch.setattr(MemoryMetaStore, "get", fail)
    response = await http.get("/movie/x", headers={"X-Request-ID": "mine-1"})
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "inside" not in response.text
    assert response.headers["x-request-id"] == "mine-1"


async def test_unknown_path_and_method_are_problems(http: httpx.AsyncClient) -> None:
    """In the form of all other errors."""
    for response, status, code in (
        (await http.get("/nothing"), 404, "no_such_route"),
        (await http.put("/movie"), 405, "method_not_allowed"),
    ):
        assert (response.status_code, response.json()["code"]) == (status, code)
        assert response.headers["content-type"] == "application/problem+json"


async def test_method_not_allowed_lists_the_path_methods(http: httpx.AsyncClient) -> None:
    """Although each method is a route of its own."""
    for path, allow in (
        ("/movie", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
        ("/movie/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/movie/x/restore", "OPTIONS, POST"),
    ):
        for method, status in (("OPTIONS", 204), ("TRACE", 405)):
            response = await http.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (status, allow)
            assert ("accept-patch" in response.headers) == (status == 204 and "PATCH" in allow)


async def test_request_id_is_kept_if_well_formed(http: httpx.AsyncClient) -> None:
    """It is written to the log."""
    assert (await http.get("/healthz", headers={"X-Request-ID": "abc.1"})).headers["x-request-id"] == "abc.1"
    for odd in ("a b", 'x"}', "", "x" * 129):
        made = (await http.get("/healthz", headers={"X-Request-ID": odd})).headers["x-request-id"]
        assert made not in ("", odd)
    first, second = [(await http.get("/healthz")).headers["x-request-id"] for _ in range(2)]
    assert first != second


@pytest.mark.parametrize("log_format", ["json", "text"])
async def test_access_log_is_structured(log_format: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per request."""
    app = create_app(settings_of(storage="memory", log_format=log_format))
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        await http.get("/movie/unknown", headers={"X-Request-ID": "id-7"})
    logging.getLogger().handlers[0].flush()
    logging.getLogger().handlers.clear()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "autocrud.access" in line]
    if log_format == "text":
        assert "[id-7] GET /movie/unknown 404" in line
        return
    told = json.loads(line)
    assert told.pop("duration_ms") >= 0
    assert told.pop("time").endswith("Z")
    assert {name: told[name] for name in ("level", "logger", "request_id", "method", "path", "status")} == {
        "level": "INFO",
        "logger": "autocrud.access",
        "request_id": "id-7",
        "method": "GET",
        "path": "/movie/unknown",
        "status": 404,
    }


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AUTOCRUD_STORAGE", "floppy"),
        ("AUTOCRUD_PORT", "http"),
        ("AUTOCRUD_PORT", "70000"),
        ("AUTOCRUD_WORKERS", "0"),
        ("AUTOCRUD_MAX_BODY_BYTES", "-1"),
        ("AUTOCRUD_LOG_FORMAT", "xml"),
        ("AUTOCRUD_ACCESS_LOG", "maybe"),
        ("AUTOCRUD_S3_MAX_STALENESS", "-1"),
        ("AUTOCRUD_POSTGRES_POOL_SIZE", "0"),
    ],
)
def test_wrong_setting_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """With the wrong value."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"{variable}: ")
    assert str(caught.value).count("\n") == 0
    assert value in str(caught.value)
    with pytest.raises(SystemExit, match=variable):
        create_app()


@pytest.mark.parametrize(
    ("module", "reason"),
    [("no.such.module", "cannot import"), ("json.tool", "neither"), ("", "cannot import"), (".x", "cannot import")],
)
def test_wrong_models_module_is_named(module: str, reason: str) -> None:
    """A missing module, and one without models."""
    with pytest.raises(SettingsError, match=rf"AUTOCRUD_MODELS: .*{reason}"):
        create_app(settings_of(storage="memory", models=module))
    logging.getLogger().handlers.clear()


def test_environment_wins_over_dotenv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Foreign variables are ignored."""
    (tmp_path / ".env").write_text("AUTOCRUD_PORT=1234\nAUTOCRUD_HOST=0.0.0.0\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCRUD_PORT", "4321")
    settings = load_settings()
    assert (settings.port, settings.host) == (4321, "0.0.0.0")  # a value, not a listener


def test_every_setting_is_documented() -> None:
    """In `.env.example` with its default, and in docs/reference/settings.md."""
    example, readme = (ROOT / ".env.example").read_text(), (ROOT / "docs" / "reference" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        variable = f"AUTOCRUD_{name.upper()}"
        default = str(field.default).lower() if isinstance(field.default, bool) else field.default
        default = "" if default is None else default
        assert f"# {variable}={default}\n" in example
        assert f"`{variable}`" in readme


def test_settings_build_their_factory(tmp_path: Path) -> None:
    """Each kind."""
    assert isinstance(settings_of(storage="memory").storage_factory(), MemoryStorageFactory)
    assert isinstance(settings_of(storage="disk").storage_factory(), DiskStorageFactory)


def test_home_directory_in_a_path_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In every setting that is a path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = settings_of(data_dir="~/data", cache_dir="~/cache")
    assert (settings.data_dir, settings.cache_dir) == (tmp_path / "data", tmp_path / "cache")


def test_lines_at_the_start_have_no_secrets() -> None:
    """Storage on servers, and an address for all interfaces."""
    settings = settings_of(
        storage="postgres",
        postgres_url="postgresql://ada:secret@db/app",
        s3_bucket="films",
        s3_endpoint_url="http://ada:secret@s3:8333",
        host="::",
    )
    assert startup_lines(settings, ["movie", "person"]) == (
        "Serving movie, person on http://[::1]:8000 and all other interfaces",
        "Documentation: http://[::1]:8000/docs",
        "Storage: postgres, postgresql://ada:***@db/app and bucket films at http://ada:***@s3:8333",
    )
    assert startup_lines(settings, ["movie"], "shop:crud")[2] == "Storage: that of shop:crud"
    assert (
        startup_lines(settings_of(storage="s3", s3_bucket="films"), ["movie"])[2] == "Storage: s3, bucket films at AWS"
    )


async def test_served_document_is_small(http: httpx.AsyncClient) -> None:
    """The document that clients get has at most 60 kB for each of the shipped models."""
    assert len((await http.get("/openapi.json")).content) <= 60_000 * 3
