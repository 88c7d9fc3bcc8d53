"""Maintenance of all models in the background."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from autocrud.manager.manager import ResourceManager

logger = logging.getLogger(__name__)


async def maintain(managers: Sequence[ResourceManager[Any]], pause: float) -> None:
    """Run the maintenance of all models in rounds, until the task is cancelled.

    Args:
        pause: pause between two rounds, in seconds.
    """
    while True:
        for manager in managers:
            try:
                await manager.run_maintenance()
            except Exception:  # boundary of a background task: the next round tries again
                logger.exception("Maintenance of %s failed", manager.spec.name)
        await asyncio.sleep(pause)


@asynccontextmanager
async def maintained(managers: Sequence[ResourceManager[Any]], seconds: float) -> AsyncIterator[None]:
    """Run the maintenance of managers for the duration of the context, and finish their commits at its end.

    Args:
        seconds: pause between two rounds.
    """
    maintenance = asyncio.create_task(maintain(managers, seconds))
    try:
        yield
    finally:
        maintenance.cancel()
        await asyncio.wait([maintenance])
        await asyncio.gather(*(manager.references.drain() for manager in managers))
