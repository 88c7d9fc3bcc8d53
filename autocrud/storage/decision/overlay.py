"""Overlay: loaded state with the effects of the transactions that were accepted so far."""

from collections.abc import Container, Sequence
from typing import Any

from autocrud.storage.decision.state import (
    MAX_REFERRERS,
    ClaimKey,
    NamedKey,
    ReadSet,
    ReadState,
    Referrer,
    ResourceKey,
    ResourceState,
    StoredKey,
)
from autocrud.storage.ports.contracts import Contract

_ABSENT: Any = object()


class MissingState(Exception):
    """A decision needs state that is not loaded."""

    def __init__(self, reads: ReadSet) -> None:
        super().__init__()
        self.reads = reads


class Overlay:
    """Reads loaded state, and keeps changes beside it. The changes of one transaction can be reverted.

    Attributes:
        has_tasks: True if the store has on-delete tasks, those of accepted transactions included.
        changes_references: True if the transaction adds references, or removes resources.
        before: state before the transaction of each resource that it writes.
        disputes: resources of the transaction that claim what another resource holds, and that resource, by claim.
    """

    def __init__(self, state: ReadState) -> None:
        self.has_tasks = self._had_tasks = state.has_tasks
        self._resources: dict[ResourceKey, ResourceState | None] = dict(state.resources)
        self._holders: dict[ClaimKey, str | None] = dict(state.holders)
        self._keys: dict[NamedKey, StoredKey | None] = dict(state.keys)
        self._blobs: dict[NamedKey, bool] = dict(state.blobs)
        self._contracts: dict[str, Contract | None] = dict(state.contracts)
        self._loaded_referrers = state.referrers
        # Resources that accepted transactions wrote.
        self._written: set[ResourceKey] = set()
        # Resources by the targets that they refer to after a write, or after one that was overwritten or reverted.
        self._referring: dict[ResourceKey, dict[ResourceKey, None]] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []
        self.changes_references = False
        self.before: dict[ResourceKey, ResourceState | None] = {}
        self.disputes: dict[ClaimKey, dict[str, None]] = {}

    def begin(self) -> None:
        """Begin a transaction."""
        self._undo.clear()
        self._written.update(self.before)
        self._had_tasks = self.has_tasks
        self.before = {}
        self.disputes.clear()
        self.changes_references = False

    def revert(self) -> None:
        """Take back the changes of the transaction."""
        self.has_tasks = self._had_tasks
        self._resources.update(self.before)
        self.before = {}
        while self._undo:
            table, key, value = self._undo.pop()
            if value is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = value

    def resource(self, key: ResourceKey) -> ResourceState | None:
        """Return a resource; None if it does not exist."""
        try:
            return self._resources[key]
        except KeyError:
            raise MissingState(ReadSet(resources={key})) from None

    def set_resource(self, key: ResourceKey, state: ResourceState | None) -> None:
        """Write a resource that was read before."""
        if key not in self.before:
            self.before[key] = self._resources[key]
        self._resources[key] = state
        for reference in () if state is None else state.references:
            self._referring.setdefault((reference.model, reference.resource_id), {})[key] = None

    def holder(self, key: ClaimKey) -> str | None:
        """Return the id of the live resource that has a claim."""
        try:
            return self._holders[key]
        except KeyError:
            raise MissingState(ReadSet(holders={key})) from None

    def set_holder(self, key: ClaimKey, resource_id: str | None) -> None:
        """Give a claim to a resource, or to none."""
        self._set(self._holders, key, resource_id)

    def stored_key(self, key: NamedKey) -> StoredKey | None:
        """Return the request with an idempotency key."""
        try:
            return self._keys[key]
        except KeyError:
            raise MissingState(ReadSet(keys={key})) from None

    def set_stored_key(self, key: NamedKey, stored: StoredKey | None) -> None:
        """Store an idempotency key, or remove it."""
        self._set(self._keys, key, stored)

    def keys_of(self, model: str, resource_id: str) -> list[NamedKey]:
        """Return the known idempotency keys of a resource."""
        return [
            key
            for key, stored in self._keys.items()
            if stored is not None and key[0] == model and stored.resource_id == resource_id
        ]

    def has_blob(self, key: NamedKey) -> bool:
        """Return True if a blob is registered."""
        try:
            return self._blobs[key]
        except KeyError:
            raise MissingState(ReadSet(blobs={key})) from None

    def add_blob(self, key: NamedKey) -> None:
        """Register a blob."""
        self._set(self._blobs, key, True)

    def contract(self, model: str) -> Contract | None:
        """Return the newest contract of a model."""
        try:
            return self._contracts[model]
        except KeyError:
            raise MissingState(ReadSet(contracts={model})) from None

    def set_contract(self, contract: Contract) -> None:
        """Replace the contract of a model."""
        self._set(self._contracts, contract.model, contract)

    def referrers(self, target: ResourceKey) -> list[Referrer]:
        """Return the live resources that refer to a target now, those of this batch included."""
        if target not in self._loaded_referrers:
            raise MissingState(ReadSet(referrers={target}))
        loaded: Sequence[Referrer] = self._loaded_referrers[target]
        found = [item for item in loaded if not self._is_written(item[:2])]
        for key in self._referring.get(target, ()):
            state = self._resources[key]
            if self._is_written(key) and state is not None and not state.is_deleted:
                found += [
                    Referrer(*key, reference.field, reference.on_delete)
                    for reference in state.references
                    if (reference.model, reference.resource_id) == target
                ]
        return found

    def may_lack_referrers(self, target: ResourceKey, dependents: Container[ResourceKey]) -> bool:
        """Return True if more live resources may refer to a target than are loaded, and this batch handles those."""
        loaded = self._loaded_referrers[target]
        if len(loaded) < MAX_REFERRERS:
            return False
        return all(self._is_written(item[:2]) or item[:2] in dependents for item in loaded)

    def _is_written(self, key: ResourceKey) -> bool:
        """Return True if this batch writes a resource. The loaded referrers do not show its references."""
        return key in self.before or key in self._written

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value
