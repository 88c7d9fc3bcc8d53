"""Home page of the service, and its links as JSON."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from autocrud import AutoCRUD
from autocrud.errors import StorageUnavailable
from autocrud.pages import add_home
from autocrud.pages.home import MAX_COUNT
from autocrud.service.main import create_app
from autocrud.storage.memory import MemoryStorageFactory
from autocrud.storage.metadata.memory.store import MemoryMetaStore
from tests.http.conftest import Book, serving
from tests.http.test_service import settings_of
from tests.pages.html_reader import Page
from tests.pages.test_data_view import BROWSER, page_of


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Yield the service on memory."""
    async with serving(create_app(settings_of(storage="memory"))) as client:
        yield client
    logging.getLogger().handlers.clear()


async def test_home_page_links_to_everything(http: httpx.AsyncClient) -> None:
    """Each link works."""
    await http.post("/movie", json={"title": "The Third Man"})
    page = await page_of(http, "/")
    assert page.texts.count("1") == 1
    for path in ("/docs", "/redoc", "/openapi.json", "/healthz", "/readyz", "/movie", "/person", "/document"):
        assert path in page.hrefs()
        assert (await http.get(path, headers=BROWSER)).status_code == 200
    assert "/" in (await page_of(http, "/movie")).hrefs()


async def test_home_as_json_has_the_same_links(http: httpx.AsyncClient) -> None:
    """For clients that do not ask for HTML."""
    response = await http.get("/")
    body = response.json()
    assert (response.headers["vary"], body["title"], body["links"]["Health"]) == ("Accept", "autocrud", "/healthz")
    movie = body["models"][0]
    assert (movie["name"], movie["url"], movie["count"], movie["has_more"]) == ("movie", "/movie", 0, False)


async def test_count_of_a_large_model_is_bounded(http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """And an outage hides it."""

    async def count(self: Any, query: Any) -> int:
        return int(query.count_limit)

    monkeypatch.setattr(MemoryMetaStore, "count", count)
    assert "more than 10,000" in (await page_of(http, "/")).text
    assert (await http.get("/")).json()["models"][0]["count"] == MAX_COUNT

    async def fail(self: Any, query: Any) -> int:
        raise StorageUnavailable("away")

    monkeypatch.setattr(MemoryMetaStore, "count", fail)
    assert (await http.get("/")).json()["models"][0]["count"] is None
    await page_of(http, "/")


@pytest.mark.parametrize("is_guarded", [True, False])
async def test_count_of_a_guarded_model_is_not_shown(is_guarded: bool) -> None:
    """The home page has no guard. `current_user` may be one, too."""
    options: dict[str, Any] = {} if is_guarded else {"current_user": lambda: "ada"}
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), **options)
    crud.add_model(Book, dependencies=[Depends(lambda: None)] if is_guarded else [])
    app = FastAPI(title="Shop")
    crud.apply(app)
    add_home(app, path="/start")
    async with serving(app) as http:
        assert (await http.get("/start")).json()["models"][0]["count"] is None
        assert "/start" in Page((await http.get("/book", headers=BROWSER)).text).hrefs()


async def test_data_view_setting_switches_pages_off() -> None:
    """`AUTOCRUD_DATA_VIEW=false`."""
    async with serving(create_app(settings_of(storage="memory", data_view=False))) as http:
        assert (await http.get("/movie", headers=BROWSER)).headers["content-type"] == "application/json"
    logging.getLogger().handlers.clear()
