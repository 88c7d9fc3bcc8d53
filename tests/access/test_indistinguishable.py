"""Two stores that differ only in rows and fields hidden from a principal answer all of his requests alike."""

import random
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel

from autocrud import QB, AutoCRUD, Index, OnDelete, Ref, Unique
from autocrud.access import Access, Principal, authenticated, role, where
from autocrud.storage.ports import IStorageFactory
from tests.http.conftest import serving
from tests.storage.backends import BACKENDS

VISIBLE = [f"v{number}" for number in range(6)]
HIDDEN = [f"h{number}" for number in range(5)]
MISSING = ["nobody", "h9"]
REQUESTS = {"memory": 400, "disk": 150, "s3": 40, "postgres": 80}


class Paper(BaseModel):
    """A paper that only its group may read."""

    title: Annotated[str, Index()] = ""
    group: Annotated[str, Index()] = "public"
    code: Annotated[str | None, Unique()] = None
    rank: Annotated[int, Index()] = 0
    tags: Annotated[list[str], Index()] = []
    cites: Annotated[list[str], Ref("paper", on_delete=OnDelete.set_null)] = []
    secret: Annotated[str | None, Index()] = None
    body: str = ""


class Review(BaseModel):
    """A review of a paper."""

    paper: Annotated[str | None, Ref("paper", on_delete=OnDelete.set_null)] = None
    stars: Annotated[int, Index()] = 1


READABLE = role("editor") | where(lambda user: QB["group"].eq("public") | QB["created_by"].eq(user.id))


async def authenticate(request: Request) -> Principal | None:
    """Return the principal that the test names."""
    name = request.headers.get("x-user")
    return None if name is None else Principal(name, {"editor"} if name == "ed" else set())


@asynccontextmanager
async def store(factory: IStorageFactory, *, has_hidden: bool) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a store with the visible rows, and with hidden rows and values if `has_hidden`."""
    crud = AutoCRUD(storage_factory=factory, authenticator=authenticate)
    readable = Access(read=READABLE, fields={"secret": role("editor")}, default=authenticated())
    crud.add_model(Paper, temporal=True, access=readable)
    crud.add_model(Review, access=Access(read=role("editor") | where(QB["stars"].lt(9)), default=authenticated()))
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        papers, reviews = crud.manager(Paper), crud.manager(Review)
        for number, name in enumerate(VISIBLE):
            secret = f"s{number}" if has_hidden else None
            paper = {"title": f"t{number % 3}", "code": name, "rank": number, "tags": ["a", name], "secret": secret}
            await papers.create(paper, resource_id=name, by="ann" if number % 2 else "zoe")
            await papers.patch(name, {"body": "second", "secret": f"x{number}" if has_hidden else None}, by="zoe")
        if has_hidden:
            for number, name in enumerate(HIDDEN):
                paper = {"title": "t1", "group": "private", "code": name, "rank": number, "cites": VISIBLE[:2]}
                await papers.create(paper, resource_id=name, by="zoe")
                await reviews.create({"paper": VISIBLE[number], "stars": 9}, resource_id=name, by="zoe")
            await papers.delete(HIDDEN[-1])
        for number, name in enumerate(VISIBLE):
            await reviews.create({"paper": name, "stars": number}, resource_id=name, by="ann")
        yield http


def any_request(chance: random.Random) -> tuple[str, str, dict[str, Any]]:
    """Return a request that names visible, hidden and missing resources, in any way."""
    name, model = chance.choice(VISIBLE + HIDDEN + MISSING), chance.choice(["paper", "paper", "review"])
    here = f"/{model}/{name}"
    field = chance.choice(["title", "group", "code", "rank", "tags", "cites", "secret", "created_by", "version"])
    operator = chance.choice(["", "__ne", "__gt", "__in", "__is_null", "__contains", "__starts_with", "__regex"])
    value = chance.choice(["t1", "private", "h1", "2", "a", "v1", "s1", "zoe", "true", "ann"])
    search = f"{field}{operator}={value}"
    data = {"title": chance.choice("abc"), "rank": chance.randrange(9), "cites": [chance.choice(VISIBLE + HIDDEN)]}
    tag = {"if-match": chance.choice(['"1-1"', "*"])} if chance.random() < 0.2 else {}
    merge = {"content-type": "application/merge-patch+json"}
    steps = {"content-type": "application/json-patch+json"}
    operations: list[dict[str, Any]] = [
        {"op": chance.choice(["update", "patch", "delete", "restore"]), "id": name}
        for name in chance.sample(VISIBLE + HIDDEN + MISSING, 3)
    ]
    for operation in operations:
        operation |= {"data": data} if operation["op"] == "update" else {}
        operation |= {"merge": {"title": "m"}} if operation["op"] == "patch" else {}
    path, source = chance.choice(["/secret", "/title", "/body"]), chance.choice(["/secret", "/title"])
    requests: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", here, {}),
        ("GET", f"{here}?raw=true", {}),
        ("GET", f"{here}?include_deleted=true&expand=cites", {}),
        ("GET", f"{here}?revision_id=1", {}),
        ("GET", f"{here}?at=2999-01-01T00:00:00Z", {}),
        ("GET", here, {"headers": {"accept": "text/html"}}),
        ("GET", here, {"headers": {"if-none-match": "*"}}),
        ("HEAD", here, {}),
        ("GET", f"{here}/revisions?data=true", {}),
        ("GET", f"{here}/revisions/diff?from=1&to=2", {}),
        ("GET", f"{here}/referrers", {}),
        ("GET", f"{here}/blobs/{'0' * 64}", {}),
        ("GET", f"/{model}?{search}&sort={chance.choice(['-rank', 'title', 'secret', 'stars'])}", {}),
        ("GET", f"/{model}?limit=3&include_deleted=true", {}),
        ("GET", f"/{model}?{search}&fields=data.title,data.secret", {}),
        ("GET", f"/{model}?unreadable=true", {}),
        ("GET", f"/paper?{search}&at=2999-01-01T00:00:00Z", {}),
        ("GET", f"/review?paper.{search}&expand=paper", {}),
        ("GET", f"/{model}", {"headers": {"accept": chance.choice(["text/csv", "text/html"])}}),
        ("GET", f"/{model}/count?{search}", {}),
        ("GET", f"/{model}/aggregate?group_by={field}&metrics=count,max:{chance.choice(['rank', 'secret'])}", {}),
        ("GET", f"/{model}/export?{search}", {}),
        ("GET", f"/{model}/export?history=true", {}),
        ("PUT", here, {"json": data, "headers": tag}),
        ("PUT", here, {"json": data | {"secret": "mine"}}),
        ("PATCH", here, {"content": f'{{"title": "p", "{path[1:]}": "5"}}', "headers": merge}),
        ("PATCH", here, {"json": [{"op": "copy", "from": source, "path": path}], "headers": steps}),
        ("PATCH", here, {"json": [{"op": "test", "path": "/secret", "value": "x1"}], "headers": steps}),
        ("PATCH", f"/{model}?{search}&dry_run=true", {"content": '{"title": "q"}', "headers": merge}),
        ("PATCH", f"/{model}?{search}", {"content": '{"title": "q"}', "headers": merge}),
        ("DELETE", here, {"headers": tag}),
        ("DELETE", f"/{model}?{search}&dry_run=true", {}),
        ("POST", f"{here}/restore", {}),
        ("POST", f"{here}/switch/1", {}),
        ("POST", f"/{model}/bulk", {"json": {"operations": operations}}),
        ("POST", f"/{model}/bulk?atomic=true", {"json": {"operations": operations}}),
        ("POST", "/transaction", {"json": {"operations": [item | {"model": model} for item in operations]}}),
        ("POST", "/review", {"json": {"paper": name}, "headers": {"idempotency-key": "k"}}),
        ("GET", "/", {"headers": {"accept": "text/html"}}),
    ]
    return chance.choice(requests)


_TIME = re.compile(rb"\d{4}-\d\d-\d\d[T ]([\d:.]|%3A)+(Z|\+00:00)?|\d{20}(\+[0-9a-f]+)?|\d{2}:\d{2}:\d{2}")
_UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_CURSOR = re.compile(rb'(cursor"?[=:] ?"?)[-_A-Za-z0-9%]{8,}')


def summary(response: httpx.Response) -> tuple[int, list[tuple[str, bytes]], bytes]:
    """Return status, headers and body, without times, generated ids and cursors, which hold times."""
    headers = [(name, plain(value)) for name, value in response.headers.raw if name != b"x-request-id"]
    kept = [(name.decode(), value) for name, value in headers if name not in (b"content-length", b"date")]
    return response.status_code, kept, plain(response.content)


def plain(text: bytes) -> bytes:
    """Return a text without what two stores of equal content need not share."""
    return _CURSOR.sub(rb"\1C", _UUID.sub(b"U", _TIME.sub(b"T", text)))


@pytest.mark.parametrize("backend", BACKENDS)
async def test_hidden_rows_and_fields_change_no_answer(backend: str, tmp_path: Path) -> None:
    """Neither status nor headers nor body, whatever the principal asks for or writes."""
    chance = random.Random(11)
    folders = [tmp_path / f"{tmp_path.name}_{name}" for name in ("plain", "full")]
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(store(BACKENDS[backend](folder), has_hidden=folder is folders[1]))
            for folder in folders
        ]
        statuses: set[int] = set()
        for number in range(REQUESTS[backend]):
            method, url, options = any_request(chance)
            options["headers"] = {"x-user": "ann"} | options.get("headers", {})
            first, second = [await http.request(method, url, **options) for http in clients]
            assert summary(first) == summary(second), (number, method, url, options)
            statuses.add(first.status_code)
            assert first.status_code < 500, (number, method, url, options, first.text)
        assert {200, 404, 403} <= statuses
