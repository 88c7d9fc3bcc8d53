"""Downgrade learner: finds out from the schema record how data of newer versions is read."""

import asyncio
import logging
from time import monotonic
from typing import Any

from autocrud.errors import DataCorrupted
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.steps import read_step
from autocrud.storage.ports.schema_records import SchemaRecords

logger = logging.getLogger(__name__)

# A process of the newer version publishes its downgrade before it writes, so a second look seldom finds more.
LOOK_SECONDS = 5.0


class DowngradeLearner:
    """Gives the upgrader of a model the downgrades of newer versions, which other processes have published."""

    def __init__(self, spec: ModelSpec[Any], records: SchemaRecords) -> None:
        self._spec = spec
        self._records = records
        self._looked_at: dict[int, float] = {}
        self._reported: set[int] = set()
        self._lock = asyncio.Lock()

    async def learn(self, version: int) -> None:
        """Look for the downgrade of a version. A version without a downgrade is looked for again after a while."""
        downgrades = self._spec.upgrader.downgrades
        async with self._lock:
            if version in downgrades or monotonic() < self._looked_at.get(version, -LOOK_SECONDS) + LOOK_SECONDS:
                return
            try:
                steps = (await self._records.read()).downgrade(version, self._spec.schema.version)
                if steps is not None:
                    downgrades[version] = tuple(map(read_step, steps))
            except DataCorrupted as error:  # a damaged record must not stop reads of other resources
                self._report(version, error)
            except ValueError as error:
                self._report(version, f"a newer autocrud is needed: {error}")
            self._looked_at[version] = monotonic()

    def _report(self, version: int, reason: object) -> None:
        if version not in self._reported:
            self._reported.add(version)
            logger.warning("%s: the downgrade of version %d cannot be used: %s", self._spec.name, version, reason)
