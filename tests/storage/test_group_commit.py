"""Atomic groups in the log: an entry holds all of a group, or nothing."""

from pathlib import Path

from autocrud.errors import Aborted
from autocrud.storage.disk import DiskStorageFactory
from autocrud.testing.sample_writes import create_write, sample, update_write
from tests.storage.backends import remove_sqlite_files, storage_on
from tests.storage.full_scenario import read_everything


async def test_2_rebuild_shows_all_or_none_of_an_atomic_group(tmp_path: Path) -> None:
    """A committed group is one entry. A refused group left none."""
    log = tmp_path / "log" / "000000000001.ndjson"
    async with storage_on(DiskStorageFactory(tmp_path)) as storage:
        first = create_write("a", sample(code="one"))
        chain = [first, update_write(first, sample(code="two")), create_write("b", sample(code="one"))]
        assert await storage.commit_all(chain, atomic=True) == [None] * 3
        refused = await storage.commit_all([create_write("c", sample()), create_write("a", sample())], atomic=True)
        assert isinstance(refused[0], Aborted)
        assert log.read_bytes().count(b'{"autocrud":') == 2  # the first one has the contract of the model
        before = await read_everything(storage)
    remove_sqlite_files(tmp_path)
    async with storage_on(DiskStorageFactory(tmp_path)) as storage:
        assert await read_everything(storage) == before
