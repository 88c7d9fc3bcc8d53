"""Random batches: symbolic operations, made to fit the state that they meet, with faults planted on purpose."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import strategies as st

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus, timestamp
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.contracts import Contract, Rule
from autocrud.storage.ports.transactions import Dependent, TransactionItem, VersionCheck
from autocrud.storage.ports.types import Blob, RequestKey, Write
from tests.unit.storage.decision.naive_store import NaiveStore

_START = datetime(2026, 1, 1, tzinfo=UTC)
_STABLE = RevisionStatus.stable
_REVISION = RevisionInfo(
    revision_id="r:1", parent_revision_id=None, created_time=_START, created_by=None, schema_version=1,
    status=_STABLE, data_hash="sha256:0", size=1,
)  # fmt: skip
_MODELS, _IDS = ("m", "n"), ("a", "b", "c")
_CLAIMS = [Claim("code", "1"), Claim("code", "2"), Claim("shelf,place", "1")]
_CHANGES = ("update", "update", "modify", "switch", "delete", "delete", "purge", "purge", "prune")
_DELETED_CHANGES = ("restore", "restore", "restore", "purge", "prune")

_RULES = (Rule("unique", ("code",)), Rule("reference", ("strict",), "restrict", True))

_FIELDS = [  # field, action, and if a new reference needs a target
    ("strict", "restrict", True),
    ("loose", "restrict", False),
    ("parent", "cascade", True),
    ("group", "cascade", False),
    ("tags", "set_null", True),
    ("note", "dangling", True),
    ("hint", "dangling", True),
]
_NOTE, _HINT = (StoredReference(field, "n", "c", "dangling") for field in ("note", "hint"))
# References that many writes have: updates keep, move or copy them, and a resource that is created again has them, too.
# Some make a chain of cascades.
_USUAL_REFERENCES = (
    (_NOTE,),
    (_NOTE,),
    (_HINT,),
    (_NOTE, _HINT),
    (_NOTE, _HINT),
    (StoredReference("parent", "n", "a", "cascade"),),
    (StoredReference("parent", "n", "b", "cascade"),),
)


@dataclass(frozen=True)
class Operation:
    """An operation on one resource, without its version: that depends on the state that the operation meets.

    Attributes:
        choice: selects the kind among the kinds that fit the resource.
        fault: "" in most operations; "stale", "absent" or "reborn" for a version that does not fit.
    """

    action: str
    model: str
    resource_id: str
    choice: int
    fault: str
    claims: tuple[Claim, ...]
    references: tuple[StoredReference, ...]
    key: tuple[str, int] | None
    blobs: tuple[str, ...]
    has_task: bool
    time: int
    rules: tuple[Rule, ...] = _RULES

    def item(self, store: NaiveStore) -> TransactionItem:
        """Return the item for a store in this state."""
        if self.action == "blob":
            file_id = self.resource_id
            return Blob(file_id, 1, f"blobs/{file_id}", timestamp(_START), self.model)
        if self.action == "dependent":
            return Dependent(self.model, self.resource_id)
        if self.action == "contract":
            contract = store.contracts.get(self.model)
            number = (0 if contract is None else contract.number) + (self.choice % 3 if self.fault else 1)
            return Contract(self.model, number, 1, frozenset(self.rules))
        stored = store.resources.get((self.model, self.resource_id))
        version, created_time = (0, "") if stored is None else (stored.version, stored.created_time)
        if self.fault == "stale":
            version += 1 if self.choice % 2 or version == 0 else -1
        elif self.fault == "absent":
            version, created_time = 0, ""
        elif self.fault == "reborn" and version:
            created_time = timestamp(_START + timedelta(days=1))
        if self.action == "check":
            return VersionCheck(self.model, self.resource_id, version, created_time)
        return self._write(version, created_time, stored is not None and stored.is_deleted)

    def _write(self, version: int, created_time: str, is_deleted: bool) -> Write:
        time = _START + timedelta(hours=self.time)
        kinds = ("create",) if version == 0 else _DELETED_CHANGES if is_deleted else _CHANGES
        kind = CommitKind(kinds[self.choice % len(kinds)])
        meta = ResourceMeta(
            resource_id=self.resource_id, version=version + 1, current_revision_id=f"{self.resource_id}:1",
            total_revision_count=1, is_deleted=kind in ("delete", "purge") or (kind == "prune" and is_deleted),
            created_time=datetime.fromisoformat(created_time) if created_time else time, updated_time=time,
            created_by=None, updated_by=None, schema_version=1, status=_STABLE,
        )  # fmt: skip
        write = Write(kind, version, meta, model=self.model, blobs=self.blobs, rules=frozenset(self.rules))
        if kind in ("create", "update", "modify", "switch"):
            write.revision, write.data = _REVISION, b"{}"
            write.claims, write.references = self.claims, self.references
        if self.key is not None and kind == "create":
            write.key = RequestKey(
                self.key[0], f"print {self.choice}", timestamp(_START + timedelta(hours=self.key[1]))
            )
        write.has_task = self.has_task and kind in ("delete", "purge")
        return write


Batch = list[list[Operation]]


def _operation(seed: int) -> Operation:
    """Return the operation of a number: one draw for each is a tenth of the time that a strategy of its parts takes."""
    chance = Random(seed)
    claims = {claim.unique_set: claim for claim in chance.sample(_CLAIMS, chance.randrange(3))}
    references = [
        StoredReference(field, chance.choice(_MODELS), chance.choice(_IDS), on_delete, must_exist)
        for field, on_delete, must_exist in chance.sample(_FIELDS, chance.choice((0, 0, 1, 1, 2)))
    ]
    if chance.random() < 0.35:
        references = list(chance.choice(_USUAL_REFERENCES))
    operation = Operation(
        action=chance.choice(["write"] * 9 + ["check", "blob", "dependent"]),
        model=chance.choice(_MODELS),
        resource_id=chance.choice(_IDS),
        choice=chance.randrange(40),
        fault=chance.choice([""] * 12 + ["stale", "absent", "reborn"]),
        claims=tuple(claims.values()),
        references=tuple(references),
        key=(chance.choice("kl"), chance.randrange(5)) if chance.random() < 0.3 else None,
        blobs=(chance.choice(_IDS),) if chance.random() < 0.15 else (),
        has_task=chance.random() < 0.25,
        time=chance.randrange(5),
    )
    if chance.random() < 0.03:  # a contract; few, because it refuses the writes of processes without its rules
        operation = replace(operation, action="contract")
    rules = _RULES if chance.random() < 0.95 else tuple(chance.sample(_RULES, chance.randrange(2)))
    return replace(operation, rules=rules)


def _group(seeds: list[int]) -> list[Operation]:
    """Return the operations of a transaction. An operation often concerns the resource of the one before it."""
    group: list[Operation] = []
    for seed in seeds:
        operation = _operation(seed)
        if group and seed % 2 == 0:
            operation = replace(operation, model=group[-1].model, resource_id=group[-1].resource_id)
        group.append(operation)
    return group


def random_batches(seed: int) -> list[Batch]:
    """Return the batches of a number."""
    chance = Random(seed)

    def group() -> list[Operation]:
        return _group([chance.randrange(2**32) for _ in range(chance.randint(1, 4))])

    return [[group() for _ in range(chance.randint(1, 8))] for _ in range(chance.randint(2, 6))]


_groups = st.lists(st.integers(0, 2**32), min_size=1, max_size=4).map(_group)
batches: st.SearchStrategy[Batch] = st.lists(_groups, min_size=1, max_size=8)
