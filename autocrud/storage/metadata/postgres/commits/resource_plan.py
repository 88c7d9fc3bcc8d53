"""Plan of one resource: its rows after the accepted writes of a batch."""

from collections.abc import Collection
from typing import Any

from autocrud.resource import CommitKind
from autocrud.storage.decision.state import ResourceState
from autocrud.storage.metadata.postgres.commits.constraints import encode_constraints
from autocrud.storage.metadata.postgres.commits.placed_item import PlacedItem
from autocrud.storage.metadata.postgres.history_tables import commit_row
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Write


class ResourcePlan:
    """Rows of one resource after its writes.

    Attributes:
        exists: True if the resource exists after the batch.
        is_new: True if its head is inserted, because it had none, or was purged.
        data: last write with data, if the batch has one.
        commits: rows of the history. `blobs`: rows of the references to blobs. `purge`: last purge, with its position.
        writes: writes with the version whose index values they inherit, or 0 if they have their own.
    """

    def __init__(self, before: ResourceState | None) -> None:
        self._before = before
        self.is_new = before is None
        self.exists = False
        self.claims: tuple[Claim, ...] = () if before is None else before.claims
        self.references: tuple[StoredReference, ...] = () if before is None else before.references
        self.version_before = 0 if before is None else before.version
        self._base = self.version_before
        self._last: Write | None = None
        self.data: Write | None = None
        self._locator = ""
        self.commits: list[tuple[Any, ...]] = []
        self.blobs: list[tuple[str, int, str]] = []
        self.purge: tuple[Position, Write] | None = None
        self.writes: list[tuple[Write, int]] = []

    @property
    def live_claims(self) -> tuple[Claim, ...]:
        """Claims that the resource has after the batch."""
        return self.claims if self.exists and self._last is not None and not self._last.meta.is_deleted else ()

    @property
    def live_references(self) -> tuple[StoredReference, ...]:
        """References that count after the batch."""
        return self.references if self.exists and self._last is not None and not self._last.meta.is_deleted else ()

    @property
    def live_claims_before(self) -> tuple[Claim, ...]:
        """Claims that the resource had before the batch."""
        return () if self._before is None or self._before.is_deleted else self._before.claims

    @property
    def live_references_before(self) -> tuple[StoredReference, ...]:
        """References that counted before the batch."""
        return () if self._before is None or self._before.is_deleted else self._before.references

    def add(self, placed: PlacedItem, write: Write, pruned: Collection[Position]) -> None:
        """Add an accepted write.

        Args:
            pruned: positions of commits whose data a later write of the batch prunes.
        """
        meta = write.meta
        if write.kind is CommitKind.purge:
            self._purge()
            self._last = write
            self.purge = placed.position, write
            return
        self.exists = True
        self._last = write
        if write.revision is not None:
            self.claims, self.references = write.claims, write.references
            self._base = meta.version  # also of a revision without data, which has no values
        is_pruned = placed.position in pruned
        if placed.locator is not None:
            self.data, self._locator = write, placed.locator
        self.writes.append((write, 0 if write.revision is not None else self._base))
        self.commits.append(commit_row(write, None if is_pruned else placed.locator, placed.position))
        if not is_pruned:
            self.blobs += [(meta.resource_id, meta.version, file_id) for file_id in write.blobs]

    def head_row(self, tables: PostgresTables) -> tuple[Any, ...]:
        """Return the row of the head, without data columns if the batch has no new data."""
        if self._last is None:
            raise LookupError("a resource of a batch has a write")
        constraints = encode_constraints(self.claims, self.references)
        return tables.head_row(self._last.meta, self._last.meta_json, self.data, self._locator, constraints)

    def _purge(self) -> None:
        self.exists, self.is_new = False, True
        self.claims, self.references = (), ()
        self.version_before = self._base = 0
        self.data, self._locator = None, ""
        self.commits.clear()
        self.blobs.clear()
        self.writes.clear()
