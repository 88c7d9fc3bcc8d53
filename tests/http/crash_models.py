"""Model of a service that dies once between the commit of a write and its answer: `AUTOCRUD_MODELS`."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from app.models import Movie
from autocrud import AutoCRUD
from autocrud.storage.ports.transactions import has_writes
from autocrud.storage.store import Store

FUSE = "fuse"


def register(crud: AutoCRUD) -> None:
    """Register the model, and arm the crash if the working directory has a fuse file."""
    crud.add_model(Movie)
    fuse = Path(FUSE)
    if not fuse.exists():
        return
    committer: Any = Store
    committer.commit = _killing(committer.commit, fuse)  # the fault that is to be tested


def _killing(commit: Callable[[Any, Any], Awaitable[Any]], fuse: Path) -> Callable[[Any, Any], Awaitable[Any]]:
    async def commit_and_die(self: Any, transactions: Any) -> Any:
        outcomes = await commit(self, transactions)
        if has_writes(transactions):  # a start only reads the contract of the model
            await asyncio.to_thread(fuse.unlink)
            os.kill(os.getpid(), signal.SIGKILL)
        return outcomes

    return commit_and_die
