"""Shaping of answers: fields, Prefer, HEAD and OPTIONS."""

from typing import Any

import httpx
from pydantic import BaseModel

from tests.http.conftest import Serve, created

MINIMAL = {"Prefer": "return=minimal"}


class Actor(BaseModel):
    """An actor."""

    name: str
    roles: list[str] = []


class Film(BaseModel):
    """A film."""

    title: str
    cast: list[Actor] = []
    studio: Actor | None = None
    notes: dict[str, Any] = {}


FILM = {
    "title": "Emma",
    "cast": [{"name": "A", "roles": ["x", "y"]}, {"name": "B", "roles": []}],
    "studio": {"name": "S", "roles": ["z"]},
    "notes": {"a": {"b": 1, "c": 2}},
}


async def test_fields_select_paths_of_the_data(serve: Serve) -> None:
    """Through objects and lists, in every answer with data."""
    async with serve(Film) as http:
        location = (await http.post("/film", json=FILM)).headers["location"]
        for fields, expected in (
            ("title", {"title": "Emma"}),
            ("title,studio.name", {"title": "Emma", "studio": {"name": "S"}}),
            ("cast.name", {"cast": [{"name": "A"}, {"name": "B"}]}),
            ("cast.0", {"cast": [FILM["cast"][0]]}),  # type: ignore[index]
            ("cast.1.name,cast.0.roles.1", {"cast": [{"roles": ["y"]}, {"name": "B"}]}),
            ("studio,studio.name", {"studio": FILM["studio"]}),
            ("studio.name,studio", {"studio": FILM["studio"]}),
            ("notes.a.b", {"notes": {"a": {"b": 1}}}),
            ("notes.none", {"notes": {}}),
        ):
            read = await http.get(location, params={"fields": fields, "returns": "data"})
            assert read.json() == {"data": expected}, fields
        assert (await http.get("/film?fields=title")).json()["items"][0]["data"] == {"title": "Emma"}
        put = await http.put(f"{location}?fields=title", json=FILM | {"title": "New"})
        assert put.json()["data"] == {"title": "New"}
        old = await http.get(f"{location}?fields=title&revision_id=1")
        assert old.json()["data"] == {"title": "Emma"}
        for odd in ("", "nothing", "title.x", "cast..name", ",", "studio.nothing"):
            refused = await http.get(location, params={"fields": odd})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "fields"), odd


async def test_prefer_minimal_returns_no_body(http: httpx.AsyncClient) -> None:
    """204, or 201 for a create (RFC 7240)."""
    new = await http.post("/book", json={"title": "Emma"}, headers=MINIMAL)
    assert (new.status_code, new.json()) == (201, {})
    location = new.headers["location"]
    merge = {"Content-Type": "application/merge-patch+json"}
    for response in (
        await http.put(location, json={"title": "x"}, headers=MINIMAL),
        await http.patch(location, json={"title": "y"}, headers=MINIMAL | merge),
        await http.post(f"{location}/switch/1", headers={"Prefer": 'respond-async, RETURN="minimal"; x=1'}),
        await http.post(f"{location}/restore", headers=MINIMAL),
    ):
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["preference-applied"] == "return=minimal"
        assert response.headers["etag"]
    whole = await http.put(location, json={"title": "z"}, headers={"Prefer": "return=representation"})
    assert whole.json()["data"]["title"] == "z"


async def test_head_equals_get_without_the_body(http: httpx.AsyncClient) -> None:
    """For existing and missing resources."""
    location = (await created(http)).headers["location"]
    paths = ("", "/revisions", "/revisions/1", "/revisions/diff?from=1&to=1", "?revision_id=1")
    for url in ("/book", "/book/count", *(location + path for path in paths), *("/book/none" + path for path in paths)):
        get, head = await http.get(url), await http.head(url)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers == get.headers


async def test_options_returns_allowed_methods(http: httpx.AsyncClient) -> None:
    """Of the path, whether or not the resource exists."""
    for path, allowed in (
        ("/book", "DELETE, GET, HEAD, OPTIONS, PATCH, POST"),
        ("/book/count", "GET, HEAD, OPTIONS"),
        ("/book/x", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/book/x/revisions", "GET, HEAD, OPTIONS"),
        ("/book/x/switch/1", "OPTIONS, POST"),
        ("/book/x/permanently", "DELETE, OPTIONS"),
    ):
        response = await http.options(path)
        assert (response.status_code, response.headers["allow"]) == (204, allowed), path
        assert ("accept-patch" in response.headers) == ("PATCH" in allowed)
