"""Copies of the golden stores, on which a process can start."""

import shutil
from pathlib import Path

from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.objects.s3.location import S3Location
from autocrud.storage.objects.s3.store import S3ObjectStore
from autocrud.storage.ports.storage import IStorageFactory
from tests.storage.backends import postgres_factory, s3_factory, s3_options

STORES = Path(__file__).parent / "stores"
BACKENDS = ("disk", "s3", "postgres")


def bucket(prefix: str) -> S3ObjectStore:
    """Return the objects under a prefix of the test bucket, not yet open."""
    return S3ObjectStore(S3Location(**s3_options(), prefix=prefix))


async def copy_store(backend: str, folder: Path) -> IStorageFactory:
    """Return a factory on a copy of a golden store.

    Args:
        folder: an empty folder, whose name names the prefix and the schema.
    """
    if backend == "disk":
        shutil.copytree(STORES / backend, folder, dirs_exist_ok=True)
        return DiskStorageFactory(folder)
    objects = bucket(folder.name)
    await objects.open()
    try:
        for file in files_of(backend):
            await objects.put(str(file.relative_to(STORES / backend)), file.read_bytes())
    finally:
        await objects.close()
    return s3_factory(folder) if backend == "s3" else postgres_factory(folder)


def files_of(backend: str) -> list[Path]:
    """Return the files of a golden store."""
    return sorted(path for path in (STORES / backend).rglob("*") if path.is_file())
