"""Port of schema records: what a store knows about the schema versions of one model."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autocrud.schema.versions.fingerprint import Fingerprint


@dataclass(frozen=True)
class VersionRecord:
    """Record of one schema version, written by a process of that version.

    Attributes:
        first_seen: time of the first start with the version, in the format of `timestamp`.
        fingerprint: fields of the model, of the first start or after changes that no data can notice.
        downgrades: steps that lead back, as JSON, by older version.
    """

    first_seen: str
    fingerprint: Fingerprint
    downgrades: Mapping[int, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class SchemaRecord:
    """Records of all schema versions of one model, by version."""

    versions: Mapping[int, VersionRecord] = field(default_factory=dict)

    def downgrade(self, version: int, older: int) -> list[Any] | None:
        """Return the shortest chain of downgrade steps, as JSON, between two versions; None if there is none."""
        chains: dict[int, list[Any]] = {version: []}
        queue = [version]
        for current in queue:
            record = self.versions.get(current)
            for target, steps in record.downgrades.items() if record else ():
                if target not in chains:
                    chains[target] = [*chains[current], *steps]
                    queue.append(target)
        return chains.get(older)


class SchemaRecords(ABC):
    """Stored schema record of one model."""

    @abstractmethod
    async def read(self) -> SchemaRecord:
        """Return the record as of now. It is empty if no process has started with the model."""

    @abstractmethod
    async def publish(self, version: int, record: VersionRecord, *, replaces_fingerprint: bool) -> None:
        """Add the record of a version, or update its downgrades. Concurrent calls for other versions are not lost.

        Args:
            replaces_fingerprint: replace the fingerprint, too.
        """
