"""Bounds of access on the machine: files of a store are for its user only."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from autocrud import AutoCRUD, Binary
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.metadata.sqlite.connection import SqliteConnection
from autocrud.storage.ports.storage import IStorageFactory
from tests.http.conftest import serving
from tests.storage.backends import s3_factory


class Picture(BaseModel):
    """A picture."""

    file: Binary


async def _use(factory: IStorageFactory, folder: Path) -> None:
    """Store a blob, a part of an upload, and a resource, and check the files while the store is open."""
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(Picture)
    app = FastAPI()
    crud.apply(app)
    async with serving(app) as http:
        blob = await http.post("/picture/blobs", content=b"x" * 100_000)
        assert (await http.post("/picture", json={"file": blob.json()})).status_code == 201
        upload = await http.post("/picture/blobs/uploads", json={"size": 10})
        part = await http.put(f"/picture/blobs/uploads/{upload.json()['upload_id']}/parts/1", content=b"0123456789")
        assert part.status_code < 300, part.text
        _check_modes(folder)


def _check_modes(folder: Path) -> None:
    paths = [folder, *folder.rglob("*")]
    assert len(paths) > 4
    wrong = {str(path): oct(path.stat().st_mode) for path in paths if path.stat().st_mode & 0o077}
    assert not wrong


@pytest.mark.parametrize("backend", ["disk", "s3"])
async def test_files_of_a_store_are_private(backend: str, tmp_path: Path) -> None:
    """Files are 0600 and folders 0700 on disk, and in the cache of a node on S3, whatever the umask is."""
    folder = tmp_path / "parent" / ("data" if backend == "disk" else "cache")
    umask = os.umask(0)
    try:
        factory = DiskStorageFactory(folder) if backend == "disk" else s3_factory(tmp_path, cache_dir=folder)
        await _use(factory, folder.parent)
    finally:
        os.umask(umask)
    _check_modes(folder.parent)
    assert {path.name for path in folder.rglob("*")} >= ({"metadata.sqlite", "log"} if backend == "disk" else {"lock"})


async def test_second_connection_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    """The file is private from its creation, and another connection of the process does not open and close it."""
    path = tmp_path / "metadata.sqlite"
    first, second = SqliteConnection(), SqliteConnection()
    await first.open(path)
    await first.run(lambda db: db.execute("CREATE TABLE t (x)"))
    await second.open(path)
    # Another process that is the last to close would delete the log, if it found no lock of this process.
    script = f"import sqlite3; db = sqlite3.connect({str(path)!r}); db.execute('SELECT * FROM t').fetchall()"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", f"{script}; db.close()")
    assert await process.wait() == 0
    assert path.with_name("metadata.sqlite-wal").exists()
    for connection in (first, second):
        await connection.close()
