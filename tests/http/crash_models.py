"""Model of a service that dies once between the commit of a write and its answer: `AUTOCRUD_MODELS`."""

import asyncio
import os
import signal
from pathlib import Path

from app.models import Movie
from autocrud import AutoCRUD
from autocrud.storage.composite import Storage
from autocrud.storage.ports.types import Write

FUSE = "fuse"


def register(crud: AutoCRUD) -> None:
    """Register the model, and arm the crash if the working directory has a fuse file."""
    crud.add_model(Movie)
    fuse = Path(FUSE)
    if not fuse.exists():
        return
    commit = Storage.commit

    async def commit_and_die(self: Storage, write: Write) -> None:
        await commit(self, write)
        await asyncio.to_thread(fuse.unlink)
        os.kill(os.getpid(), signal.SIGKILL)

    Storage.commit = commit_and_die  # type: ignore[method-assign]  # the fault that is to be tested
