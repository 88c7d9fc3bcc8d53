"""Bounds of answers: caches, redirects, media types, hosts and origins."""

import httpx
import pytest
from fastapi import Depends, FastAPI, Header

from autocrud import AutoCRUD
from autocrud.service.main import create_app
from autocrud.service.settings import Settings, StorageKind
from autocrud.storage.memory import MemoryStorageFactory
from tests.bounds.conftest import Note, note
from tests.http.conftest import serving

_BODIES = (
    ("POST", "/note"), ("PUT", "{path}"), ("PATCH", "{path}"), ("PATCH", "/note?title=a"), ("POST", "/note/bulk"),
    ("POST", "/note/import"), ("POST", "/transaction"), ("POST", "/picture/blobs/uploads"),
)  # fmt: skip


async def test_answers_are_private_and_checked_each_time(http: httpx.AsyncClient) -> None:
    """No shared cache keeps an answer or a problem, and caches of clients ask again."""
    path = await note(http)
    for method, url, headers in (
        ("GET", path, {}), ("GET", "/note", {}), ("GET", "/note/count", {}), ("GET", "/note/missing", {}),
        ("GET", f"{path}/revisions", {}), ("GET", "/note/export", {}),
        ("GET", path, {"if-none-match": "*"}), ("DELETE", path, {}), ("POST", path, {}), ("GET", "/note?x=1", {}),
    ):  # fmt: skip
        response = await http.request(method, url, headers=headers)
        assert response.headers.get_list("cache-control") == ["private, no-cache"], (method, url)
    assert (await http.get(path)).headers["vary"] == "Accept"


async def test_answer_that_a_dependency_guards_varies_with_the_credentials() -> None:
    """`Vary` names `Authorization` if a dependency may read it."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())

    def guard(authorization: str = Header("")) -> None:
        assert isinstance(authorization, str)

    crud.add_model(Note, dependencies=[Depends(guard)])
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        assert (await http.get("/note")).headers["vary"] == "Accept, Authorization"
        assert (await http.get("/note/count")).headers["vary"] == "Authorization"


async def test_path_with_a_slash_at_the_end_is_not_redirected_to_the_host(http: httpx.AsyncClient) -> None:
    """No answer leads to the `Host` that the client sent."""
    path = await note(http)
    await note(http)
    for url in ("/note/", f"{path}/", "/note%2F", "/transaction/", f"{path}/revisions/"):
        response = await http.get(url, headers={"host": "evil.example"})
        assert response.status_code in (404, 400), url
        assert "evil.example" not in str(response.headers)
    created = await http.post("/note", json={}, headers={"host": "evil.example"})
    page = await http.get("/note?limit=1", headers={"host": "evil.example"})
    assert created.headers["location"].startswith("/note/")
    assert page.headers["link"].startswith("</note?")


async def test_service_redirects_to_no_host() -> None:
    """The routes of the service itself redirect to no host either."""
    async with serving(create_app(Settings(storage=StorageKind.memory))) as http:
        for url in ("/docs/", "/healthz/", "/movie/"):
            assert (await http.get(url, headers={"host": "evil.example"})).status_code == 404


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
async def test_body_that_any_web_page_may_send_is_415(http: httpx.AsyncClient, content_type: str | None) -> None:
    """Browsers send these types to other origins without asking first. No write accepts them."""
    path = await note(http)
    for method, url in _BODIES:
        headers = {} if content_type is None else {"content-type": content_type}
        response = await http.request(method, url.format(path=path), content=b"{}", headers=headers)
        assert response.status_code == 415, (method, url, response.text)
        assert response.json()["code"] == "unsupported_media_type"


@pytest.fixture
def app() -> FastAPI:
    """Return a service for two hosts and one origin."""
    hosts, origins = "example.com,*.example.org", "https://web.example"
    return create_app(Settings(storage=StorageKind.memory, allowed_hosts=hosts, cors_origins=origins))


async def test_other_host_is_400(app: FastAPI) -> None:
    """A host is allowed by its name or as a subdomain, with any port. Health checks answer every host."""
    async with serving(app) as http:
        for host, status in (
            ("example.com", 200), ("EXAMPLE.com:8000", 200), ("a.example.org", 200), ("example.org", 400),
            ("evil.example", 400), ("example.com.evil.example", 400), ("evilexample.com", 400), ("", 400),
        ):  # fmt: skip
            response = await http.get("/movie", headers={"host": host})
            assert response.status_code == status, host
            assert (await http.get("/healthz", headers={"host": host})).status_code == 200
        assert response.json()["code"] == "host_not_allowed"


async def test_allowed_origin_reads_all_headers(app: FastAPI) -> None:
    """A page of an allowed origin may send each method, and read the headers; another page may not."""
    async with serving(app) as http:
        base = {"host": "example.com"}
        ask = base | {"access-control-request-method": "PATCH", "access-control-request-headers": "if-match"}
        allowed = await http.options("/movie/a", headers=ask | {"origin": "https://web.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://web.example"
        assert "PATCH" in allowed.headers["access-control-allow-methods"]
        refused = await http.options("/movie/a", headers=ask | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in refused.headers
        shown = (await http.get("/movie", headers=base | {"origin": "https://web.example"})).headers
        for name in ("ETag", "Location", "Link", "Retry-After", "WWW-Authenticate", "Content-Disposition"):
            assert name in shown["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in shown


def test_wrong_host_setting_is_refused() -> None:
    """A setting that names no host is an error at the start."""
    for text in ("https://example.com", "a b", "example.com:80"):
        with pytest.raises(ValueError, match="is no host"):
            Settings(allowed_hosts=text)
