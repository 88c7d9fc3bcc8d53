"""Tables of a store in memory: state of the resources of all models, from which `decide` judges."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice

from autocrud.schema.markers import OnDelete
from autocrud.storage.decision.state import (
    BINDING_ACTIONS,
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
from autocrud.storage.metadata.memory.change_list import ChangeList
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.types import RequestKey


@dataclass(slots=True)
class StoreTables:
    """Content of a store that its models share.

    Attributes:
        resources: live and soft-deleted resources, with the claims and references of their current data.
        holders: id of the live resource that has a claim.
        restricting: live referrers of a target with the action `restrict`.
        dependents: live referrers of a target with another binding action.
        keys: idempotency keys.
        changes: committed writes, for followers.
        contracts: newest contract of each model.
    """

    resources: dict[ResourceKey, ResourceState] = field(default_factory=dict)
    holders: dict[ClaimKey, str] = field(default_factory=dict)
    restricting: dict[ResourceKey, dict[Referrer, None]] = field(default_factory=dict)
    dependents: dict[ResourceKey, dict[Referrer, None]] = field(default_factory=dict)
    keys: dict[NamedKey, StoredKey] = field(default_factory=dict)
    changes: ChangeList = field(default_factory=ChangeList)
    contracts: dict[str, Contract] = field(default_factory=dict)
    _keys_of: dict[ResourceKey, list[NamedKey]] = field(default_factory=dict)
    _end_of_apply: asyncio.Event | None = None

    @contextmanager
    def applying(self) -> Iterator[None]:
        """Let readers wait while a batch is applied in slices, so that they see all of it or nothing."""
        end = self._end_of_apply = asyncio.Event()
        try:
            yield
        finally:
            self._end_of_apply = None
            end.set()

    async def wait_until_applied(self) -> None:
        """Wait for the batch that is being applied. A reader must not wait again between this and its reads."""
        while self._end_of_apply is not None:
            await self._end_of_apply.wait()

    def load(self, reads: ReadSet, has_blob: Callable[[NamedKey], bool], has_tasks: bool) -> ReadState:
        """Return the state that a decision needs."""
        return ReadState(
            {key: self.resources.get(key) for key in reads.resources},
            {key: self.holders.get(key) for key in reads.holders},
            {key: self.keys.get(key) for key in reads.keys},
            {key: has_blob(key) for key in reads.blobs},
            {key: self._referrers_of(key) for key in reads.referrers},
            has_tasks,
            {model: self.contracts.get(model) for model in reads.contracts},
        )

    def change(self, key: ResourceKey, after: ResourceState | None) -> None:
        """Follow a write: state of a resource, claims and references of live resources, and keys of a purged one."""
        before = self.resources.get(key)
        self.release(key, before)
        self.occupy(key, after)
        if after is None:
            self.resources.pop(key, None)
            for name in self._keys_of.pop(key, ()):
                stored = self.keys.get(name)
                if stored is not None and stored.resource_id == key[1]:
                    del self.keys[name]
        else:
            self.resources[key] = after

    def release(self, key: ResourceKey, state: ResourceState | None) -> None:
        """Remove the claims and references of a resource, if it is live."""
        if state is None or state.is_deleted:
            return
        for claim in state.claims:
            # Within a transaction, another resource may have taken the claim before.
            if self.holders.get((key[0], claim)) == key[1]:
                del self.holders[key[0], claim]
        for target, referrer in _binding_references(key, state):
            referrers = self._table_of(referrer)[target]
            referrers.pop(referrer, None)
            if not referrers:
                del self._table_of(referrer)[target]

    def occupy(self, key: ResourceKey, state: ResourceState | None) -> None:
        """Add the claims and references of a resource, if it is live."""
        if state is None or state.is_deleted:
            return
        for claim in state.claims:
            self.holders[key[0], claim] = key[1]
        for target, referrer in _binding_references(key, state):
            self._table_of(referrer).setdefault(target, {})[referrer] = None

    def store_key(self, model: str, key: RequestKey, resource_id: str) -> None:
        """Store the idempotency key of a request that wrote a resource."""
        self.keys[model, key.key] = StoredKey(key.fingerprint, key.expires, resource_id)
        self._keys_of.setdefault((model, resource_id), []).append((model, key.key))

    def drop_expired_keys(self, model: str, now: str) -> None:
        """Remove the idempotency keys of a model that expired before a time in the format of `timestamp`."""
        expired = {name: key for name, key in self.keys.items() if name[0] == model and key.expires < now}
        for name, key in expired.items():
            del self.keys[name]
            names = self._keys_of.get((model, key.resource_id), [])
            if name in names:
                names.remove(name)

    def _referrers_of(self, target: ResourceKey) -> list[Referrer]:
        dependents: Iterable[Referrer] = self.dependents.get(target, {})
        if len(self.dependents.get(target, {})) >= MAX_REFERRERS:
            dependents = sorted(dependents, key=lambda item: item.on_delete == OnDelete.set_null)
        return list(islice(chain(self.restricting.get(target, ()), dependents), MAX_REFERRERS))

    def _table_of(self, referrer: Referrer) -> dict[ResourceKey, dict[Referrer, None]]:
        return self.restricting if referrer.on_delete == OnDelete.restrict else self.dependents


def _binding_references(key: ResourceKey, state: ResourceState) -> Iterable[tuple[ResourceKey, Referrer]]:
    """Return the references of a resource with a binding action, each once: the target, and the referrer."""
    found = {
        ((item.model, item.resource_id), Referrer(*key, item.field, item.on_delete)): None
        for item in state.references
        if item.on_delete in BINDING_ACTIONS
    }
    return found if state.references else ()
