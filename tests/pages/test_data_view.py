"""The data view over HTTP: negotiation, content, errors, guards."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel

from autocrud import AutoCRUD, Index
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.blob_models import Album, album, uploaded
from tests.http.conftest import Book, created, serving
from tests.http.conftest import http as http
from tests.http.conftest import serve as serve
from tests.http.reference_models import library, new
from tests.pages.html_reader import Page

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}
EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)</script>'{{7*7}}"


async def page_of(http: httpx.AsyncClient, path: str, status: int = 200, **options: Any) -> Page:
    """Return a page, and check the headers that every page has."""
    response = await http.get(path, headers=BROWSER, **options)
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert "Accept" in response.headers["vary"]
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
    assert "unsafe" not in policy
    assert (response.headers["x-content-type-options"], response.headers["cache-control"]) == ("nosniff", "no-store")
    page = Page(response.text)
    scripts = [attributes for attributes in page.find("script") if attributes]
    handlers = [
        name for _, attributes in page.elements for name in attributes if name.startswith("on") or name == "style"
    ]
    assert (scripts, handlers) == ([], [])
    return page


async def test_list_page_has_rows_and_columns(http: httpx.AsyncClient) -> None:
    """On each backend."""
    for year, title in ((1815, "Emma"), (1811, "Sense")):
        await created(http, title=title, year=year)
    page = await page_of(http, "/book?sort=year&year__gte=1800")
    assert page.texts.index("Sense") < page.texts.index("Emma")
    assert {"title", "year", "isbn", "created_time", "version"} <= set(page.texts)
    assert "year is at least 1800" in page.text
    assert [attributes["aria-sort"] for attributes in page.find("th") if "aria-sort" in attributes] == ["ascending"]
    assert "/book?year__gte=1800&sort=-year" in page.hrefs()
    empty = await page_of(http, "/book?year=1")
    assert "No books match." in empty.text


async def test_pages_of_a_list_follow_the_cursor(http: httpx.AsyncClient) -> None:
    """With the filters of the first page."""
    for number in range(5):
        await created(http, title=f"t{number}", year=number)
    path, titles = "/book?limit=2&sort=year&year__lt=9", list[str]()
    while True:
        page = await page_of(http, path)
        titles += [text for text in page.texts if text in {"t0", "t1", "t2", "t3", "t4"}]
        following = [attributes["href"] for attributes in page.find("a") if attributes.get("rel") == "next"]
        if not following:
            break
        (path,) = following
    assert titles == ["t0", "t1", "t2", "t3", "t4"]
    assert "5 in all" in (await page_of(http, "/book?count=exact")).text


async def test_submitted_form_is_redirected(http: httpx.AsyncClient) -> None:
    """To the address that a program would use."""
    form = "_form=1&q=&sort=year&_field=title&_operator=starts_with&_value=E"
    response = await http.get(f"/book?{form}", headers=BROWSER)
    assert (response.status_code, response.headers["location"]) == (303, "/book?sort=year&title__starts_with=E")
    plain = await http.get(f"/book?{form}")
    assert (plain.status_code, plain.json()["code"]) == (400, "invalid_parameter")


async def test_resource_page_has_data_history_and_past(http: httpx.AsyncClient) -> None:
    """On each backend."""
    first = await created(http, title="Emma", year=1815)
    path = first.headers["location"]
    await http.put(path, json={"title": "Emma Woodhouse", "year": 1816})
    await http.delete(path)
    await http.post(f"{path}/restore")
    page = await page_of(http, path)
    assert "Emma Woodhouse" in page.texts
    for address in (f"{path}/revisions/1", f"{path}/revisions/diff?from=1&to=2"):
        assert address in page.hrefs()
    assert {"create", "update", "delete", "restore"} <= set(page.texts)
    created_time = first.json()["meta"]["created_time"]
    assert f"{path}?at={created_time.replace(':', '%3A')}" in page.hrefs()
    past = await page_of(http, path, params={"at": created_time})
    assert "Emma" in past.texts
    assert "Emma Woodhouse" not in past.texts
    (slider,) = [attributes for attributes in past.find("input") if attributes["type"] == "range"]
    assert (slider["min"], slider["max"], slider["value"]) == ("1", "4", "1")
    assert "Revision 1." in (await page_of(http, f"{path}/revisions/1")).text
    assert "from 1" in (await page_of(http, f"{path}/revisions")).texts


async def test_time_slider_leads_to_the_time_of_the_commit(http: httpx.AsyncClient) -> None:
    """To the current state for the last commit, and to deleted states."""
    first = await created(http, title="Emma")
    path = first.headers["location"]
    await http.delete(path)
    await http.post(f"{path}/restore")
    for version, status in ((1, 200), (2, 200), (3, 200)):
        response = await http.get(f"{path}?_form=1&_version={version}", headers=BROWSER)
        assert response.status_code == 303
        location = response.headers["location"]
        assert ("at=" in location, "include_deleted=true" in location) == (version < 3, version == 2)
        await page_of(http, location, status)
    for text in ("0", "x", "9" * 30):
        assert "Revision not found" in (await page_of(http, f"{path}?_version={text}", 404)).text


async def test_diff_page_has_both_sides(http: httpx.AsyncClient) -> None:
    """The JSON patch stays the answer for programs."""
    path = (await created(http, title="Emma", year=1815)).headers["location"]
    await http.put(path, json={"title": "Persuasion", "year": 1815})
    page = await page_of(http, f"{path}/revisions/diff?from=1&to=2")
    assert page.texts.index("Emma") < page.texts.index("Persuasion")
    assert [tag for tag, _ in page.elements if tag in ("del", "ins")] == ["del", "ins"]
    assert "3 unchanged values" in page.text
    patch = await http.get(
        f"{path}/revisions/diff?from=1&to=2", headers={"Accept": "application/json-patch+json, text/html;q=0.5"}
    )
    assert patch.json() == [{"op": "replace", "path": "/title", "value": "Persuasion"}]
    form = await http.get(f"{path}/revisions/diff?_form=1&from=2&to=1", headers=BROWSER)
    assert form.headers["location"] == f"{path}/revisions/diff?from=2&to=1"


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/book/nothing", 404, "nothing"),
        ("/book?limit=0", 400, "limit"),
        ("/book?nothing=1", 400, "is neither a parameter"),
        ("/book?cursor=x", 400, "is not a cursor"),
        ("/book?title__nothing=1", 400, "has no operator"),
        ("/book/nothing/revisions/diff?from=1", 400, "must be given"),
    ],
)
async def test_problem_is_a_page_with_its_status(http: httpx.AsyncClient, path: str, status: int, text: str) -> None:
    """And with the text of the problem."""
    page = await page_of(http, path, status)
    problem = (await http.get(path)).json()
    assert problem["detail"] in page.text
    assert problem["code"] in page.texts
    assert text in page.text or text in problem["detail"]


async def test_deleted_resource_is_a_410_page(http: httpx.AsyncClient) -> None:
    """With a link to the deleted state."""
    path = (await created(http, title="Emma")).headers["location"]
    await http.delete(path)
    page = await page_of(http, path, 410)
    assert f"{path}?include_deleted=true" in page.hrefs()
    assert "This resource is deleted." in (await page_of(http, f"{path}?include_deleted=true")).text
    assert "deleted" in (await page_of(http, "/book?include_deleted=true")).texts


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "text/html, application/json", "text/*", "text/html;q=0"]
)
async def test_other_clients_get_json(http: httpx.AsyncClient, accept: str | None) -> None:
    """Byte for byte as without the data view."""
    path = (await created(http, title="Emma")).headers["location"]
    headers = {} if accept is None else {"Accept": accept}
    if accept is None:
        http.headers.pop("accept")
    for url in ("/book", path, f"{path}/revisions", f"{path}/revisions/1"):
        response = await http.get(url, headers=headers)
        assert response.headers["content-type"] == "application/json"
        assert response.headers["vary"] == "Accept"
    tag = (await http.get(path, headers=headers)).headers["etag"]
    unchanged = await http.get(path, headers={**headers, "If-None-Match": tag})
    assert (unchanged.status_code, unchanged.headers["vary"]) == (304, "Accept")


class Note(BaseModel):
    """A note with a text in each kind of place."""

    title: Annotated[str, Index(text=True)]
    tags: Annotated[list[str], Index()] = []
    extra: dict[str, Any] = {}


@pytest.fixture
async def notes() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of notes, on memory."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), current_user=lambda: EVIL)
    crud.add_model(Note)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        yield http


async def test_data_is_escaped_on_every_page(notes: httpx.AsyncClient) -> None:
    """In titles, values, names of members, authors, filters, search, and messages."""
    data = {"title": EVIL, "tags": [EVIL, "javascript:alert(3)"], "extra": {EVIL: EVIL, "url": "javascript:alert(4)"}}
    path = (await notes.post("/note", json=data)).headers["location"]
    await notes.put(path, json={**data, "title": f"{EVIL} 2"})
    urls = [
        ("/note", {}, 200),
        ("/note", {"title": EVIL, "q": "alert", "sort": "title"}, 200),
        ("/note", {"qb": f'QB["title"] == {EVIL!r}'}, 200),
        ("/note", {"sort": EVIL}, 400),
        ("/note", {EVIL: "1"}, 400),
        (path, {}, 200),
        (f"{path}/revisions", {}, 200),
        (f"{path}/revisions/1", {}, 200),
        (f"{path}/revisions/diff", {"from": "1", "to": "2"}, 200),
    ]
    for url, parameters, status in urls:
        page = await page_of(notes, url, status, params=parameters)
        assert [tag for tag, _ in page.elements if tag in ("img", "iframe", "object", "svg")] == []
        assert len(page.find("script")) == 1
        assert all(address.startswith("/note") or address == "#content" for address in page.hrefs())
        assert "49" not in page.texts


async def test_image_is_shown_and_other_blobs_are_links() -> None:
    """SVG and HTML never run."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Album)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        image = await uploaded(http, b"\x89PNG", "image/png")
        drawing = await uploaded(http, b"<svg onload='alert(1)'/>", "image/svg+xml")
        html = await uploaded(http, b"<script>alert(1)</script>", "text/html")
        path = await album(http, cover=image, pages=[drawing, html])
        page = await page_of(http, path)
        assert [attributes["src"] for attributes in page.find("img")] == [f"{path}/blobs/{image['file_id']}"]
        for blob in (drawing, html):
            (link,) = [item for item in page.find("a") if item["href"] == f"{path}/blobs/{blob['file_id']}"]
            assert "download" in link
            served = await http.get(link["href"], headers=BROWSER)
            assert served.headers["content-disposition"].startswith("attachment")


async def test_references_and_referrers_are_links() -> None:
    """Between the models of one registry."""
    app, _ = library(MemoryStorageFactory())
    async with serving(app) as http:
        reed, welles = await new(http, "person", name="Carol Reed"), await new(http, "person", name="Orson Welles")
        film = await new(http, "film", director=reed, cast=[welles, reed])
        page = await page_of(http, f"/film/{film}")
        assert {f"/person/{reed}", f"/person/{welles}"} <= set(page.hrefs())
        assert f"/film/{film}" in (await page_of(http, f"/person/{welles}")).hrefs()
        assert f"/film/{film}" in (await page_of(http, f"/person/{reed}/referrers?limit=1")).hrefs()
        listed = await page_of(http, "/film?director.name=Carol+Reed")
        assert f"/film/{film}" in listed.hrefs()


async def test_guards_apply_to_pages() -> None:
    """The page is an answer of the guarded route."""

    def sign_in(request: Request) -> None:
        if "token" not in request.query_params and request.headers.get("authorization") != "yes":
            raise HTTPException(401)

    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book, dependencies=[Depends(sign_in)])
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        for path in ("/book", "/book/x", "/book/x/revisions"):
            assert (await http.get(path, headers=BROWSER)).status_code == 401
        assert (await http.get("/book", headers={**BROWSER, "Authorization": "yes"})).status_code == 200


async def test_page_shows_only_served_families() -> None:
    """A model without routes of revisions shows no history."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book, routes=["create", "read", "replace", "list"])
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        path = (await created(http, title="Emma")).headers["location"]
        await http.put(path, json={"title": "Persuasion"})
        page = await page_of(http, path)
        assert not {"Revisions", "Commits"} & set(page.texts)
        assert not [address for address in page.hrefs() if "revisions" in address or "at=" in address]


async def test_data_view_can_be_switched_off() -> None:
    """Browsers get JSON then."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), data_view=False)
    crud.add_model(Book)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        response = await http.get("/book", headers=BROWSER)
        assert response.json() == {"items": [], "next_cursor": None}


async def test_pages_under_a_root_path_and_a_prefix() -> None:
    """All addresses begin with both."""
    app = FastAPI()
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book)
    crud.apply(app, prefix="/v1")
    transport = httpx.ASGITransport(app, root_path="/api")
    async with crud.running(), httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        response = await http.post("/v1/book", json={"title": "Emma"})
        path = response.headers["location"].removeprefix("/api")
        for url in ("/v1/book", path, f"{path}/revisions"):
            page = await page_of(http, url)
            addresses = [address for address in page.hrefs() if address != "#content"]
            assert addresses
            assert all(address.startswith("/api/v1/book") for address in addresses)
            assert all(form["action"].startswith("/api/v1/book") for form in page.find("form"))
        redirect = await http.get("/v1/book?_form=1&limit=50", headers=BROWSER)
        assert redirect.headers["location"] == "/api/v1/book?limit=50"


async def test_head_of_a_page_has_no_body(http: httpx.AsyncClient) -> None:
    """With the headers of GET."""
    response = await http.head("/book", headers=BROWSER)
    assert (response.headers["content-type"], response.content) == ("text/html; charset=utf-8", b"")


async def test_pages_link_only_to_served_lists() -> None:
    """A model without a list has no page of a list."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory())
    crud.add_model(Book, routes=["create", "read"])
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        path = (await created(http)).headers["location"]
        for url, status in ((path, 200), ("/book/nothing", 404)):
            assert "/book" not in (await page_of(http, url, status)).hrefs()
