"""References between an old and a new schema version of the referring model, in two processes on one store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref, Schema
from autocrud.errors import NewerSchema, Referenced
from autocrud.migrations import rename
from autocrud.storage.disk import DiskStorageFactory
from tests.storage.backends import postgres_factory, s3_factory

FACTORIES: dict[str, Any] = {"disk": DiskStorageFactory, "s3": s3_factory, "postgres": postgres_factory}
BACK = rename("author", "writer")


class Author(BaseModel):
    """A model that books refer to."""

    name: str = ""


def book(version: int, on_delete: OnDelete) -> type[BaseModel]:
    """Return the model of books in a schema version."""

    class OldBook(BaseModel):
        writer: Annotated[str | None, Ref("author", on_delete=on_delete)]

    class NewBook(BaseModel):
        author: Annotated[str | None, Ref("author", on_delete=on_delete)]

    return OldBook if version == 1 else NewBook


@asynccontextmanager
async def opened(factory: Any, version: int, on_delete: OnDelete, downgrade: Any = None) -> AsyncIterator[AutoCRUD]:
    """Run a process of a schema version."""
    crud = AutoCRUD(storage_factory=factory)
    schema = Schema(1) if version == 1 else Schema(2).step(1, 2, rename("writer", "author"), downgrade=downgrade)
    crud.add_model(Author)
    crud.add_model(book(version, on_delete), name="book", schema=schema)
    async with crud.running():
        yield crud


@pytest.mark.parametrize("backend", FACTORIES)
async def test_delete_of_a_target_sees_referrers_of_the_other_version_at_once(backend: str, tmp_path: Path) -> None:
    """The old version cannot read the references of the new one, so it refuses the delete."""
    options = {"cache_dir": tmp_path / "other"} if backend == "s3" else {}
    restrict = OnDelete.restrict
    async with (
        opened(FACTORIES[backend](tmp_path), 1, restrict) as old,
        opened(FACTORIES[backend](tmp_path, **options), 2, restrict) as new,
    ):
        for name in ("a", "b"):
            await old.manager("author").create({}, resource_id=name)
        await old.manager("book").create({"writer": "b"}, resource_id="old")
        with pytest.raises(Referenced, match="author of book 'old'"):
            await new.manager("author").delete("b")
        await new.manager("book").create({"author": "a"}, resource_id="new")
        with pytest.raises(NewerSchema, match="The book 'new' has schema version 2"):
            await old.manager("author").delete("a")
        assert not (await new.manager("author").get("a")).meta.is_deleted


@pytest.mark.parametrize("on_delete", [OnDelete.restrict, OnDelete.cascade, OnDelete.set_null])
async def test_old_version_with_a_downgrade_deletes_nothing_that_newer_data_refers_to(
    on_delete: OnDelete, tmp_path: Path
) -> None:
    """It must not change newer referrers, so a delete that would change them is refused before its commit."""
    async with (
        opened(DiskStorageFactory(tmp_path), 1, on_delete) as old,
        opened(DiskStorageFactory(tmp_path), 2, on_delete, BACK) as new,
    ):
        for name in ("a", "free"):
            await old.manager("author").create({}, resource_id=name)
        await new.manager("book").create({"author": "a"}, resource_id="new")
        with pytest.raises(Referenced if on_delete is OnDelete.restrict else NewerSchema, match="'new'"):
            await old.manager("author").delete("a")
        await old.manager("author").delete("free")
        assert (await new.manager("book").get("new")).data.author == "a"
