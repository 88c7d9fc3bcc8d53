"""Schema records in an object store, and the downgrades that a process learns from them."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from autocrud.errors import DataCorrupted
from autocrud.migrations import rename
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.fingerprint import FieldForm, Fingerprint
from autocrud.storage.model_folder.creation import create_object
from autocrud.storage.model_folder.downgrades import DowngradeLearner
from autocrud.storage.model_folder.schema_records import ObjectSchemaRecords
from autocrud.storage.objects.local import LocalObjectStore
from autocrud.storage.objects.memory import MemoryObjectStore
from autocrud.storage.ports.objects import PutUndecided
from autocrud.storage.ports.schema_records import VersionRecord

OLD: Fingerprint = (FieldForm(("title",), ({"type": "string"},), True),)
NEW: Fingerprint = (FieldForm(("headline",), ({"type": "string"},), True),)
STEP = rename("headline", "title")


class Article(BaseModel):
    """A model of version 1."""

    title: str


@pytest.fixture
def spec() -> ModelSpec[Article]:
    """Return the model."""
    return ModelSpec(Article)


@pytest.fixture
async def objects() -> MemoryObjectStore:
    """Return an open object store."""
    store = MemoryObjectStore()
    await store.open()
    return store


def version(downgrades: dict[int, Any] | None = None, time: str = "2026") -> VersionRecord:
    """Return the record of a version."""
    return VersionRecord(time, NEW, downgrades or {})


async def test_processes_that_publish_at_once_lose_nothing(tmp_path: Path, spec: ModelSpec[Article]) -> None:
    """Each version is there afterwards, in its order."""
    objects = LocalObjectStore(tmp_path)
    await objects.open()
    records = [ObjectSchemaRecords(objects, spec) for _ in range(6)]
    publishing = (item.publish(number, version(), replaces_fingerprint=False) for number, item in enumerate(records, 1))
    await asyncio.gather(*publishing)
    assert list((await records[0].read()).versions) == [1, 2, 3, 4, 5, 6]
    await objects.close()


async def test_published_version_keeps_its_time_and_its_fingerprint(
    objects: MemoryObjectStore, spec: ModelSpec[Article]
) -> None:
    """Downgrades are replaced each time, the fingerprint on demand."""
    records = ObjectSchemaRecords(objects, spec)
    await records.publish(1, VersionRecord("2025", OLD), replaces_fingerprint=False)
    await records.publish(1, version({1: [STEP.to_json()]}), replaces_fingerprint=False)
    assert (await records.read()).versions[1] == VersionRecord("2025", OLD, {1: [["rename", ["headline"], "title"]]})
    await records.publish(1, version(), replaces_fingerprint=True)
    assert (await records.read()).versions[1] == VersionRecord("2025", NEW)


async def test_damaged_record_is_refused_with_its_key(objects: MemoryObjectStore, spec: ModelSpec[Article]) -> None:
    """The message says what to do."""
    objects.objects["models/article/schema.json"] = b'{"versions": 1}'
    with pytest.raises(DataCorrupted, match=r"article/schema\.json is not a schema record"):
        await ObjectSchemaRecords(objects, spec).read()


async def test_learner_joins_the_downgrades_of_several_versions(
    objects: MemoryObjectStore, spec: ModelSpec[Article]
) -> None:
    """The record of version 3 leads to 2, and that of version 2 leads to 1."""
    records = ObjectSchemaRecords(objects, spec)
    await records.publish(2, version({1: [rename("name", "title").to_json()]}), replaces_fingerprint=False)
    await records.publish(3, version({2: [rename("headline", "name").to_json()]}), replaces_fingerprint=False)
    learner = DowngradeLearner(spec, records)
    await asyncio.gather(learner.learn(3), learner.learn(3))
    assert spec.upgrader.upgrade(b'{"headline":"Emma"}', 3) == b'{"title":"Emma"}'


async def test_learner_reports_a_step_of_a_newer_library_once(
    objects: MemoryObjectStore,
    spec: ModelSpec[Article],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The version counts as one without a downgrade."""
    monkeypatch.setattr("autocrud.storage.model_folder.downgrades.LOOK_SECONDS", 0.0)
    records = ObjectSchemaRecords(objects, spec)
    await records.publish(2, version({1: [["transpose", ["title"]]]}), replaces_fingerprint=False)
    learner = DowngradeLearner(spec, records)
    for _ in range(3):
        await learner.learn(2)
    assert not spec.upgrader.downgrades
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "the downgrade of version 2 cannot be used: a newer autocrud is needed" in record.getMessage()


async def test_learner_of_a_damaged_record_knows_no_downgrade(
    objects: MemoryObjectStore, spec: ModelSpec[Article], caplog: pytest.LogCaptureFixture
) -> None:
    """Lists with newer data go on, and the log names the object."""
    await objects.put("models/article/schema.json", b"damaged")
    await DowngradeLearner(spec, ObjectSchemaRecords(objects, spec)).learn(2)
    assert not spec.upgrader.downgrades
    assert "models/article/schema.json is not a schema record" in caplog.text


class _UndecidedStore(MemoryObjectStore):
    """An object store that answers some conditional puts with an unknown outcome."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self._before, self._after = before, after

    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        if self._before:
            self._before -= 1
            raise PutUndecided("409")
        await super().put(key, data, if_absent=if_absent)
        if self._after:
            self._after -= 1
            raise PutUndecided("no answer")


@pytest.mark.parametrize(
    ("store", "is_created"),
    [(lambda: _UndecidedStore(2, 0), True), (lambda: _UndecidedStore(0, 1), False)],
    ids=["not stored", "stored"],
)
async def test_undecided_creation_is_repeated(store: Callable[[], _UndecidedStore], is_created: bool) -> None:
    """An attempt that took effect unnoticed counts as an object of another process."""
    objects = store()
    await objects.open()
    assert await create_object(objects, "models/article/schema.json", b"{}") is is_created
    assert objects.objects == {"models/article/schema.json": b"{}"}


async def test_creation_that_stays_undecided_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts."""
    monkeypatch.setattr("autocrud.storage.model_folder.creation._FIRST_DELAY_S", 0.0)
    objects = _UndecidedStore(99, 0)
    with pytest.raises(PutUndecided):
        await create_object(objects, "models/article/schema.json", b"{}")
