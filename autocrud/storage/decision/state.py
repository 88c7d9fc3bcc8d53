"""State that a decision reads: what a store holds of the resources, claims, keys and blobs that a batch names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from autocrud.resource import CommitKind
from autocrud.schema.markers import OnDelete
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.transactions import Dependent, Transaction, VersionCheck
from autocrud.storage.ports.types import Write

ResourceKey = tuple[str, str]  # folder of the model, id
ClaimKey = tuple[str, Claim]  # folder of the model, claim
NamedKey = tuple[str, str]  # folder of the model, idempotency key or file_id

# Actions that a delete has on its referrers.
BINDING_ACTIONS = frozenset((OnDelete.restrict, OnDelete.cascade, OnDelete.set_null))
REMOVING_KINDS = frozenset((CommitKind.delete, CommitKind.purge))
# Referrers of one target that an engine loads at most, those with `set_null` last. This is one more than a transaction
# can name as dependents, so that a decision sees each dependent that the transaction lacks.
MAX_REFERRERS = 10_001


class ResourceState(NamedTuple):
    """A resource, live or soft-deleted. A missing resource is None.

    Attributes:
        created_time: in the format of `timestamp`.
        claims, references: those of its current data. They count only while the resource is live.
    """

    version: int
    created_time: str
    is_deleted: bool
    claims: tuple[Claim, ...] = ()
    references: tuple[StoredReference, ...] = ()


class Referrer(NamedTuple):
    """A live resource that refers to a target."""

    model: str
    resource_id: str
    field: str
    on_delete: str


class StoredKey(NamedTuple):
    """An idempotency key of an earlier request.

    Attributes:
        expires: in the format of `timestamp`.
    """

    fingerprint: str
    expires: str
    resource_id: str


@dataclass(slots=True)
class ReadSet:
    """Names of the state that a decision needs. `referrers` names targets whose live referrers are needed.

    `contracts` names models.
    """

    resources: set[ResourceKey] = field(default_factory=set)
    holders: set[ClaimKey] = field(default_factory=set)
    keys: set[NamedKey] = field(default_factory=set)
    blobs: set[NamedKey] = field(default_factory=set)
    referrers: set[ResourceKey] = field(default_factory=set)
    contracts: set[str] = field(default_factory=set)

    def add(self, other: "ReadSet") -> None:
        """Add the names of another set."""
        self.resources |= other.resources
        self.holders |= other.holders
        self.keys |= other.keys
        self.blobs |= other.blobs
        self.referrers |= other.referrers
        self.contracts |= other.contracts

    def __bool__(self) -> bool:
        """Return True if the set has a name."""
        parts = (self.resources, self.holders, self.keys, self.blobs, self.referrers, self.contracts)
        return any(parts)


@dataclass(slots=True)
class ReadState:
    """Loaded state. Each name of the `ReadSet` has an entry; None or an empty value if nothing is stored.

    Attributes:
        holders: id of the live resource that has the claim.
        blobs: True if the blob is registered.
        referrers: live referrers with a binding action, at most `MAX_REFERRERS` of each target.
        has_tasks: True if the store has on-delete tasks that are not completed.
        contracts: newest contract of each model.
    """

    resources: dict[ResourceKey, ResourceState | None] = field(default_factory=dict)
    holders: dict[ClaimKey, str | None] = field(default_factory=dict)
    keys: dict[NamedKey, StoredKey | None] = field(default_factory=dict)
    blobs: dict[NamedKey, bool] = field(default_factory=dict)
    referrers: dict[ResourceKey, Sequence[Referrer]] = field(default_factory=dict)
    has_tasks: bool = False
    contracts: dict[str, Contract | None] = field(default_factory=dict)

    def add(self, other: "ReadState") -> None:
        """Add state that was loaded later, in the same transaction of the engine."""
        self.resources |= other.resources
        self.holders |= other.holders
        self.keys |= other.keys
        self.blobs |= other.blobs
        self.referrers |= other.referrers
        self.has_tasks = self.has_tasks or other.has_tasks
        self.contracts |= other.contracts


def read_set_of(batch: Iterable[Transaction]) -> ReadSet:
    """Return the state that the items of a batch name. A decision may need more."""
    reads = ReadSet()
    for transaction in batch:
        for item in transaction.items:
            if isinstance(item, Write):
                _add_write(reads, item)
            elif isinstance(item, VersionCheck):
                reads.resources.add((item.model, item.resource_id))
            elif isinstance(item, Dependent):
                reads.referrers.add((item.model, item.resource_id))
            elif isinstance(item, Contract):
                reads.contracts.add(item.model)
            else:
                reads.blobs.add((item.model, item.file_id))
    return reads


def _add_write(reads: ReadSet, write: Write) -> None:
    model, resource_id = write.model, write.meta.resource_id
    reads.resources.add((model, resource_id))
    reads.contracts.add(model)
    if write.key is not None:
        reads.keys.add((model, write.key.key))
    for file_id in write.blobs:
        reads.blobs.add((model, file_id))
    if write.revision is not None:
        for claim in write.claims:
            reads.holders.add((model, claim))
        for reference in write.references:
            reads.resources.add((reference.model, reference.resource_id))
    if write.kind in REMOVING_KINDS:
        reads.referrers.add((model, resource_id))
