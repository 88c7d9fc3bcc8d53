"""Contracts: processes with different rules for one model, on one store."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD, OnDelete, Ref, Schema, Unique
from autocrud.errors import (
    ConfigurationError,
    NewerSchema,
    Referenced,
    UniqueViolation,
)
from autocrud.migrations import rename
from autocrud.storage.disk import DiskStorageFactory
from tests.storage.backends import ordered_map_factory, postgres_factory, s3_factory

FACTORIES: dict[str, Any] = {
    "disk": DiskStorageFactory,
    "s3": s3_factory,
    "postgres": postgres_factory,
    "ordered_map": ordered_map_factory,
}
PROCESSES = ["disk", "s3", "postgres"]  # forms of a model cannot be open together in one ordered map


class Plain(BaseModel):
    """An article without rules."""

    slug: str
    author: str | None = None


class Sluggish(BaseModel):
    """An article whose slug is unique."""

    slug: Annotated[str, Unique()]
    author: str | None = None


class Written(BaseModel):
    """An article whose slug is unique, with an author who must exist."""

    slug: Annotated[str, Unique()]
    author: Annotated[str | None, Ref("author", on_delete=OnDelete.restrict)] = None


class Author(BaseModel):
    """A model that articles refer to."""

    name: str = ""


@asynccontextmanager
async def process(
    backend: str, path: Path, model: type[BaseModel] | None, node: str = "a", schema: Schema | None = None
) -> AsyncIterator[AutoCRUD]:
    """Run a process with a form of the article, or without articles. Nodes on S3 have caches of their own."""
    factory = FACTORIES[backend](path, **({"cache_dir": path / node} if backend == "s3" else {}))
    crud = AutoCRUD(storage_factory=factory)
    crud.add_model(Author)
    if model is not None:
        crud.add_model(model, name="article", schema=schema or Schema(1))
    async with crud.running():
        yield crud


def remove_index(path: Path) -> None:
    """Remove the SQLite file, so that the next start replays the log."""
    for file in path.glob("metadata.sqlite*"):
        file.unlink()


@pytest.mark.parametrize("backend", PROCESSES)
async def test_5_process_without_a_new_rule_may_read_and_not_write(backend: str, tmp_path: Path) -> None:
    """The old process ran before. Its writes of other models go on, and its restart changes nothing."""
    async with process(backend, tmp_path, Plain, "old") as old:
        articles = old.manager("article")
        await articles.create({"slug": "a"}, resource_id="first")
        async with process(backend, tmp_path, Sluggish, "new") as new:
            writes: list[Coroutine[Any, Any, Any]] = [
                articles.create({"slug": "a"}),
                articles.patch("first", {"slug": "b"}),
                articles.delete("first"),
            ]
            for write in writes:
                with pytest.raises(NewerSchema, match=r"unique \(slug\)") as caught:
                    await write
                assert caught.value.code == "newer_schema"
            assert (await articles.get("first")).data.slug == "a"
            await old.manager("author").create({"name": "x"})
            with pytest.raises(UniqueViolation):
                await new.manager("article").create({"slug": "a"})
            await new.manager("article").create({"slug": "b"})
    async with process(backend, tmp_path, Plain, "old") as old:
        with pytest.raises(NewerSchema):
            await old.manager("article").create({"slug": "a"})
        assert await old.manager("article").count() == 2


@pytest.mark.parametrize("backend", FACTORIES)
async def test_rule_is_removed_by_a_higher_schema_version(backend: str, tmp_path: Path) -> None:
    """A restart with the same version cannot tell an older process from a newer one, so it changes no rule."""
    async with process(backend, tmp_path, Written) as crud:
        await crud.manager("author").create({}, resource_id="x")
        await crud.manager("article").create({"slug": "a", "author": "x"}, resource_id="first")
    async with process(backend, tmp_path, Sluggish) as crud:
        with pytest.raises(NewerSchema, match="reference author with restrict"):
            await crud.manager("article").create({"slug": "b"})
    schema = Schema(2).step(1, 2)
    async with process(backend, tmp_path, Plain, schema=schema) as crud:
        await crud.manager("article").create({"slug": "a", "author": "nobody"})
    async with process(backend, tmp_path, Plain, schema=schema) as crud:
        assert await crud.manager("article").count() == 2
        await crud.manager("article").create({"slug": "a"})


@pytest.mark.parametrize("backend", PROCESSES)
async def test_6_contract_survives_a_rebuild_and_an_unknown_model_keeps_its_rules(backend: str, tmp_path: Path) -> None:
    """A process that does not know the model cannot delete a target, and the model is found again with its rules."""
    async with process(backend, tmp_path, Written) as crud:
        await crud.manager("author").create({}, resource_id="x")
        await crud.manager("article").create({"slug": "a", "author": "x"})
    if backend == "disk":
        remove_index(tmp_path)
    node = "other"  # on S3, a node without a cache replays the log
    async with process(backend, tmp_path, None, node) as crud:
        with pytest.raises(Referenced, match="article"):
            await crud.manager("author").delete("x")
    async with process(backend, tmp_path, Plain, node) as crud:
        with pytest.raises(NewerSchema):
            await crud.manager("article").create({"slug": "a"})
    async with process(backend, tmp_path, Written, node) as crud:
        with pytest.raises(UniqueViolation):
            await crud.manager("article").create({"slug": "a"})
        with pytest.raises(Referenced):
            await crud.manager("author").delete("x")


@pytest.mark.parametrize("backend", ["disk", "postgres"])
async def test_start_that_finds_duplicates_leaves_the_older_process_its_writes(backend: str, tmp_path: Path) -> None:
    """The new process never started, so nobody needs the rule."""
    async with process(backend, tmp_path, Plain, "old") as old:
        for _ in range(2):
            await old.manager("article").create({"slug": "a"})
        with pytest.raises(ConfigurationError, match="slug"):
            async with process(backend, tmp_path, Sluggish, "new"):
                pass
        await old.manager("article").create({"slug": "a"})


@pytest.mark.parametrize("backend", ["disk", "postgres"])
async def test_5_writes_raced_with_the_start_of_a_new_rule_leave_no_duplicates(backend: str, tmp_path: Path) -> None:
    """Whatever the old process wrote before the contract is counted, and afterwards it writes nothing."""
    async with process(backend, tmp_path, Plain, "old") as old:

        async def write() -> set[str]:
            slugs: set[str] = set()
            while True:
                slug = f"s{len(slugs)}"
                try:
                    await old.manager("article").create({"slug": slug})
                except NewerSchema:
                    return slugs
                slugs.add(slug)

        writing = asyncio.create_task(write())
        async with process(backend, tmp_path, Sluggish, "new") as new:
            slugs = await writing
            outcomes = [await _is_refused(new, slug) for slug in sorted(slugs)]
            assert all(outcomes)


@pytest.mark.parametrize("backend", ["disk", "postgres"])
async def test_renamed_reference_field_lets_older_processes_write(backend: str, tmp_path: Path) -> None:
    """The records of both have the reference, whatever its field is called."""

    class Renamed(BaseModel):
        slug: Annotated[str, Unique()]
        writer: Annotated[str | None, Ref("author", on_delete=OnDelete.restrict)] = None

    async with process(backend, tmp_path, Written, "old") as old:
        await old.manager("author").create({}, resource_id="x")
        schema = Schema(2).step(1, 2, rename("author", "writer"))
        async with process(backend, tmp_path, Renamed, "new", schema) as new:
            await old.manager("article").create({"slug": "a", "author": "x"})
            with pytest.raises((Referenced, NewerSchema)):
                await new.manager("author").delete("x")


async def _is_refused(crud: AutoCRUD, slug: str) -> bool:
    try:
        await crud.manager("article").create({"slug": slug})
    except UniqueViolation:
        return True
    return False
