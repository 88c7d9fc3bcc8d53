"""Golden stores are read as on the day they were written, with and without their index."""

import json
from pathlib import Path
from typing import Any

import pytest

from autocrud.errors import Referenced, UniqueViolation
from autocrud.storage.check_chain import check_disk, check_objects
from tests.golden.copies import BACKENDS, STORES, bucket, copy_store
from tests.golden.models import registry
from tests.golden.observation import observe
from tests.storage.backends import remove_sqlite_files


def expected(backend: str) -> dict[str, Any]:
    """Return the answers of a golden store."""
    found: dict[str, Any] = json.loads((STORES / f"{backend}.json").read_text())
    return found


@pytest.mark.parametrize("backend", BACKENDS)
async def test_6_golden_store_answers_as_when_it_was_written(backend: str, tmp_path: Path) -> None:
    """Documents, histories, revisions, blobs, changes with positions, and data of an older schema version."""
    factory = await copy_store(backend, tmp_path)
    assert await observe(factory) == expected(backend)


async def test_6_golden_store_answers_the_same_after_its_index_is_removed(tmp_path: Path) -> None:
    """The log alone rebuilds the SQLite file."""
    factory = await copy_store("disk", tmp_path)
    remove_sqlite_files(tmp_path)
    assert await observe(factory) == expected("disk")


@pytest.mark.parametrize("backend", BACKENDS)
async def test_5_rules_of_a_golden_store_hold(backend: str, tmp_path: Path) -> None:
    """Unique values and references are in the records."""
    crud = registry(await copy_store(backend, tmp_path), version=2, has_diary=True)
    async with crud.running():
        with pytest.raises(UniqueViolation, match="austen"):
            await crud.manager("author").create({"name": "austen"})
        with pytest.raises(Referenced):
            await crud.manager("author").delete("austen")
        assert (await crud.manager("book").patch("emma", {"language": "fr"})).meta.version == 3
        assert (await crud.manager("author").restore("eliot")).meta.version == 3


@pytest.mark.parametrize("backend", BACKENDS)
async def test_chain_of_a_golden_store_verifies(backend: str, tmp_path: Path) -> None:
    """Purges and prunes have blanked parts of it."""
    await copy_store(backend, tmp_path)
    if backend == "disk":
        assert (await check_disk(tmp_path)).tail.sequence > 20
        return
    objects = bucket(tmp_path.name)
    await objects.open()
    try:
        assert (await check_objects(objects)).tail.sequence > 20
    finally:
        await objects.close()
