"""Bounds of storage: a blob that nothing refers to is erased after the lifetime of an upload."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Binary, Index, Unique
from autocrud.storage.ports.storage import IStorageFactory
from tests.http.conftest import serving
from tests.storage.backends import BACKENDS, ordered_map_factory


class Picture(BaseModel):
    """A picture with index fields, a unique field, and states of the past."""

    file: Binary | None = None
    title: Annotated[str, Unique()] = ""
    width: Annotated[int, Index()] = 0


def _registry(factory: IStorageFactory) -> tuple[AutoCRUD, FastAPI]:
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(Picture, temporal=True)
    app = FastAPI()
    crud.apply(app)
    return crud, app


async def _is_known(http: httpx.AsyncClient, file_id: str, title: str) -> bool:
    """Return True if a resource can refer to a blob."""
    created = await http.post("/picture", json={"file": {"file_id": file_id}, "title": title})
    return created.status_code == 201


async def _blob_keys(crud: AutoCRUD) -> list[str]:
    storage = crud.manager(Picture).node.storage
    objects = storage.store.engine.objects  # type: ignore[union-attr]  # each factory here has a store
    return [key async for key in objects.keys("blobs/")] + [key async for key in objects.keys("arrivals/")]


@pytest.mark.parametrize("backend", [*BACKENDS, "ordered map"])
async def test_blob_without_a_reference_is_erased_after_its_lifetime(backend: str, tmp_path: Path) -> None:
    """Unused uploads and blobs of refused creates are erased. Blobs in use stay, also after a restart."""
    make = ordered_map_factory if backend == "ordered map" else BACKENDS[backend]
    factory = make(tmp_path)
    crud, app = _registry(factory)
    async with serving(app) as http:
        used, unused = [(await http.post("/picture/blobs", content=text)).json() for text in (b"used", b"unused")]
        created = await http.post("/picture", json={"file": used, "title": "a"})
        assert created.status_code == 201, created.text
        refused = await http.post("/picture", json={"file": {"data": "cmVmdXNlZA=="}, "title": "a"})
        assert refused.status_code == 409
        # As maintenance does a day later.
        await crud.manager(Picture).node.storage.blobs.drop_unused(timedelta(seconds=-1))
        keys = await _blob_keys(crud)
        assert len([key for key in keys if key.startswith("blobs/")]) == 2, keys  # the bytes in use and their types
        assert not [key for key in keys if key.startswith("arrivals/")]
        assert not await _is_known(http, unused["file_id"], "b")
        assert await _is_known(http, used["file_id"], "c")
        page = (await http.get("/picture?include_deleted=true&count=exact")).json()
        assert (page["total"], len(page["items"])) == (2, 2)
        again = (await http.post("/picture/blobs", content=b"unused")).json()
        assert await _is_known(http, again["file_id"], "d")
    if backend in ("disk", "s3", "postgres"):
        _, app = _registry(make(tmp_path))
        async with serving(app) as http:
            items = (await http.get("/picture?include_deleted=true")).json()["items"]
            assert sorted(item["data"]["title"] for item in items) == ["a", "c", "d"]
            for item in items:
                url = f"/picture/{item['meta']['resource_id']}/blobs/{item['data']['file']['file_id']}"
                assert (await http.get(url)).status_code == 200


async def test_recent_upload_stays(tmp_path: Path) -> None:
    """A blob whose last upload is recent is not erased, however old its first upload is."""
    crud, app = _registry(BACKENDS["memory"](tmp_path))
    async with serving(app) as http:
        blob = (await http.post("/picture/blobs", content=b"x")).json()
        await crud.manager(Picture).run_maintenance()
        assert await _is_known(http, blob["file_id"], "a")
