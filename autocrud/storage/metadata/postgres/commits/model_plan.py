"""Plan of one model: the rows that the accepted items of a batch write and delete."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from autocrud.resource import CommitKind
from autocrud.storage.decision.state import BINDING_ACTIONS, ReadState
from autocrud.storage.metadata.postgres.commits.erasure_plan import NOTHING_ERASED, ErasurePlan
from autocrud.storage.metadata.postgres.commits.placed_item import PlacedItem
from autocrud.storage.metadata.postgres.commits.resource_plan import ResourcePlan
from autocrud.storage.metadata.postgres.tables import PostgresTables
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.types import Blob, Item, Write, on_delete_task_of

Row = tuple[Any, ...]


class ModelPlan:
    """Rows of one model.

    Args:
        state: loaded state, with every resource that the batch writes.
    """

    def __init__(
        self, model: str, tables: PostgresTables, state: ReadState, erasures: ErasurePlan | None = None
    ) -> None:
        self.model = model
        self.tables = tables
        self.erasures = erasures or NOTHING_ERASED
        self._pruned_positions = {position for _, _, position in self.erasures.pruned}
        self._orphan_ids = {orphan[0] for orphan in self.erasures.orphans}
        self._state = state
        self._resources: dict[str, ResourcePlan] = {}
        self._keys: dict[str, Row] = {}
        self.blob_rows: list[Row] = []
        self.task_rows: list[Row] = []

    def add(self, placed: PlacedItem) -> None:
        """Add an accepted item."""
        item, position = placed.item, placed.position
        if isinstance(item, Blob) and item.file_id not in self._orphan_ids:
            self.blob_rows.append((item.file_id, item.size, item.key, item.created_time, *position))
        if not isinstance(item, Write):
            return
        resource_id = item.meta.resource_id
        plan = self._resources.get(resource_id)
        if plan is None:
            plan = self._resources[resource_id] = ResourcePlan(self._state.resources.get((self.model, resource_id)))
        plan.add(placed, item, self._pruned_positions)
        if item.has_task:
            self.task_rows.append((self.model, *astuple(on_delete_task_of(item))))
        if item.kind is CommitKind.purge:
            self._keys = {key: row for key, row in self._keys.items() if row[-1] != resource_id}
        if item.key is not None:
            self._keys[item.key.key] = (
                self.model, item.key.key, item.key.fingerprint, item.key.expires, resource_id,
            )  # fmt: skip

    def head_rows(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Return the rows of heads to update without their data, to update, and to insert."""
        new_rows: list[Row] = []
        data_rows: list[Row] = []
        metadata_rows: list[Row] = []
        for plan in self._resources.values():
            if plan.exists:
                row = plan.head_row(self.tables)
                (new_rows if plan.is_new else metadata_rows if plan.data is None else data_rows).append(row)
        return metadata_rows, data_rows, new_rows

    def commit_rows(self) -> list[Row]:
        """Return the rows of the history."""
        return [row for plan in self._resources.values() for row in plan.commits]

    def blob_references(self) -> list[Row]:
        """Return the rows of the references to blobs."""
        return [row for plan in self._resources.values() for row in plan.blobs]

    def key_rows(self) -> list[Row]:
        """Return the rows of the idempotency keys."""
        return list(self._keys.values())

    def purge_rows(self) -> list[Row]:
        """Return the rows of the changes for purges, which leave no commit."""
        purges = (plan.purge for plan in self._resources.values() if plan.purge is not None)
        return [
            (*position, self.model, write.meta.resource_id, write.meta.version, write.kind.value)
            for position, write in purges
        ]

    def claim_rows(self) -> tuple[list[Row], list[Row], list[Row]]:
        """Return the rows of claims to delete, to give to another resource, and to insert."""
        released: dict[Claim, str] = {}
        claimed: dict[Claim, str] = {}
        for resource_id, plan in self._resources.items():
            if plan.live_claims is not plan.live_claims_before:
                released |= dict.fromkeys(plan.live_claims_before, resource_id)
                claimed |= dict.fromkeys(plan.live_claims, resource_id)
        names = (self.model,)
        deleted = [names + claim for claim in released if claim not in claimed]
        passed_on = [
            (*names, *claim, holder)
            for claim, holder in claimed.items()
            if claim in released and released[claim] != holder
        ]
        new = [(*names, *claim, holder) for claim, holder in claimed.items() if claim not in released]
        return deleted, passed_on, new

    def reference_rows(self) -> tuple[list[Row], list[Row]]:
        """Return the rows of stored references to delete, and to insert or update."""
        deleted: list[Row] = []
        new: list[Row] = []
        for resource_id, plan in self._resources.items():
            before, after = plan.live_references_before, plan.live_references
            if before is not after:
                removed, added = changed_references(self.model, resource_id, before, after)
                deleted += removed
                new += added
        return deleted, new

    def states(self) -> list[tuple[str, list[Row]]]:
        """Return the statements that write the states of a temporal model, each with its rows."""
        resources = ((plan.version_before, plan.writes) for plan in self._resources.values())
        return self.tables.states.plan_statements(resources, self.tables.index_row)

    def other_versions(self) -> set[int]:
        """Return the schema versions of new data, without the model's own."""
        written = (plan.data for plan in self._resources.values())
        versions = {write.meta.schema_version for write in written if write is not None}
        return versions - {self.tables.schema_version}


def changed_references(
    model: str, resource_id: str, before: Iterable[StoredReference], after: Iterable[StoredReference]
) -> tuple[list[Row], list[Row]]:
    """Return the rows of stored references to delete, and to insert or update."""
    rows_before, rows_after = (
        {
            (item.model, item.resource_id, model, resource_id, item.field): item.on_delete
            for item in references
            if item.on_delete in BINDING_ACTIONS
        }
        for references in (before, after)
    )
    deleted = [(*key, action) for key, action in rows_before.items() if key not in rows_after]
    new = [(*key, action) for key, action in rows_after.items() if rows_before.get(key) != action]
    return deleted, new


def plan_models(
    models: dict[str, PostgresTables],
    state: ReadState,
    items: Sequence[PlacedItem],
    erasures: dict[str, ErasurePlan],
) -> list[ModelPlan]:
    """Return the plan of each model that a batch writes to."""
    plans: dict[str, ModelPlan] = {}
    for placed in items:
        if isinstance(placed.item, Contract):
            continue
        model = placed.item.model
        if model not in plans:
            plans[model] = ModelPlan(model, models[model], state, erasures.get(model))
        plans[model].add(placed)
    return list(plans.values())


def has_erasures(items: Iterable[Item]) -> bool:
    """Return True if a batch purges or prunes."""
    return any(isinstance(item, Write) and (item.prunes or item.kind is CommitKind.purge) for item in items)
