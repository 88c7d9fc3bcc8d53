"""Bounds of pages: a page ends at a size, also with expanded references, and its cursor leads on."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Ref
from autocrud.storage.memory import MemoryStorageFactory
from tests.http.conftest import serving

_LIMIT = 100_000  # bytes of a page
_SIZE = 30_000  # of a long text
_MAX_ANSWER = _LIMIT + 3 * _SIZE


class Owner(BaseModel):
    """An owner with a long text."""

    text: str


class Item(BaseModel):
    """An item that refers to owners."""

    owner: Annotated[str | None, Ref("owner")] = None
    others: Annotated[list[str], Ref("owner")] = []
    text: str = ""


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a service with short pages."""
    crud = AutoCRUD(storage_factory=MemoryStorageFactory(), max_page_bytes=_LIMIT)
    crud.add_model(Owner)
    crud.add_model(Item)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as client:
        yield client


async def _create(http: httpx.AsyncClient, model: str, **data: Any) -> str:
    resource_id: str = (await http.post(f"/{model}", json=data)).json()["meta"]["resource_id"]
    return resource_id


async def _read_all(http: httpx.AsyncClient, url: str) -> list[Any]:
    """Return the items of all pages, each of which has a bounded size."""
    items: list[Any] = []
    next_url: str | None = url
    while next_url is not None:
        response = await http.get(next_url)
        assert response.status_code == 200, response.text
        assert len(response.content) < _MAX_ANSWER
        assert response.json()["items"]
        items += response.json()["items"]
        next_url = response.links.get("next", {}).get("url")
    return items


async def test_page_with_expanded_references_ends_at_its_size(http: httpx.AsyncClient) -> None:
    """One long target in each of fifty items makes several pages, which have each item once."""
    owner = await _create(http, "owner", text="x" * _SIZE)
    created = [await _create(http, "item", owner=owner) for _ in range(50)]
    items = await _read_all(http, "/item?limit=1000&expand=owner")
    assert [item["meta"]["resource_id"] for item in items] == created[::-1]
    assert all(len(item["expanded"]["owner"]["data"]["text"]) == _SIZE for item in items)
    sorted_items = await _read_all(http, "/item?limit=1000&expand=owner&sort=created_time")
    assert [item["meta"]["resource_id"] for item in sorted_items] == created


async def test_list_of_references_over_the_size_of_a_page_is_refused(http: httpx.AsyncClient) -> None:
    """The targets of one resource are refused before all of them are read. They can be read by their ids."""
    owners = [await _create(http, "owner", text="x" * _SIZE) for _ in range(10)]
    item = await _create(http, "item", others=owners)
    for url in (f"/item/{item}?expand=others", "/item?expand=others"):
        response = await http.get(url)
        assert response.status_code == 400
        assert "over the limit" in response.json()["detail"]
    assert (await http.get(f"/item/{item}")).status_code == 200


@pytest.mark.parametrize("url", ["/item?limit=1000", "/owner/{owner}/referrers?limit=1000"])
async def test_page_of_long_resources_ends_at_its_size(http: httpx.AsyncClient, url: str) -> None:
    """Lists and referrers have short pages of long data."""
    owner = await _create(http, "owner", text="")
    created = [await _create(http, "item", text="x" * _SIZE, owner=owner) for _ in range(20)]
    items = await _read_all(http, url.format(owner=owner))
    assert len(items) == len(created)


async def test_page_of_long_revisions_ends_at_its_size(http: httpx.AsyncClient) -> None:
    """A page of revisions with their data ends at the size, also along the chain."""
    item = await _create(http, "item", text="x" * _SIZE)
    for number in range(20):
        await http.put(f"/item/{item}", json={"text": f"{number}" + "x" * _SIZE})
    for end in ("", "&chain_only=true"):
        items = await _read_all(http, f"/item/{item}/revisions?limit=1000&returns=revision_info,data{end}")
        assert [int(part["revision_info"]["revision_id"].rpartition(":")[2]) for part in items] == [*range(21, 0, -1)]
    assert len((await http.get(f"/item/{item}/revisions?limit=1000")).json()["items"]) == 21
