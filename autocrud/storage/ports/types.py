"""Types of the arguments and results of the storage ports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from autocrud.errors import Aborted, AutoCRUDError, FieldError, InvalidData
from autocrud.query.conditions import Position
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus, timestamp, version_tag
from autocrud.schema.column_types import IndexValue
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.contracts import NO_RULES, Contract, Rule


@dataclass(frozen=True, slots=True)
class RequestKey:
    """An idempotency key, stored in the transaction of the write, so that a repeated request creates nothing.

    Attributes:
        key: unique among the unexpired keys of the model.
        fingerprint: hash of the request, to recognize a different request with the same key.
        expires: time in the format of `timestamp`.
    """

    key: str
    fingerprint: str
    expires: str


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of any size; resources refer to a blob by its SHA-256.

    Attributes:
        file_id: SHA-256 of the bytes, hexadecimal.
        size: number of bytes.
        key: key of the object with the bytes, among the blobs of the model; never used again for another blob.
        created_time: time of the first upload, in the format of `timestamp`.
        model: folder of the model that the blob is registered for. It does not count in comparisons.
    """

    file_id: str
    size: int
    key: str
    created_time: str
    model: str = field(default="", compare=False)


@dataclass(slots=True)
class Write:
    """A change of one resource: version read, metadata after the write, and an optional revision.

    Attributes:
        follows: version read by the writer; 0 if the resource must not exist.
        meta: metadata after the write, with `version == follows + 1`.
        index: values of the index columns after the write, in the order of the model's index fields.
        revision, data: new current revision and its stored JSON; None if the data does not change. A replayed
            or imported revision may have no data, because its data was pruned.
        prunes: number up to which revisions lose their data, except the current one.
        key: idempotency key of the request.
        blobs: `file_id` of each blob in the data. For a purge: blobs to keep, because a later write of the
            same group refers to them.
        has_task: True if the write creates an on-delete task for the referrers of the resource.
        model: folder of the model. The storage that commits the write sets it, and the claims.
        claims, references: those of the data; without meaning if the write has no revision, because the claims and
            references of the resource then stay.
        request: id of the request or transaction that the write belongs to.
        rules: rules of the model that the writer knows. They are not stored.
    """

    kind: CommitKind
    follows: int
    meta: ResourceMeta
    index: tuple[IndexValue, ...] = ()
    revision: RevisionInfo | None = None
    data: bytes | None = None
    prunes: int = 0
    key: RequestKey | None = None
    blobs: tuple[str, ...] = ()
    has_task: bool = False
    model: str = ""
    claims: tuple[Claim, ...] = ()
    references: tuple[StoredReference, ...] = ()
    request: str | None = None
    rules: frozenset[Rule] = NO_RULES
    meta_json: bytes = field(init=False)
    revision_json: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.meta_json = self.meta.to_json()
        self.revision_json = None if self.revision is None else self.revision.to_json()


@dataclass(slots=True)
class Head:
    """The current state of a resource: metadata, current revision and data, each as stored JSON.

    Attributes:
        data: None in the answer of a metadata store if the data must be read from `locator`. A storage hands out the
            data in the model's schema version.
        locator: address of the data. "" if `data` is None because the data was pruned (past states only).
        stored: data of another schema version, as it is stored.
        fault: reason why the data cannot be read: a step fails, or the model does not accept the data. `data` is then
            None, or data of the model's version that the model does not accept.
    """

    resource_id: str
    version: int
    is_deleted: bool
    created_time: str
    meta: bytes
    revision_info: bytes
    data: bytes | None
    locator: str
    stored: bytes | None = None
    fault: AutoCRUDError | None = None

    @property
    def tag(self) -> str:
        """Entity tag of the version; see `version_tag`."""
        return version_tag(self.version, self.created_time)


class PartialHead(Head):
    """A head whose data lacks fields that the reader may not see."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """An entry in the history of a resource.

    Attributes:
        locator: address of the commit's data; None if the commit has no data of its own, or the data was pruned.
    """

    resource_id: str
    version: int
    kind: CommitKind
    time: datetime
    by: str | None
    revision_id: str
    parent_revision_id: str | None
    status: RevisionStatus
    is_deleted: bool
    schema_version: int
    data_hash: str | None
    size: int | None
    locator: str | None
    total_revision_count: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision as it was last written, or as of a given version of its resource.

    Attributes:
        version: version of the creating commit.
        data_version: version of the last commit that wrote the revision's data.
        locator: address of the data.
    """

    info: RevisionInfo
    version: int
    data_version: int
    locator: str

    @property
    def revision_id(self) -> str:
        """Id of the resource and number of the revision."""
        return self.info.revision_id

    @property
    def resource_id(self) -> str:
        """Id of the resource."""
        return self.revision_id.rpartition(":")[0]


class Repeated(AutoCRUDError):
    """A write with the same request key was committed before."""

    def __init__(self, resource_id: str, fingerprint: str) -> None:
        super().__init__(f"{resource_id!r} was made by a request of the same key.")
        self.resource_id = resource_id
        self.fingerprint = fingerprint


class ContractExists(AutoCRUDError):
    """The store has another contract of the model than the one that a new contract follows.

    Attributes:
        stored: contract in the store; None if the model has none.
    """

    def __init__(self, model: str, stored: Contract | None) -> None:
        super().__init__(f"The contract of {model!r} has changed.")
        self.stored = stored


class UnknownBlob(InvalidData):
    """A write refers to an unregistered blob."""

    def __init__(self, file_id: str) -> None:
        super().__init__(f"There is no blob {file_id}.", [FieldError("file_id", f"{file_id} is not known")])
        self.file_id = file_id


def commit_of(write: Write, locator: str | None) -> Commit:
    """Return the history entry of a write with the locator of its data."""
    meta, revision = write.meta, write.revision
    return Commit(
        resource_id=meta.resource_id,
        version=meta.version,
        kind=write.kind,
        time=meta.updated_time,
        by=meta.updated_by,
        revision_id=meta.current_revision_id,
        parent_revision_id=None if revision is None else revision.parent_revision_id,
        status=meta.status,
        is_deleted=meta.is_deleted,
        schema_version=meta.schema_version,
        data_hash=None if revision is None else revision.data_hash,
        size=None if revision is None else revision.size,
        locator=locator,
        total_revision_count=meta.total_revision_count,
    )


@dataclass(frozen=True, slots=True, order=True)
class OnDeleteTask:
    """Durable note of a delete or purge: the referrers are still to be handled.

    Attributes:
        time: time of the delete, in the format of `timestamp`.
        by: user who deleted the resource.
    """

    resource_id: str
    time: str
    by: str | None = field(default=None, compare=False)


def on_delete_task_of(write: Write) -> OnDeleteTask:
    """Return the on-delete task of a delete or purge."""
    return OnDeleteTask(write.meta.resource_id, timestamp(write.meta.updated_time), write.meta.updated_by)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of heads.

    Attributes:
        next: position after which the next page begins; None on the last page.
    """

    items: list[Head]
    next: Position | None


@dataclass(frozen=True, slots=True)
class RevisionSpan:
    """Selection of revisions of one resource.

    Args:
        before: only revisions created by commits below this version.
        since, until: only revisions created within the times, both inclusive.
        limit: most revisions to return.
    """

    before: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class CommitEntry:
    """A commit, with the time and author of the creation of its resource."""

    commit: Commit
    created_time: datetime
    created_by: str | None


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """Progress of the backfill of a model's index columns.

    Attributes:
        done: number of resources read for the slowest column, of `total`.
        failed: reason for each index field that cannot be filled, by its name.
    """

    done: int
    total: int
    failed: Mapping[str, str]


ScanItem = Head | CommitEntry
Item = Write | Blob | Contract
Outcome = AutoCRUDError | None


def abort_unless_all_accepted(outcomes: list[Outcome]) -> list[Outcome]:
    """Return the outcomes of an atomic group: if one item was refused, the outcome of the others is `Aborted`."""
    if all(refused is None for refused in outcomes):
        return outcomes
    return [refused or Aborted() for refused in outcomes]
