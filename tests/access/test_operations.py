"""Every operation with each right: a new operation must be in the table, or this test fails."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel

from autocrud import AutoCRUD, Binary, Index, Ref
from autocrud.access import Access, Principal, Right, role
from autocrud.routes import FAMILIES
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving

MERGE: dict[str, Any] = {"content-type": "application/merge-patch+json"}
BULK: dict[str, Any] = {"json": {"operations": [{"op": "create", "data": {"title": "new"}}]}}
PART: dict[str, Any] = {"content": b"abc", "headers": {"content-type": "application/octet-stream"}}
UPLOAD: dict[str, Any] = {"json": {"size": 3, "content_type": "text/plain"}}
LINE: dict[str, Any] = {
    "content": b'{"data": {"title": "line"}}\n',
    "headers": {"content-type": "application/x-ndjson"},
}
# Each route family: the rights that it needs, and a request.
OPERATIONS: dict[str, tuple[set[str], str, str, dict[str, Any]]] = {
    "create": ({"create"}, "POST", "/paper", {"json": {"title": "new"}}),
    "bulk": ({"create"}, "POST", "/paper/bulk", BULK),
    "list": ({"read", "list"}, "GET", "/paper", {}),
    "count": ({"read", "list"}, "GET", "/paper/count", {}),
    "aggregate": ({"read", "list"}, "GET", "/paper/aggregate?group_by=title", {}),
    "read": ({"read"}, "GET", "/paper/a", {}),
    "replace": ({"read", "update"}, "PUT", "/paper/a", {"json": {"title": "put"}}),
    "patch": ({"read", "update"}, "PATCH", "/paper/a", {"content": '{"title": "p"}', "headers": MERGE}),
    "revisions": ({"read", "history"}, "GET", "/paper/a/revisions", {}),
    "revision": ({"read", "history"}, "GET", "/paper/a/revisions/1", {}),
    "diff": ({"read", "history"}, "GET", "/paper/a/revisions/diff?from=1&to=2", {}),
    "switch": ({"read", "switch"}, "POST", "/paper/a/switch/1", {}),
    "delete": ({"read", "delete"}, "DELETE", "/paper/a", {}),
    "restore": ({"read", "restore"}, "POST", "/paper/gone/restore", {}),
    "purge": ({"read", "purge"}, "DELETE", "/paper/a/permanently", {}),
    "delete_many": ({"read", "list", "delete"}, "DELETE", "/paper?title=none", {}),
    "restore_many": ({"read", "list", "restore"}, "POST", "/paper/restore?title=none", {}),
    "patch_many": ({"read", "list", "update"}, "PATCH", "/paper?title=none", {"content": "{}", "headers": MERGE}),
    "upload_blob": ({"blobs"}, "POST", "/paper/blobs", {"content": b"abc", "headers": {"content-type": "text/plain"}}),
    "read_blob": ({"read", "blobs"}, "GET", "/paper/a/blobs/{file_id}", {}),
    "begin_upload": ({"blobs"}, "POST", "/paper/blobs/uploads", UPLOAD),
    "read_upload": ({"blobs"}, "GET", "/paper/blobs/uploads/{upload}", {}),
    "upload_part": ({"blobs"}, "PUT", "/paper/blobs/uploads/{upload}/parts/1", PART),
    "finish_upload": ({"blobs"}, "POST", "/paper/blobs/uploads/{upload}/finish", {}),
    "abort_upload": ({"blobs"}, "DELETE", "/paper/blobs/uploads/{upload}", {}),
    "export": ({"read", "export"}, "GET", "/paper/export", {}),
    "import": ({"read", "import"}, "POST", "/paper/import", LINE),
    "referrers": ({"read"}, "GET", "/paper/a/referrers", {}),
}


class Paper(BaseModel):
    """A paper."""

    title: Annotated[str, Index()] = ""
    file: Binary | None = None
    cites: Annotated[list[str], Ref("paper")] = []


async def authenticate(request: Request) -> Principal | None:
    """Return a principal with the roles that a header names."""
    roles = request.headers.get("x-roles")
    return None if roles is None else Principal("ann", set(roles.split(",")))


@pytest.fixture
async def places() -> AsyncIterator[tuple[httpx.AsyncClient, dict[str, str]]]:
    """Yield a client of a service whose rights are roles, and the ids of a blob and of an upload."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), authenticator=authenticate)
    rules: dict[str, Any] = {right.name: role(right.value) for right in Right}
    crud.add_model(Paper, access=Access(**rules))
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        papers = crud.manager(Paper)
        file = {"data": "YWJj", "content_type": "text/plain"}
        paper = await papers.create({"title": "a", "file": file}, resource_id="a")
        await papers.replace("a", {"title": "b", "file": paper.data.file})
        await papers.create({}, resource_id="gone")
        await papers.delete("gone")
        everything = {"x-roles": ",".join(right.value for right in Right)}
        upload = (await http.post("/paper/blobs/uploads", headers=everything, **UPLOAD)).json()
        part = PART | {"headers": PART["headers"] | everything}
        await http.put(f"/paper/blobs/uploads/{upload['upload_id']}/parts/1", **part)
        assert paper.data.file is not None
        yield http, {"file_id": paper.data.file.file_id or "", "upload": upload["upload_id"]}


def status_of(response: httpx.Response) -> int:
    """Return the status of a request, or that of the first result of a bulk write."""
    is_bulk = response.status_code == 200 and response.request.url.path.endswith("/bulk")
    return int(response.json()["items"][0]["status"]) if is_bulk else response.status_code


def test_table_has_every_operation() -> None:
    assert OPERATIONS.keys() == FAMILIES


@pytest.mark.parametrize("family", OPERATIONS)
async def test_operation_needs_its_rights(family: str, places: tuple[httpx.AsyncClient, dict[str, str]]) -> None:
    """401 without credentials. 403 without one of the rights, whatever others there are. Success with these alone."""
    http, ids = places
    rights, method, path, options = OPERATIONS[family]
    headers = options.get("headers", {})

    async def send(*roles: str, **extra: str) -> int:
        own = {"x-roles": ",".join(roles)} if roles else {}
        url = path.format_map(ids)
        return status_of(await http.request(method, url, **options | {"headers": headers | own | extra}))

    assert await send() == 401
    everything = {right.value for right in Right}
    for right in rights:
        # Whoever may not read a resource is not told that it exists.
        expected = {403, 404} if right == "read" and "{" not in path and "/paper/" in path else {403}
        assert await send(*(everything - {right}), "none") in expected, right
    assert await send(*rights) < 300
