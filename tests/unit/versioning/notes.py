"""Notes: a small model, and a manager in memory, for the tests of versioning."""

from typing import Annotated, Any

from pydantic import BaseModel

from autocrud import Index, ResourceManager
from autocrud.resource import Retention, RevisionStatus
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.memory import MemoryStorageFactory


class Note(BaseModel):
    """A note."""

    text: Annotated[str, Index()] = ""


def notes(retention: Retention | None = None, status: RevisionStatus = RevisionStatus.stable) -> ModelSpec[Any]:
    """The spec of notes."""
    return ModelSpec(Note, retention=retention, default_status=status)


async def open_manager(spec: ModelSpec[Any]) -> ResourceManager[Any]:
    """A manager of notes on an open storage in memory."""
    storage = MemoryStorageFactory().build(spec)
    await storage.open()
    return ResourceManager(spec, storage)
