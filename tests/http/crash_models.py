"""Model of a service that dies once between the commit of a write and its answer: `AUTOCRUD_MODELS`."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app.models import Movie
from autocrud import AutoCRUD
from autocrud.storage.composite import Storage
from autocrud.storage.model_storage import ModelStorage
from autocrud.storage.ports.types import Write

FUSE = "fuse"


def register(crud: AutoCRUD) -> None:
    """Register the model, and arm the crash if the working directory has a fuse file."""
    crud.add_model(Movie)
    fuse = Path(FUSE)
    if not fuse.exists():
        return
    for storage in (Storage, ModelStorage):
        setattr(storage, "commit", _killing(storage.commit, fuse))  # noqa: B010 (the fault that is to be tested)


def _killing(commit: Callable[[Any, Write], Awaitable[None]], fuse: Path) -> Callable[[Any, Write], Awaitable[None]]:
    async def commit_and_die(self: Any, write: Write) -> None:
        await commit(self, write)
        await asyncio.to_thread(fuse.unlink)
        os.kill(os.getpid(), signal.SIGKILL)

    return commit_and_die
