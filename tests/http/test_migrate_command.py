"""The command `python -m autocrud.migrate`: output, exit status, and stop by a signal."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pytest

from autocrud import AutoCRUD
from autocrud.errors import ConfigurationError
from autocrud.manager.migration import MigrationFailure, MigrationProgress
from autocrud.service.migration.command import main, run_migration
from autocrud.service.migration.options import parse_migration_options
from autocrud.service.migration.report import Report
from autocrud.service.model_loader import load_module
from autocrud.service.settings import Settings
from autocrud.storage.disk import DiskStorageFactory
from tests.servers import ROOT, environment

OLD = """
from pydantic import BaseModel
from autocrud import AutoCRUD

class Article(BaseModel):
    title: str

class Note(BaseModel):
    text: str

def register(crud):
    crud.add_model(Article)
    crud.add_model(Note)
"""
NEW = """
import os, signal
from pydantic import BaseModel
from autocrud import AutoCRUD, Schema
from autocrud.migrations import convert, rename

class Article(BaseModel):
    headline: str

class Note(BaseModel):
    text: str

def check(title):
    if title == "stop":
        os.kill(os.getpid(), signal.SIGINT)
    if title == "bad":
        raise ValueError("is\\nbad")
    return title

crud = AutoCRUD()
crud.add_model(Article, schema=Schema(2).step(1, 2, rename("title", "headline"), convert("headline", check)))
crud.add_model(Note)
"""
FAILURE = "article\tb\tb:1\tstep 1 to 2, convert headline\theadline\tValueError: is bad\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield a folder with a store of version 1 and files of both versions. Forget their modules at the end."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = dict(sys.modules)
    (tmp_path / "migrate_old.py").write_text(OLD)
    (tmp_path / "migrate_new.py").write_text(NEW)
    yield tmp_path
    for name in sys.modules.keys() - before.keys():
        if name.startswith("migrate_"):
            del sys.modules[name]
    logging.getLogger().handlers.clear()


async def fill(folder: Path, titles: Sequence[str]) -> None:
    """Store articles of version 1, named a, b, c."""
    crud = AutoCRUD(storage_factory=DiskStorageFactory(folder / "data"))
    load_module("migrate_old.py").register(crud)
    async with crud.running():
        for name, title in zip("abc", titles, strict=False):
            await crud.manager("article").create({"title": title}, resource_id=name)


async def run(*arguments: str) -> int:
    """Run the command in this process. Return its exit status."""
    options = parse_migration_options(["migrate_new.py", *arguments])
    return await run_migration(Settings(models="migrate_new.py"), options)


def test_command_migrates_the_models_of_a_file(folder: Path) -> None:
    """A failure is a line on standard output; the rest is on standard error."""
    asyncio.run(fill(folder, ("one", "bad", "three")))
    command = [sys.executable, "-m", "autocrud.migrate", "migrate_new.py:crud", "--data-dir", "data", "--by", "ann"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment({}) | {"PYTHONPATH": str(ROOT)},
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, FAILURE)
    assert done.stderr.splitlines() == [
        "article: 3 of 3 (100 %), 1 failure",
        "article: migrated 2 of 3; 1 failed: b.",
        "note: migrated 0 of 0.",
    ]


def test_command_that_cannot_run_has_status_2(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the option at fault."""
    (folder / "migrate_broken.py").write_text("undefined")
    (folder / "file").touch()
    for name in ("STORAGE", "MODELS", "DATA_DIR"):
        monkeypatch.setenv(f"AUTOCRUD_{name}", "")  # restored at the end
    for arguments, message in (
        (["migrate_new.py", "--storage", "floppy"], "--storage: Input should be"),
        (["migrate_broken.py", "--storage", "disk"], "NameError: name 'undefined' is not defined"),
        (["migrate_new.py", "--data-dir", "file"], "--data-dir: "),
        (["migrate_new.py", "--data-dir", "data", "--batch", "0"], "--batch: must be from 1 to 1000"),
        (["none.py"], f"models: no such file: {folder}/none.py."),
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(message)


async def test_dry_run_and_list_of_unreadable_write_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await fill(folder, ("one", "bad"))
    assert await run("--dry-run", "--model", "article") == 1
    assert await run("--unreadable") == 1
    output = capsys.readouterr()
    assert output.out == FAILURE * 2
    assert output.err.splitlines()[1:] == [
        "article: 1 of 2 can be upgraded; 1 failed: b.",
        "article: read all resources; 1 unreadable: b.",
        "note: read all resources.",
    ]
    assert await run("--index-only", "--model", "article") == 0
    assert await run() == 1
    assert "article: migrated 1 of 2; 1 failed: b." in capsys.readouterr().err


async def test_signal_stops_between_batches(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The next run goes on."""
    await fill(folder, ("one", "stop", "three"))
    assert await run("--batch", "1") == 130
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "article: migrated 2 of 3.",
        "Stopped. Run the command again to go on.",
    ]
    assert await run() == 0
    assert "article: migrated 1 of 1." in capsys.readouterr().err


async def test_wrong_arguments_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="there is no 'post'; models: article, note"):
        await run("--model", "post")
    for arguments in (["--dry-run", "--index-only"], ["--batch", "x"], ["--nothing"]):
        with pytest.raises(SystemExit) as raised:
            parse_migration_options(arguments)
        assert raised.value.code == 2


def test_report_shows_progress_in_one_line_of_a_terminal() -> None:
    """Without a terminal there is a line for each tenth."""

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    def report(messages: StringIO) -> list[str]:
        lines = Report("article", StringIO(), messages)
        for done in (0, 1_200, 1_250, 10_000):
            lines.show_progress(MigrationProgress(done, 10_000, failed=3))
        lines.add_failure(MigrationFailure("a", "a:1", "", None, "is bad"))
        lines.show_result("migrated", 12, "failed")
        return messages.getvalue().replace("\r\x1b[K", "\n").split("\n")

    first, last = "article: 1,200 of 10,000 (12 %), 3 failures", "article: migrated; 12 failed: a, …."
    assert first in report(Terminal())
    assert "article: 1,250 of 10,000 (12 %), 3 failures" in report(Terminal())
    assert report(StringIO()) == [first, "article: 10,000 of 10,000 (100 %), 3 failures", last, ""]
