"""Builds the golden stores: `python -m tests.golden.build`. See README.md in this folder before you run it."""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.ports.storage import IStorageFactory
from tests.golden.copies import BACKENDS, STORES, bucket, copy_store
from tests.golden.models import registry
from tests.golden.observation import observe
from tests.storage.backends import postgres_factory, s3_factory, storage_on
from tests.storage.full_scenario import write_everything

LOCAL_ONLY = ("*.lock", "lock", "*.sqlite-shm", "*.sqlite-wal", ".tmp")


async def write_store(factory: IStorageFactory) -> None:
    """Write the content of a golden store."""
    async with storage_on(factory) as storage:
        await write_everything(storage)
    crud = registry(factory, version=1, has_diary=True)
    async with crud.running():
        authors, books, diaries = map(crud.manager, ("author", "book", "diary"))
        for name in ("austen", "eliot", "shelley"):
            await authors.create({"name": name, "born": "1775-12-16"}, resource_id=name, by="ada")
        await authors.delete("eliot", by="bob")
        await authors.purge("shelley")
        await books.create({"title": "Emma", "writer": "austen"}, resource_id="emma")
        await books.patch("emma", {"title": "Emma, a novel"})
        async with crud.transaction(by="ada") as tx:
            await tx.create("book", {"title": "Persuasion", "writer": "austen"}, resource_id="persuasion")
            await tx.patch("author", "austen", {"born": "1775-12-17"})
        await diaries.create({"text": "a day"}, resource_id="day")


async def build_disk(target: Path, scratch: Path) -> None:
    """Build the store on disk, with its SQLite file."""
    factory = DiskStorageFactory(scratch / "data")
    await write_store(factory)
    shutil.copytree(scratch / "data", target, ignore=shutil.ignore_patterns(*LOCAL_ONLY))


async def build_bucket(target: Path, scratch: Path, backend: str) -> None:
    """Build a store whose log is in a bucket."""
    folder = scratch / f"{scratch.name}-{backend}"
    folder.mkdir()
    options = {"snapshot_every": 10} if backend == "s3" else {}
    factory = s3_factory(folder, **options) if backend == "s3" else postgres_factory(folder, acknowledge="moved")
    await write_store(factory)
    objects = bucket(folder.name)
    await objects.open()
    try:
        async for key in objects.keys(""):
            file = target / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(await objects.get(key))
    finally:
        await objects.close()


async def main() -> None:
    """Build all stores anew, and write down what each answers."""
    shutil.rmtree(STORES, ignore_errors=True)
    for backend in BACKENDS:
        with tempfile.TemporaryDirectory(prefix="golden") as scratch:
            folder, target = Path(scratch), STORES / backend
            await (build_disk(target, folder) if backend == "disk" else build_bucket(target, folder, backend))
            copy = folder / f"copy-{backend}"
            copy.mkdir()
            found = await observe(await copy_store(backend, copy))
            (STORES / f"{backend}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
