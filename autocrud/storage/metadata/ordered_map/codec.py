"""Codec: values of a store in an ordered map, as JSON."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from autocrud.storage.decision.state import ResourceState, StoredKey
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.transactions import START, Position, StoreChange
from autocrud.storage.ports.types import Blob, Commit, Head


class Tail(NamedTuple):
    """End of the commit order.

    Attributes:
        sequence: number of the last batch.
        last: position of the last write.
    """

    sequence: int = 0
    last: Position = START


class StoredHead(NamedTuple):
    """Current state of a resource.

    Attributes:
        head: data is None if the data must be read from the locator.
        state: state for decisions.
        sequence: number of the batch that wrote the state.
    """

    head: Head
    state: ResourceState
    sequence: int


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """A commit with its place in the commit order, and the blobs in its data."""

    commit: Commit
    position: Position
    blobs: tuple[str, ...] = ()

    def without_data(self) -> "StoredCommit":
        """Return the commit after its data was pruned."""
        return StoredCommit(replace(self.commit, locator=None, data_hash=""), self.position)


_TAIL = TypeAdapter(Tail)
_COMMIT = TypeAdapter(StoredCommit)
_KEY = TypeAdapter(StoredKey)
_BLOB = TypeAdapter(Blob)
_CHANGE = TypeAdapter(StoreChange)


def encode_tail(tail: Tail) -> bytes:
    """Return the value of `TAIL`."""
    return to_json(tail)


def decode_tail(value: bytes | None) -> Tail:
    """Return the tail; the tail of an empty store if there is no value."""
    return Tail() if value is None else _TAIL.validate_json(value)


def encode_head(stored: StoredHead) -> bytes:
    """Return a head as lines: its columns, metadata, revision information, and data if the data is part of it."""
    head, state = stored.head, stored.state
    columns = (
        head.resource_id, head.version, head.is_deleted, head.created_time, head.locator, stored.sequence,
        head.data is not None, state.claims, state.references,
    )  # fmt: skip
    return b"\n".join((to_json(columns), head.meta, head.revision_info, head.data or b""))


def decode_head(value: bytes) -> StoredHead:
    """Return the head of a value."""
    columns, meta, revision_info, data = value.split(b"\n", 3)
    (resource_id, version, is_deleted, created_time, locator, sequence, has_data, claims, references) = from_json(
        columns
    )
    head = Head(
        resource_id, version, is_deleted, created_time, meta, revision_info, data if has_data else None, locator
    )
    state = ResourceState(
        version,
        created_time,
        is_deleted,
        tuple(Claim(*claim) for claim in claims),
        tuple(StoredReference(*reference) for reference in references),
    )
    return StoredHead(head, state, sequence)


def encode_commit(stored: StoredCommit) -> bytes:
    """Return the value of a commit."""
    return _COMMIT.dump_json(stored)


def decode_commit(value: bytes) -> StoredCommit:
    """Return the commit of a value."""
    return _COMMIT.validate_json(value)


def encode_key(key: StoredKey) -> bytes:
    """Return the value of an idempotency key."""
    return to_json(key)


def decode_key(value: bytes) -> StoredKey:
    """Return the idempotency key of a value."""
    return _KEY.validate_json(value)


def encode_blob(blob: Blob) -> bytes:
    """Return the value of a blob."""
    return _BLOB.dump_json(blob)


def decode_blob(value: bytes) -> Blob:
    """Return the blob of a value."""
    return _BLOB.validate_json(value)


def encode_change(change: StoreChange) -> bytes:
    """Return the value of a change."""
    return _CHANGE.dump_json(change)


def decode_change(value: bytes) -> StoreChange:
    """Return the change of a value."""
    return _CHANGE.validate_json(value)
