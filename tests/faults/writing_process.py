"""Process that opens a disk store, writes one sample, and ends."""

import asyncio
import sys
from pathlib import Path

from autocrud.storage.disk import DiskStorageFactory
from autocrud.testing.sample_writes import create_write, sample
from tests.storage.backends import storage_on


async def main(folder: str, resource_id: str) -> None:
    """Write a sample with an id."""
    async with storage_on(DiskStorageFactory(folder)) as storage:
        await storage.commit(create_write(resource_id, sample()))


if __name__ == "__main__":
    asyncio.run(main(str(Path(sys.argv[1])), sys.argv[2]))
