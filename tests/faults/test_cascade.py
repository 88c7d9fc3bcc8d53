"""Cascade after a crash: finished although the process that began it was killed."""

from pathlib import Path

import pytest

from autocrud.query.builder import QB
from autocrud.storage.disk import DiskStorageFactory
from tests.faults.cascade import REVIEWS, main
from tests.faults.forks import ForkedProcess
from tests.http.reference_models import library
from tests.storage.backends import remove_sqlite_files


def kill_in_the_middle(directory: Path, keeps_index: bool) -> None:
    """Start a cascade in another process, kill it, and optionally delete the index."""
    process = ForkedProcess(main, directory)
    assert process.read_line() == "stalled\n"
    process.kill()
    if not keeps_index:
        remove_sqlite_files(directory)


@pytest.mark.parametrize("keeps_index", [True, False], ids=["as it is", "from the log alone"])
async def test_cascade_is_finished_after_sigkill(tmp_path: Path, keeps_index: bool) -> None:
    """The next start finishes it, with the original time and author, also after a rebuild."""
    kill_in_the_middle(tmp_path, keeps_index)
    _, crud = library(DiskStorageFactory(tmp_path))
    films, reviews = crud.manager("film"), crud.manager("review")
    async with crud.running():
        assert (await films.get("f", include_deleted=True)).meta.is_deleted
        while [item for manager in (films, reviews) for item in await manager.node.storage.pending_deletions(None, 1)]:
            continue  # the housekeeping is at it
        assert await reviews.count() == 0
        assert await reviews.count(QB["updated_by"].eq("ada"), include_deleted=True) == REVIEWS + 100
    _, crud = library(DiskStorageFactory(tmp_path))
    async with crud.running():
        assert await crud.manager("review").count() == 0
