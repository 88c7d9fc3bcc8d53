"""Maintenance of all models in the background."""

import asyncio
import logging
from collections.abc import Sequence
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
