"""Erasure plan: everything that the purges and prunes of a batch erase, before the batch is applied."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autocrud.resource import CommitKind, revision_number
from autocrud.storage.metadata.postgres.commits.placed_item import PlacedItem
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Blob, Write


@dataclass(slots=True)
class _Version:
    """A commit that still has its records."""

    version: int
    revision_id: str
    position: Position
    has_data: bool
    blobs: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ErasurePlan:
    """Erasures of a batch in one model.

    Attributes:
        purged_ids: resources whose former rows go.
        erases: positions that a purge or prune erases, by the position of its record.
        purged: positions whose records go as a whole.
        pruned: resource, version and position of each commit that loses its data.
        orphans: registered blobs without references: id, key and position, and if the erasure is deferred.
    """

    purged_ids: list[str] = field(default_factory=list)
    erases: dict[Position, list[Position]] = field(default_factory=dict)
    purged: list[Position] = field(default_factory=list)
    pruned: list[tuple[str, int, Position]] = field(default_factory=list)
    orphans: list[tuple[str, str, Position, bool]] = field(default_factory=list)


NOTHING_ERASED = ErasurePlan()


async def plan_erasures(
    connection: Any, models: Mapping[str, PostgresTables], items: Sequence[PlacedItem]
) -> dict[str, ErasurePlan]:
    """Return the erasure plan of each model with purges or prunes."""
    by_model: dict[str, list[PlacedItem]] = {}
    for placed in items:
        by_model.setdefault(placed.item.model, []).append(placed)
    return {
        model: await _ModelErasures(models[model], found).plan(connection)
        for model, found in by_model.items()
        if any(isinstance(placed.item, Write) and _erases(placed.item) for placed in found)
    }


def _erases(write: Write) -> bool:
    return write.kind is CommitKind.purge or write.prunes > 0


class _ModelErasures:
    """Follows the histories of the purged and pruned resources of one model through a batch."""

    def __init__(self, tables: PostgresTables, items: Sequence[PlacedItem]) -> None:
        self._tables = tables
        self._items = items
        erasing = [placed.item for placed in items if isinstance(placed.item, Write) and _erases(placed.item)]
        self._purged_ids = {write.meta.resource_id for write in erasing if write.kind is CommitKind.purge}
        self._ids = {write.meta.resource_id for write in erasing}
        self._histories: dict[str, list[_Version]] = {resource_id: [] for resource_id in self._ids}
        self._released: dict[str, bool] = {}  # blobs, and if all that released them were prunes
        self._plan = ErasurePlan(purged_ids=sorted(self._purged_ids))

    async def plan(self, connection: Any) -> ErasurePlan:
        """Return the plan."""
        await self._load_histories(connection)
        last_position = Position(0, 0)
        for placed in self._items:
            if isinstance(placed.item, Write) and placed.item.meta.resource_id in self._ids:
                self._follow(placed, placed.item)
                if _erases(placed.item):
                    last_position = placed.position
        await self._find_orphans(connection, last_position)
        return self._plan

    async def _load_histories(self, connection: Any) -> None:
        history = self._tables.history
        for purged, ids in ((True, self._purged_ids), (False, self._ids - self._purged_ids)):
            if not ids:
                continue
            versions: dict[tuple[str, int], _Version] = {}
            sql = history.places if purged else history.places_with_data
            for resource_id, number, revision_id, sequence, ordinal, has_data in await connection.fetch(sql, list(ids)):
                version = _Version(number, revision_id, Position(sequence, ordinal), has_data)
                versions[resource_id, number] = version
                self._histories[resource_id].append(version)
            references = self._tables.side_tables.references_of
            for resource_id, number, file_id in await connection.fetch(references, list(ids)):
                if (resource_id, number) in versions:
                    versions[resource_id, number].blobs.add(file_id)

    def _follow(self, placed: PlacedItem, write: Write) -> None:
        meta, position = write.meta, placed.position
        history = self._histories[meta.resource_id]
        if write.kind is CommitKind.purge:
            self._plan.purged += [version.position for version in history]
            self._plan.pruned = [row for row in self._plan.pruned if row[0] != meta.resource_id]
            self._erase(position, history, is_prune=False)
            history.clear()
            return
        history.append(
            _Version(
                meta.version, meta.current_revision_id, position, write.data is not None, set(write.blobs)
            )
        )  # fmt: skip
        if write.prunes:
            pruned = [
                version
                for version in history
                if version.has_data
                and version.revision_id != meta.current_revision_id
                and revision_number(meta.resource_id, version.revision_id) <= write.prunes
            ]
            self._plan.pruned += [(meta.resource_id, version.version, version.position) for version in pruned]
            self._erase(position, pruned, is_prune=True)
            for version in pruned:
                version.has_data = False
                version.blobs = set()

    def _erase(self, position: Position, versions: Iterable[_Version], *, is_prune: bool) -> None:
        for version in versions:
            self._plan.erases.setdefault(position, []).append(version.position)
            for file_id in version.blobs:
                self._released[file_id] = self._released.get(file_id, True) and is_prune

    async def _find_orphans(self, connection: Any, last_position: Position) -> None:
        if not self._released:
            return
        needed = {file_id for history in self._histories.values() for version in history for file_id in version.blobs}
        needed |= {
            file_id
            for placed in self._items
            if isinstance(placed.item, Write) and placed.item.meta.resource_id not in self._ids
            for file_id in placed.item.blobs
        }
        candidates = [file_id for file_id in self._released if file_id not in needed]
        blobs: dict[str, tuple[str, Position]] = {}
        pruned = [(resource_id, version) for resource_id, version, _ in self._plan.pruned]
        arguments = [[resource_id for resource_id, _ in pruned], [version for _, version in pruned]]
        rows = await connection.fetch(
            self._tables.side_tables.unreferenced, candidates, self._plan.purged_ids, *arguments
        )
        for file_id, key, sequence, ordinal in rows:
            blobs[file_id] = key, Position(sequence, ordinal)
        for placed in self._items:
            if isinstance(placed.item, Blob) and placed.item.file_id in candidates:
                blobs[placed.item.file_id] = placed.item.key, placed.position
        for file_id, (key, place) in blobs.items():
            self._plan.orphans.append((file_id, key, place, self._released[file_id]))
            self._plan.erases.setdefault(last_position, []).append(place)
