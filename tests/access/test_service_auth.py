"""Authentication of the service: its settings, its address, and the command `autocrud keys`."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from autocrud.access import ApiKeys, JWTAuthenticator, TrustedHeader
from autocrud.access.authenticator import FirstOf
from autocrud.service.cli import main
from autocrud.service.listen_address import LoopbackOnly, is_loopback, refuse_open_address
from autocrud.service.main import create_app
from autocrud.service.settings import SettingsError, load_settings
from tests.http.conftest import serving
from tests.http.test_service import settings_of

JWT: dict[str, Any] = {"auth": "jwt", "jwt_issuer": "https://id.example.com", "jwt_audience": "notes"}


@pytest.fixture(autouse=True)
def _reset_logging() -> Iterator[None]:
    """Remove the handlers that the service adds."""
    yield
    logging.getLogger().handlers.clear()


def test_auth_setting_selects_authenticators() -> None:
    """In the order of the setting."""
    settings = settings_of(**JWT | {"auth": "keys, jwt,header", "user_header": "X-User"}, storage="memory")
    authenticator = create_app(settings).state.crud.authenticator
    assert [type(part) for part in authenticator.parts()] == [FirstOf, ApiKeys, JWTAuthenticator, TrustedHeader]
    assert create_app(settings_of(storage="memory")).state.crud.authenticator is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"auth": "header"}, "AUTOCRUD_USER_HEADER: must be set if AUTOCRUD_AUTH contains header"),
        ({"auth": "keys", "user_header": "X-User"}, "AUTOCRUD_USER_HEADER: is read only if"),
        ({"auth": "jwt", "jwt_issuer": "https://id.example.com"}, "AUTOCRUD_JWT_AUDIENCE: must be set"),
        (JWT | {"jwt_issuer": "id"}, "AUTOCRUD_JWT_ISSUER: the issuer must be a URL"),
        (JWT | {"jwt_jwks_url": "id"}, "AUTOCRUD_JWT_JWKS_URL: the jwks_url must be a URL"),
        ({"host": "0.0.0.0"}, "AUTOCRUD_ALLOW_ANONYMOUS: must be true to listen on 0.0.0.0"),
        ({"host": "0.0.0.0", "user_header": "X-User"}, "AUTOCRUD_ALLOW_ANONYMOUS: must be true"),
        ({"host": "example.com"}, "AUTOCRUD_ALLOW_ANONYMOUS: must be true"),
    ],
)
def test_service_refuses_settings_that_do_not_fit(values: dict[str, Any], message: str) -> None:
    """One sentence names the setting."""
    with pytest.raises(SettingsError, match=message):
        create_app(settings_of(**{"storage": "memory"} | values))


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting that needs it."""
    monkeypatch.delitem(sys.modules, "autocrud.access.jwks", raising=False)
    monkeypatch.setitem(sys.modules, "joserfc.errors", None)
    with pytest.raises(SettingsError, match=r"AUTOCRUD_AUTH: The package joserfc is missing.*autocrud\[jwt\]"):
        create_app(settings_of(**JWT, storage="memory"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("AUTOCRUD_AUTH", "keys,password"), ("AUTOCRUD_AUTH", "keys,keys"), ("AUTOCRUD_JWT_ALGORITHMS", "HS256")],
)
def test_wrong_kind_or_algorithm_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """With the kinds, or the algorithms, that exist."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=f"^{variable}: must be some of"):
        load_settings()


def test_open_address_is_served_with_authentication_or_permission() -> None:
    """Either setting is enough."""
    create_app(settings_of(storage="memory", host="0.0.0.0", auth="keys"))
    create_app(settings_of(storage="memory", host="0.0.0.0", allow_anonymous=True))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.9.8.7", True), ("::1", True), ("localhost", True), ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("", False), ("::ffff:10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)  # fmt: skip
def test_loopback_addresses_are_known(host: str, expected: bool) -> None:
    """Names of other hosts count as open."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize("program", ["/venv/bin/uvicorn", "/venv/lib/uvicorn/__main__.py"])
def test_host_of_the_uvicorn_command_counts(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Its option and its variable win over `AUTOCRUD_HOST`."""
    arguments = [program, "app.main:create_app", "--factory"]
    monkeypatch.setattr("sys.argv", [*arguments, "--host", "0.0.0.0"])
    with pytest.raises(SettingsError, match=r"0\.0\.0\.0"):
        refuse_open_address(settings_of())
    monkeypatch.setattr("sys.argv", arguments)
    refuse_open_address(settings_of(host="0.0.0.0"))
    monkeypatch.setenv("UVICORN_HOST", "::")
    with pytest.raises(SettingsError):
        refuse_open_address(settings_of())


async def test_request_on_an_open_address_is_refused() -> None:
    """Under a server whose address the settings do not show."""
    app = FastAPI()
    app.add_api_route("/", lambda: None)
    app.add_middleware(LoopbackOnly)
    for host, status in (("10.0.0.1", 403), ("127.0.0.1", 200), ("[::1]", 200), ("test", 200), ("10.0.0.1", 403)):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}") as http:
            assert (await http.get("/")).status_code == status


async def test_header_without_auth_names_the_author_and_refuses_nobody() -> None:
    """Except for a header that is given twice."""
    async with serving(create_app(settings_of(storage="memory", user_header="X-User"))) as http:
        named = await http.post("/person", json={"name": "Ada"}, headers={"x-user": "ada"})
        unnamed = await http.post("/person", json={"name": "Ada"})
        twice = await http.get("/person", headers=[("x-user", "ada"), ("x-user", "bob")])
    assert (named.json()["meta"]["created_by"], unnamed.json()["meta"]["created_by"]) == ("ada", None)
    assert (twice.status_code, twice.json()["code"]) == (401, "unauthenticated")


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[str, str]:
    """Run `autocrud keys`. Return its output and its errors."""
    with pytest.raises(SystemExit) as caught:
        main(["keys", *arguments])
    assert caught.value.code == status
    output, errors = capsys.readouterr()
    return output.strip(), errors.strip()


def test_keys_command_creates_lists_and_revokes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is printed once. The list has its id, and no secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCRUD_DATA_DIR", str(tmp_path / "data"))
    key, note = run(capsys, "create", "ci", "--scope", "read", "--role", "editor", "--days", "90", "--by", "ada")
    assert note == "This key is shown once. The store keeps only its SHA-256."
    key_id = key.split("_")[1]
    listed, _ = run(capsys, "list")
    assert listed.split("\t")[:5] == [key_id, "ci", "read", "editor", "-"]
    assert "expires" in listed
    assert key[-10:] not in listed
    assert run(capsys, "revoke", key)[0] == f"Revoked {key_id}."
    assert "revoked" in run(capsys, "list")[0]
    assert run(capsys, "revoke", "nobody", status=2)[1] == "There is no API key 'nobody'."
    assert "must be a number from 1" in run(capsys, "create", "ci", "--days", "0", status=2)[1]
    assert "printable" in run(capsys, "create", "a\nb", status=2)[1]
    monkeypatch.setenv("AUTOCRUD_STORAGE", "memory")
    assert run(capsys, "list", status=2)[1].startswith("AUTOCRUD_STORAGE: must not be memory")
