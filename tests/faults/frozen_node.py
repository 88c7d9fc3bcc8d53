"""Process that stops itself in a commit, with the store's lock."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from autocrud.errors import AutoCRUDError
from autocrud.storage.metadata.postgres import shared_store
from autocrud.storage.metadata.postgres.connection import PostgresConnections
from autocrud.storage.postgres import PostgresStorageFactory
from autocrud.testing.sample_writes import SAMPLE, create_write, sample

_HALF_A_BIND = b"B" + (100_000).to_bytes(4, "big") + bytes(500)  # the server waits for the rest


async def main(url: str, folder: str, s3: dict[str, Any], place: str) -> None:
    """Commit a write, and stop before the first COMMIT until somebody sends SIGCONT.

    Args:
        place: "idle" to stop between two statements, "sending" to stop while a statement is sent.
    """
    patch = pytest.MonkeyPatch()
    patch.setattr(shared_store, "_IDLE_TIMEOUT_MS", 500)
    name = Path(folder).name
    factory = PostgresStorageFactory(postgres_url=url, prefix=name, schema=name, **s3)
    await factory.open()
    storage = factory.build(SAMPLE)
    await storage.open()
    commit = PostgresConnections.commit

    async def stop(self: PostgresConnections, connection: Any) -> bool:
        patch.setattr(PostgresConnections, "commit", commit)
        if place == "sending":
            # The proxy of the pool passes attributes on to the connection of the driver.
            connection._transport.write(_HALF_A_BIND)
        print("locked", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)
        return await commit(self, connection)

    patch.setattr(PostgresConnections, "commit", stop)
    try:
        await storage.commit(create_write("b", sample(code="k")))
        print("committed", flush=True)
    except AutoCRUDError as error:
        print(type(error).__name__, flush=True)
    await storage.close()
    await factory.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), sys.argv[4]))
