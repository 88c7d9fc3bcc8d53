"""Sample writes and entries for the tests of the commit log."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus, timestamp
from autocrud.storage.commit_log.records.entry import Entry, build_entry, encode_lines
from autocrud.storage.commit_log.records.header import EMPTY_TAIL, Tail
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Item, Write

STORE = "5" * 32
STORE_JSON = b'{"id":"%s","format":1,"created_time":"2026-11-30T12:00:00Z"}' % STORE.encode()
WRITER = "7" * 32
TIME = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
NOW = timestamp(TIME)


def meta_of(resource_id: str = "ada", version: int = 1) -> ResourceMeta:
    """Return the metadata of a live resource."""
    return ResourceMeta(
        resource_id=resource_id,
        version=version,
        current_revision_id=f"{resource_id}:{version}",
        total_revision_count=version,
        is_deleted=False,
        created_time=TIME,
        updated_time=TIME,
        created_by="me",
        updated_by=None,
        schema_version=1,
        status=RevisionStatus.stable,
    )


def create_of(data: bytes = b'{"name":"Ada"}', resource_id: str = "ada") -> Write:
    """Return a create with this data."""
    revision = RevisionInfo(
        revision_id=f"{resource_id}:1",
        parent_revision_id=None,
        created_time=TIME,
        created_by="me",
        schema_version=1,
        status=RevisionStatus.draft,
        data_hash=f"sha256:{sha256(data).hexdigest()}",
        size=len(data),
    )
    return Write(CommitKind.create, 0, meta_of(resource_id), revision=revision, data=data, model="person")


def change_of(kind: CommitKind, resource_id: str = "ada") -> Write:
    """Return a write without data."""
    return Write(kind, 1, meta_of(resource_id, 2), model="person")


def entry_of(items: Sequence[Item], after: Tail = EMPTY_TAIL, erases: Sequence[Sequence[Position]] = ()) -> Entry:
    """Return the entry of a batch, as the object of its sequence number."""
    entry = build_entry(encode_lines(items, erases), after, now=NOW, store=STORE, writer=WRITER)
    return entry.place(f"object {entry.sequence}", entry.sequence, 0)


def blank(content: bytes, locator: str) -> bytes:
    """Return the content with the bytes of a locator overwritten by blanks."""
    _, offset, length = map(int, locator.split(":"))
    return content[:offset] + b" " * length + content[offset + length :]
