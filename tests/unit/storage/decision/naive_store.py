"""Naive store: judges one transaction at a time by scanning everything. Written without a look at `decide`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autocrud.errors import Aborted, AlreadyExists, Conflict, NewerSchema, Referenced, UniqueViolation
from autocrud.resource import timestamp
from autocrud.storage.decision.references import MissingTargets, UnplannedReferrers
from autocrud.storage.decision.state import ReadSet, ReadState, Referrer, ResourceKey, ResourceState, StoredKey
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.transactions import Dependent, Transaction, TransactionItem, VersionCheck
from autocrud.storage.ports.types import Blob, ContractExists, Repeated, UnknownBlob, Write

BINDING = ("restrict", "cascade", "set_null")
Refusal = tuple[Any, ...]  # class of the error, and what it names


@dataclass(frozen=True)
class Stored:
    """A resource as the last accepted write left it."""

    version: int
    created_time: str
    is_deleted: bool
    claims: tuple[Claim, ...]
    references: tuple[StoredReference, ...]


@dataclass
class NaiveStore:
    """Content of a store: dicts without any index."""

    resources: dict[ResourceKey, Stored] = field(default_factory=dict)
    keys: dict[tuple[str, str], StoredKey] = field(default_factory=dict)
    blobs: set[tuple[str, str]] = field(default_factory=set)
    has_tasks: bool = False
    contracts: dict[str, Contract] = field(default_factory=dict)

    def copy(self) -> "NaiveStore":
        """Return a copy."""
        contracts = dict(self.contracts)
        return NaiveStore(dict(self.resources), dict(self.keys), set(self.blobs), self.has_tasks, contracts)

    def live(self) -> dict[ResourceKey, Stored]:
        """Return the resources that are not deleted."""
        return {key: stored for key, stored in self.resources.items() if not stored.is_deleted}

    def judge(self, transaction: Transaction) -> list[Refusal | None]:
        """Accept or refuse a transaction. Return None or the refusal of each item."""
        before = self.copy()
        outcome = [self.apply(item) for item in transaction.items]
        if not any(outcome):
            outcome = self._judge_claims(before, transaction)
        if not any(outcome):
            outcome = self._judge_references(before, transaction)
        if not any(outcome):
            return outcome
        self.resources, self.keys, self.blobs = before.resources, before.keys, before.blobs
        self.has_tasks, self.contracts = before.has_tasks, before.contracts
        return [refusal or (Aborted,) for refusal in outcome]

    def apply(self, item: TransactionItem) -> Refusal | None:
        """Apply an item unless it must be refused. References and dependents are judged later."""
        if isinstance(item, Dependent):
            return None
        if isinstance(item, Blob):
            if (item.model, item.file_id) in self.blobs:
                return (AlreadyExists,)
            self.blobs.add((item.model, item.file_id))
            return None
        if isinstance(item, Contract):
            numbers = [self.contracts[item.model].number] if item.model in self.contracts else [0]
            if item.number != numbers[0] + 1:
                return (ContractExists, self.contracts.get(item.model))
            self.contracts[item.model] = item
            return None
        if isinstance(item, VersionCheck):
            stored = self.resources.get((item.model, item.resource_id))
            found = (0, "") if stored is None else (stored.version, stored.created_time)
            return None if found == (item.version, item.created_time) else (Conflict,)
        refusal = self._refusal(item)
        if refusal is None:
            self._accept(item)
        return refusal

    def read_state(self, reads: ReadSet) -> ReadState:
        """Return the named state, as an engine loads it."""
        holders = {(key[0], claim): key[1] for key, stored in self.live().items() for claim in stored.claims}
        return ReadState(
            {key: self._state(key) for key in reads.resources},
            {key: holders.get(key) for key in reads.holders},
            {key: self.keys.get(key) for key in reads.keys},
            {key: key in self.blobs for key in reads.blobs},
            {key: self.referrers(key) for key in reads.referrers},
            self.has_tasks,
            {model: self.contracts.get(model) for model in reads.contracts},
        )

    def referrers(self, target: ResourceKey) -> list[Referrer]:
        """Return the live resources that refer to a target with a binding action, those with `restrict` first."""
        found = {
            Referrer(*key, reference.field, reference.on_delete)
            for key, stored in self.live().items()
            for reference in stored.references
            if (reference.model, reference.resource_id) == target and reference.on_delete in BINDING
        }
        return sorted(found, key=lambda referrer: (referrer.on_delete != "restrict", referrer))

    def _state(self, key: ResourceKey) -> ResourceState | None:
        stored = self.resources.get(key)
        if stored is None:
            return None
        return ResourceState(stored.version, stored.created_time, stored.is_deleted, stored.claims, stored.references)

    def _refusal(self, write: Write) -> Refusal | None:
        contract = self.contracts.get(write.model)
        if contract is not None and any(rule not in write.rules for rule in contract.rules):
            return (NewerSchema,)
        if write.key is not None:
            earlier = self.keys.get((write.model, write.key.key))
            if earlier is not None and earlier.expires > timestamp(write.meta.updated_time):
                return (Repeated, earlier.resource_id, earlier.fingerprint)
        for file_id in write.blobs:
            if (write.model, file_id) not in self.blobs:
                return (UnknownBlob, file_id)
        stored = self.resources.get((write.model, write.meta.resource_id))
        if write.follows == 0 and stored is not None:
            return (AlreadyExists,)
        if write.follows and (
            stored is None
            or (stored.version, stored.created_time) != (write.follows, timestamp(write.meta.created_time))
        ):
            return (Conflict,)
        return None

    def _judge_claims(self, before: "NaiveStore", transaction: Transaction) -> list[Refusal | None]:
        """Refuse each resource that shares a claim, at its last write, unless it has the oldest right to the claim."""
        outcome: list[Refusal | None] = [None] * len(transaction.items)
        last: dict[ResourceKey, int] = {}
        for number, item in enumerate(transaction.items):
            if isinstance(item, Write):
                last[item.model, item.meta.resource_id] = number
        live, live_before = self.live(), before.live()
        for key in [key for key in last if key in live]:
            for claim in live[key].claims:
                sharing = [other for other in live if other[0] == key[0] and claim in live[other].claims]
                kept = [other for other in sharing if other in live_before and claim in live_before[other].claims]
                keeper = kept[0] if kept else min(sharing, key=lambda other: last[other])
                if keeper != key:
                    outcome[last[key]] = (UniqueViolation, claim.names, keeper[1])
                    break
        return outcome

    def _accept(self, write: Write) -> None:
        key = (write.model, write.meta.resource_id)
        stored = self.resources.pop(key, None)
        if write.kind.value == "purge":
            self.keys = {name: earlier for name, earlier in self.keys.items() if (name[0], earlier.resource_id) != key}
        else:
            keeps = write.revision is None and stored is not None
            claims, references = (
                (stored.claims, stored.references) if keeps and stored else (write.claims, write.references)
            )
            created_time = timestamp(write.meta.created_time)
            self.resources[key] = Stored(write.meta.version, created_time, write.meta.is_deleted, claims, references)
        if write.key is not None:
            self.keys[write.model, write.key.key] = StoredKey(write.key.fingerprint, write.key.expires, key[1])
        self.has_tasks = self.has_tasks or write.has_task

    def _judge_references(self, before: "NaiveStore", transaction: Transaction) -> list[Refusal | None]:
        """Judge each resource at the number of its last write, or of its last removal if it is not live."""
        outcome: list[Refusal | None] = [None] * len(transaction.items)
        named = {}
        for number, item in enumerate(transaction.items):
            if isinstance(item, Dependent):
                named[item.model, item.resource_id] = number
        writes = [(number, item) for number, item in enumerate(transaction.items) if isinstance(item, Write)]
        written = {(write.model, write.meta.resource_id) for _, write in writes}
        for key, number in named.items():
            awaited = key in written and self._is_awaited(before, key)
            outcome[number] = self._remaining_referrers(key, set(named), has_task=True, is_awaited=awaited)
        for key in written:
            own = [(number, write) for number, write in writes if (write.model, write.meta.resource_id) == key]
            if key in self.live():
                outcome[own[-1][0]] = self._missing_targets(before, key)
                continue
            removals = [number for number, write in own if write.kind.value in ("delete", "purge")]
            if removals:
                has_task, awaited = any(write.has_task for _, write in own), self._is_awaited(before, key)
                outcome[removals[-1]] = self._remaining_referrers(
                    key, set(named), has_task=has_task, is_awaited=awaited
                )
        return outcome

    def _is_awaited(self, before: "NaiveStore", key: ResourceKey) -> bool:
        """Return True if the resource referred with `cascade` to a resource that counts as deleted now."""
        stored = before.resources.get(key)
        return stored is not None and any(
            reference.on_delete == "cascade" and not self._counts_as_live((reference.model, reference.resource_id), ())
            for reference in stored.references
        )

    def _missing_targets(self, before: "NaiveStore", key: ResourceKey) -> Refusal | None:
        now, earlier = self.resources[key], before.resources.get(key)
        is_same = earlier is not None and earlier.created_time == now.created_time
        is_restored = is_same and earlier is not None and earlier.is_deleted
        missing: list[StoredReference] = []
        for reference in now.references:
            is_old = (
                is_same
                and not is_restored
                and earlier is not None
                and any(self._is_unchanged(item, reference, now) for item in earlier.references)
            )
            if is_old or not reference.must_exist or (is_restored and reference.on_delete == "dangling"):
                continue
            if not self._counts_as_live((reference.model, reference.resource_id), ()):
                missing.append(reference)
        return (MissingTargets, tuple(missing)) if missing else None

    def _is_unchanged(self, earlier: StoredReference, reference: StoredReference, now: Stored) -> bool:
        """Return True if a reference is an earlier one, in its field, or in another field that took it over."""
        if (earlier.field, earlier.resource_id) == (reference.field, reference.resource_id):
            return True
        stays = any((item.field, item.resource_id) == (earlier.field, earlier.resource_id) for item in now.references)
        return earlier._replace(field=reference.field) == reference and not stays

    def _counts_as_live(self, key: ResourceKey, path: Sequence[ResourceKey]) -> bool:
        """Return False if a resource is deleted, or will be by the cascade of a pending task."""
        if key in path:
            return True
        if key not in self.live():
            return False
        if not self.has_tasks:
            return True
        return all(
            self._counts_as_live((reference.model, reference.resource_id), (*path, key))
            for reference in self.resources[key].references
            if reference.on_delete == "cascade"
        )

    def _remaining_referrers(
        self, key: ResourceKey, named: set[ResourceKey], *, has_task: bool, is_awaited: bool
    ) -> Refusal | None:
        found = [referrer for referrer in self.referrers(key) if referrer[:2] != key and referrer[:2] not in named]
        for referrer in found:
            if referrer.on_delete == "restrict" and self._counts_as_live(referrer[:2], ()):
                return (Referenced,)
        bound = {"cascade"} if has_task else {"cascade", "set_null"}
        if any(referrer.on_delete in bound for referrer in found) and not (has_task and is_awaited):
            return (UnplannedReferrers, key)
        return None
