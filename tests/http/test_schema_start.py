"""Start of the service after a change of its models."""

import asyncio
from pathlib import Path

import pytest
from pydantic import BaseModel

from autocrud import AutoCRUD
from autocrud.storage.disk import DiskStorageFactory
from tests.http.test_servers import refused

CHANGED = "from pydantic import BaseModel\nclass Article(BaseModel):\n    headline: str\n    language: str\n"


class Article(BaseModel):
    """An article before the change."""

    title: str


async def store(directory: Path) -> None:
    """Store an article of the old model."""
    crud = AutoCRUD(storage_factory=DiskStorageFactory(directory))
    crud.add_model(Article)
    async with crud.running():
        await crud.manager(Article).create({"title": "Emma"})


def test_service_that_refuses_a_changed_model_exits_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The setting `AUTOCRUD_ON_SCHEMA_CHANGE=refuse`. The message is one line, without a traceback."""
    asyncio.run(store(tmp_path / "data"))
    models = tmp_path / "changed_articles.py"
    models.write_text(CHANGED)
    status, said = refused(
        monkeypatch, capsys, data_dir=tmp_path / "data", models=models, on_schema_change="refuse", port=0
    )
    assert status == 2
    line = said.splitlines()[-1]
    assert line.startswith("article: the model differs from the schema version 1")
    assert 'schema=Schema(2).step(1, 2, rename("title", "headline"), fill("language", ""))' in line
    assert "Traceback" not in said
