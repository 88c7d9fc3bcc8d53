"""The values that pass through the ports of storage."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from autocrud.errors import Aborted, AutoCRUDError, FieldError, InvalidData
from autocrud.query.conditions import Position
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus, timestamp, version_tag
from autocrud.schema.column_types import IndexValue


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a creation happen once: a key that the client chose, kept in the transaction of the write.

    Attributes:
        key: unique among all keys of the model that have not expired.
        fingerprint: of what was asked for, to tell another request of the same key.
        expires: as `timestamp` writes it.
    """

    key: str
    fingerprint: str
    expires: str


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes of any size that resources refer to by their SHA-256; `key` is where they stand, never used again."""

    file_id: str
    size: int
    key: str
    created_time: str


@dataclass(frozen=True, slots=True)
class Upload:
    """A blob that comes in parts.

    Attributes:
        size: of the whole, in bytes; each part but the last has `part_size`.
        key: where the whole will stand; `undertaking` names it in the object store while it is in parts.
        content_type, filename: what the reference to it will say.
        by: who began it, and alone may go on with it.
        expires: as `timestamp` writes it.
        file_id: what it became, once that is known.
    """

    upload_id: str
    size: int
    part_size: int
    key: str
    undertaking: str
    content_type: str
    filename: str | None
    by: str | None
    expires: str
    file_id: str | None = None

    @property
    def part_count(self) -> int:
        """How many parts there are."""
        return -(-self.size // self.part_size)

    def size_of(self, number: int) -> int:
        """The bytes of one part, from number 1 on."""
        return min(self.part_size, self.size - (number - 1) * self.part_size)


@dataclass(slots=True)
class Write:
    """One change of one resource: what it read, what becomes true, and what it adds.

    Attributes:
        follows: the version that the writer read; 0 says that nothing may exist under the id.
        meta: the metadata after the write, with `version == follows + 1`.
        index: the index columns' values after the write, in the order of the model's index fields.
        revision, data: a revision that becomes current and its stored JSON; None where the data stays as it is. A
            revision whose data has been pruned is met without it when records are replayed, and in imports.
        prunes: the data of all revisions up to this number, but for the current one, is given up.
        key: what a repetition of the write is known by.
        blobs: the `file_id` of each blob that the data refers to; of a purge, those that are kept for what follows it
            in the same group.
        follow_up: what refers to the resource is to follow it; until that is settled, it is pending.
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
    follow_up: bool = False
    meta_json: bytes = field(init=False)
    revision_json: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.meta_json = self.meta.to_json()
        self.revision_json = None if self.revision is None else self.revision.to_json()


@dataclass(slots=True)
class Head:
    """A resource as it stands: its metadata, its current revision and that one's data, all as stored JSON.

    `data` is None between a metadata store and the storage above it, which then reads `locator`. Where that is empty,
    too, it is a state of the past whose data has been pruned.
    """

    resource_id: str
    version: int
    is_deleted: bool
    created_time: str
    meta: bytes
    revision_info: bytes
    data: bytes | None
    locator: str

    @property
    def tag(self) -> str:
        """See `version_tag`."""
        return version_tag(self.version, self.created_time)


@dataclass(frozen=True, slots=True)
class Commit:
    """One entry of a resource's history. `locator` says where its data is, where it has any of its own."""

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
    """One revision as it was last written.

    Attributes:
        version: of the commit that made it, and `written` of the one that last wrote its data.
    """

    info: RevisionInfo
    version: int
    written: int
    locator: str

    @property
    def revision_id(self) -> str:
        """The resource's id and the revision's number."""
        return self.info.revision_id

    @property
    def resource_id(self) -> str:
        """Of which resource it is one."""
        return self.revision_id.rpartition(":")[0]


class Repeated(AutoCRUDError):
    """A write of this key has made a resource already."""

    def __init__(self, resource_id: str, fingerprint: str) -> None:
        super().__init__(f"{resource_id!r} was made by a request of the same key.")
        self.resource_id = resource_id
        self.fingerprint = fingerprint


class UnknownBlob(InvalidData):
    """A write refers to a blob that is not there, or is no longer."""

    def __init__(self, file_id: str) -> None:
        super().__init__(f"There is no blob {file_id}.", [FieldError("file_id", f"{file_id} is not known")])
        self.file_id = file_id


def commit_of(write: Write, locator: str | None) -> Commit:
    """The history's entry for a write whose data stands at the locator."""
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
    """A delete or a purge that others are to follow: of which resource, when, and by whom."""

    resource_id: str
    time: str
    by: str | None = field(default=None, compare=False)


def on_delete_task_of(write: Write) -> OnDeleteTask:
    """What is pending once this write is committed."""
    return OnDeleteTask(write.meta.resource_id, timestamp(write.meta.updated_time), write.meta.updated_by)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of heads. `next` is where the following page begins; None on the last one."""

    items: list[Head]
    next: Position | None


@dataclass(frozen=True, slots=True)
class RevisionSpan:
    """A part of a resource's revisions.

    Args:
        before: those made by commits below this version.
        since, until: those made within this time, both ends included.
    """

    before: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class CommitEntry:
    """A commit among those of its resource, with what all of these have in common."""

    commit: Commit
    created_time: datetime
    created_by: str | None


ScanItem = Head | CommitEntry
Item = Write | Blob
Outcome = AutoCRUDError | None


@dataclass(frozen=True, slots=True)
class WriteGroup:
    """Items that are committed together; where it is atomic, all of them or none."""

    items: Sequence[Item]
    atomic: bool = False


def all_or_none(outcomes: list[Outcome]) -> list[Outcome]:
    """The outcomes of an atomic group: where one was refused, the others are aborted."""
    if all(refused is None for refused in outcomes):
        return outcomes
    return [refused or Aborted() for refused in outcomes]
