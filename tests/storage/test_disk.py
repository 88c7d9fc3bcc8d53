"""Disk backend: durability, rebuilds from the log, erasure, and file faults."""

import asyncio
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from autocrud import Schema
from autocrud.errors import ConfigurationError, DataCorrupted, StorageUnavailable
from autocrud.query.builder import QB
from autocrud.query.conditions import Query
from autocrud.schema.markers import Index, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.commit_log.records.entry import Entry, encode_lines
from autocrud.storage.commit_log.records.header import Tail
from autocrud.storage.commit_log.segments.segments import Segments
from autocrud.storage.disk import DiskStorageFactory
from autocrud.storage.metadata.sqlite.engine.store_tables import read_tail
from autocrud.storage.ports.storage import IStorage
from autocrud.testing.conformance import ids, outcomes
from autocrud.testing.sample_writes import SAMPLE, Sample, create_write, delete_write, purge_write, sample, update_write
from tests.servers import ROOT
from tests.storage.backends import remove_sqlite_files, storage_on
from tests.storage.backfill_probe import wait_until_filled
from tests.storage.full_scenario import read_everything, write_everything

Opener = Callable[..., AbstractAsyncContextManager[IStorage]]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Return a function that opens a storage in the test's folder, of `SAMPLE` unless another model is given."""

    def open_storage(spec: ModelSpec[Any] = SAMPLE, **options: Any) -> Any:
        return storage_on(DiskStorageFactory(tmp_path, **options), spec)

    return open_storage


async def test_6_log_alone_rebuilds_the_metadata(opened: Opener, tmp_path: Path) -> None:
    """Delete the SQLite files. Every query answers as before."""
    async with opened() as storage:
        await write_everything(storage)
        before = await read_everything(storage)
    remove_sqlite_files(tmp_path)
    async with opened() as storage:
        assert await read_everything(storage) == before


async def test_6_outdated_sqlite_file_catches_up_with_the_log(opened: Opener, tmp_path: Path) -> None:
    """Restore a SQLite file that lost its last transactions, as after a power cut."""
    kept = tmp_path.with_name(tmp_path.name + "-kept.sqlite")
    async with opened() as storage:
        await storage.commit(create_write("a", sample(text="x")))
    shutil.copy(tmp_path / "metadata.sqlite", kept)
    async with opened() as storage:
        await write_everything(storage)
        before = await read_everything(storage)
    remove_sqlite_files(tmp_path)
    shutil.copy(kept, tmp_path / "metadata.sqlite")
    async with opened() as storage:
        assert await read_everything(storage) == before


async def test_2_entry_of_a_dead_process_is_applied_by_maintenance(opened: Opener, tmp_path: Path) -> None:
    """The writer died before SQLite's commit, and acknowledged nothing. All processes then see the entry."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample(text="x")))
        async with opened() as other:
            assert await ids(other) == ["a"]
            tail = _applied(tmp_path)
            _leave_entry(tmp_path, tail)
            assert _applied(tmp_path) == tail
            await other.vacuum()
            assert await ids(other) == ["b", "a"]
            assert await ids(storage, QB["text"].eq("left")) == ["b"]
            await storage.commit(create_write("c", sample()))
            assert await ids(other) == ["c", "b", "a"]


async def test_2_writer_applies_the_entry_of_a_dead_process_first(opened: Opener, tmp_path: Path) -> None:
    """A write that conflicts with that entry is refused."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
        _leave_entry(tmp_path, _applied(tmp_path))
        results = await outcomes(storage, [create_write("b", sample()), create_write("c", sample())])
        assert [type(result).__name__ for result in results] == ["AlreadyExists", "NoneType"]


async def test_2_torn_append_never_becomes_an_entry(opened: Opener, tmp_path: Path) -> None:
    """A crash leaves the beginning of an entry. It is moved aside."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
    (segment,) = _segments(tmp_path)
    content = segment.read_bytes()
    segment.write_bytes(content + b'{"autocrud":1,"length"')
    async with opened() as storage:
        assert await ids(storage) == ["a"]
        await storage.commit(create_write("b", sample()))
    assert segment.read_bytes().startswith(content + b'{"autocrud":1,"length":')
    (torn,) = (tmp_path / "log" / "torn").iterdir()
    assert torn.read_bytes() == b'{"autocrud":1,"length"'


async def test_2_last_entry_that_a_purge_of_its_own_erases_is_kept(opened: Opener, tmp_path: Path) -> None:
    """Its blank parts are no sign of a torn append."""
    async with opened() as storage:
        doomed, kept = create_write("a", sample()), create_write("b", sample())
        assert await storage.commit_all([doomed, kept, purge_write(doomed)], atomic=True) == [None] * 3
    remove_sqlite_files(tmp_path)
    async with opened() as storage:
        assert await ids(storage, include_deleted=True) == ["b"]


async def test_writes_of_a_batch_become_one_entry(opened: Opener, tmp_path: Path) -> None:
    """Writes that arrive while a batch is in flight share the next entry."""
    async with opened() as storage:
        await outcomes(storage, [create_write(f"r{number}", sample()) for number in range(100)])
    assert _applied(tmp_path).sequence <= 3


async def test_refused_batch_appends_no_entry(opened: Opener, tmp_path: Path) -> None:
    """Commit a batch of conflicts only."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
        sequence = _applied(tmp_path).sequence
        await outcomes(storage, [create_write("a", sample()) for _ in range(5)])
    assert _applied(tmp_path).sequence == sequence


async def test_3_purge_erases_every_byte(opened: Opener, tmp_path: Path) -> None:
    """Search the log and SQLite's files for a marker. Other records stay intact."""
    marker = "MARKER-7f3a"
    async with opened() as storage:
        doomed = create_write("a", sample(text=marker, tags=[marker], code=marker, payload=marker * 3000))
        beside = create_write("b", sample(text="x"))
        assert await outcomes(storage, [doomed, beside]) == [None, None]
        second = update_write(doomed, sample(text=marker, tags=["x", marker], payload=marker))
        third = update_write(second, sample(text="no longer"))
        for write in (second, third, delete_write(third), purge_write(delete_write(third))):
            await storage.commit(write)
        assert _files_with(tmp_path, marker) == []
        (commit,) = await storage.commits("b")
        assert await storage.data(commit) == beside.data
        before = await read_everything(storage)
    assert _files_with(tmp_path, marker) == []
    remove_sqlite_files(tmp_path)
    async with opened() as storage:
        assert await read_everything(storage) == before


async def test_interrupted_purge_is_finished_at_the_next_start(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The purge reports bytes that it cannot erase. The next start erases them."""
    marker = "MARKER-91c0"
    async with opened() as storage:
        doomed = create_write("a", sample(text=marker, tags=[marker]))
        await storage.commit(doomed)

        def fail(self: Any, locators: Any) -> None:
            raise StorageUnavailable("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(Segments, "erase", fail)
            with pytest.raises(StorageUnavailable, match="not yet erased"):
                await storage.commit(purge_write(doomed))
        assert await storage.get("a") is None
    assert _files_with(tmp_path, marker)
    async with opened() as storage:
        assert await ids(storage, include_deleted=True) == []
    assert _files_with(tmp_path, marker) == []


async def test_purges_of_two_processes_in_one_entry_both_erase(opened: Opener, tmp_path: Path) -> None:
    """Both rewrite the same file, under the same lock."""
    async with opened() as one, opened() as two:
        writes = [create_write(f"r{number}", sample(text=f"MARKER-{number}")) for number in range(40)]
        assert await outcomes(one, writes) == [None] * 40
        purges = (
            outcomes(storage, [purge_write(write)]) for storage, write in zip([one, two] * 20, writes, strict=True)
        )
        assert await asyncio.gather(*purges) == [[None]] * 40
        assert await ids(one, include_deleted=True) == []
    assert _files_with(tmp_path, "MARKER") == []


async def test_full_disk_refuses_writes_and_recovers(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads go on. Writes go on once the log can be written."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))

        def fail(self: Any, entry: Entry) -> None:
            raise StorageUnavailable("no space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Segments, "append", fail)
            with pytest.raises(StorageUnavailable):
                await storage.commit(create_write("b", sample()))
            assert await ids(storage) == ["a"]
        await storage.commit(create_write("b", sample()))
        assert await ids(storage) == ["b", "a"]


async def test_write_whose_process_fails_behind_the_log_is_found_again(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error after the entry was appended leaves the outcome open. The next write shows it."""
    append = Segments.append

    def append_and_fail(self: Segments, entry: Entry) -> None:
        append(self, entry)
        raise StorageUnavailable("input/output error")

    async with opened() as storage:
        with monkeypatch.context() as patch:
            patch.setattr(Segments, "append", append_and_fail)
            with pytest.raises(StorageUnavailable):
                await storage.commit(create_write("a", sample()))
        await storage.commit(create_write("b", sample()))
        assert await ids(storage) == ["b", "a"]


@pytest.mark.parametrize("damage", ["flip", "cut", "header"])
async def test_rebuild_over_a_damaged_entry_is_refused(opened: Opener, tmp_path: Path, damage: str) -> None:
    """The error names the segment. Damage is no torn append, because an entry follows."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample(text="precious")))
        end = _applied(tmp_path).end
        await storage.commit(create_write("b", sample()))
    (segment,) = _segments(tmp_path)
    content = segment.read_bytes()
    spoilt = {
        "flip": content.replace(b"precious", b"precioux"),
        "cut": content[: end - 20] + content[end:],
        "header": b"{}" + content,
    }
    segment.write_bytes(spoilt[damage])
    remove_sqlite_files(tmp_path)
    with pytest.raises(DataCorrupted, match=r"000000000001\.ndjson"):
        async with opened():
            pass


async def test_log_shorter_than_sqlite_is_refused(opened: Opener, tmp_path: Path) -> None:
    """Lost entries are lost data, so the start is refused."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
        end = _applied(tmp_path).end
        await storage.commit(create_write("b", sample()))
    (segment,) = _segments(tmp_path)
    segment.write_bytes(segment.read_bytes()[:end])
    with pytest.raises(DataCorrupted, match="the end of entry 3 that was applied"):
        async with opened():
            pass


async def test_damaged_sqlite_file_is_named(opened: Opener, tmp_path: Path) -> None:
    """Removing the named file restores every answer."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
    path = tmp_path / "metadata.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(DataCorrupted, match="Remove it"):
        async with opened():
            pass
    path.unlink()
    async with opened() as storage:
        assert await ids(storage) == ["a"]


async def test_new_index_field_is_filled_from_the_data(opened: Opener, tmp_path: Path) -> None:
    """The start adds column and values. The column of a removed field stays."""

    class Later(BaseModel):
        text: str = ""
        number: int | None = None
        payload: Annotated[str, Index()] = ""
        code: Annotated[str | None, Unique()] = None

    spec: ModelSpec[Later] = ModelSpec(Later, name="sample")
    async with opened() as storage:
        await outcomes(
            storage, [create_write(f"r{number}", sample(payload=f"p{number % 3}")) for number in range(1200)]
        )
    async with opened(spec) as storage:
        assert await storage.count(Query()) == 1200
        await wait_until_filled()
        assert len(await ids(storage, QB["payload"].eq("p1"), spec=spec)) == 400
    async with opened() as storage:
        await wait_until_filled()
        assert len(await ids(storage, QB["text"].eq(""))) == 1200


async def test_field_with_a_new_type_is_indexed_anew(opened: Opener) -> None:
    """The column takes the type of the current model."""

    class Textual(BaseModel):
        number: Annotated[str | None, Index()] = None

    async with opened() as storage:
        await storage.commit(create_write("a", sample(payload="first of all")))
        await storage.commit(create_write("b", sample(number=None)))
    textual: ModelSpec[Textual] = ModelSpec(Textual, name="sample", schema=Schema(2).step(1, 2))
    async with opened(textual) as storage:
        write = create_write("c", b'{"number":"07"}')
        write.index = ("07",)
        await storage.commit(write)
        await wait_until_filled()
        assert await ids(storage, QB["number"].eq("07"), spec=textual) == ["c"]
        assert await ids(storage) == ["c", "b", "a"]


@pytest.mark.parametrize("rebuilds", [False, True])
async def test_new_unique_field_with_shared_values_refuses_the_start(
    opened: Opener, tmp_path: Path, rebuilds: bool
) -> None:
    """The error names the model and the shared value, also if the SQLite file is built again."""

    class Strict(BaseModel):
        text: Annotated[str, Unique()] = ""

    async with opened() as storage:
        for name in ("a", "b"):
            await storage.commit(create_write(name, sample(text="same")))
    if rebuilds:
        remove_sqlite_files(tmp_path)
    with pytest.raises(ConfigurationError, match=r"Strict\.text cannot be unique"):
        async with opened(ModelSpec(Strict, name="sample")):
            pass
    together: ModelSpec[Any] = ModelSpec(Sample, unique_together=[("payload", "text")])
    with pytest.raises(ConfigurationError, match="Sample: payload, text cannot be unique as a set"):
        async with opened(together):
            pass
    async with opened() as storage:
        assert await ids(storage) == ["b", "a"]


async def test_tables_are_readable_by_any_sql_tool(opened: Opener, tmp_path: Path) -> None:
    """Index fields are typed columns, and commits are rows."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample(text="x", number=7, flag=True)))
    with sqlite3.connect(tmp_path / "metadata.sqlite") as database:
        row = database.execute(
            "SELECT resource_id, version, ix_text, ix_number, ix_flag FROM sample_resources"
        ).fetchone()
        assert row == ("a", 1, "x", 7, 1)
        assert database.execute("SELECT kind, by FROM sample_commits").fetchall() == [("create", "ada")]
    database.close()


async def test_unusable_directory_is_named(tmp_path: Path) -> None:
    """Use a file as the directory."""
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(ConfigurationError, match=str(path)):
        await DiskStorageFactory(path / "data").open()


def _segments(root: Path) -> list[Path]:
    return sorted((root / "log").glob("*.ndjson"))


def _files_with(root: Path, marker: str) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and marker.encode() in path.read_bytes()]


def _applied(root: Path) -> Tail:
    """Return the last entry that the SQLite file has applied."""
    with closing(sqlite3.connect(root / "metadata.sqlite")) as database:
        return read_tail(database)


def _leave_entry(root: Path, after: Tail) -> None:
    """Append an entry to the log like a process that dies before SQLite's commit."""
    write = create_write("b", sample(text="left"))
    write.model = "sample"
    segments = Segments(root / "log", json.loads((root / "store.json").read_text())["id"])
    with segments.lock():
        segments.append(segments.layout(encode_lines([write]), after))
    segments.close()


async def test_2_reader_sees_the_writes_of_processes_that_come_and_go(opened: Opener, tmp_path: Path) -> None:
    """The last process to close a SQLite file removes its WAL. It must notice that this process still has the file."""
    async with opened() as storage:
        await storage.commit(create_write("a", sample()))
        for name in ("b", "c", "d"):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.writing_process", str(tmp_path), name, cwd=ROOT
            )
            assert await process.wait() == 0
            assert await storage.get(name) is not None
        assert sorted(await ids(storage)) == ["a", "b", "c", "d"]
