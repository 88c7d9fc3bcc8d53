"""Layout of a store in an ordered map: the key of each row.

| table | parts of the key | value |
|---|---|---|
| `tail` | | sequence of the last batch, position of the last write |
| `model` | model | nothing; the model was written to |
| `form` | model | form of the model; see `model_forms` |
| `stale` | model, id | nothing; a process with another form has written the resource |
| `head` | model, id | current state of a resource, with claims, references and small data |
| `commit` | model, id, version from the newest | commit with its position and its blobs |
| `data` | sequence, ordinal, number | data of a revision in chunks |
| `change` | sequence, ordinal | change for followers of the store |
| `claim` | model, unique set, digest | id of the live holder |
| `referrer` | model and id of the target, rank, model, id, field | on-delete action of a live referrer |
| `key`, `key_of` | model, idempotency key; model, id, idempotency key | request; nothing |
| `blob`, `blob_use` | model, file_id; model, file_id, id, version | blob; nothing |
| `task` | model, id, time | author of an on-delete task |
| `contract` | model | newest contract of the model |

The tables of the object store are in `autocrud.storage.objects.ordered_map`.
"""

from zlib import crc32

from autocrud.errors import DataCorrupted
from autocrud.schema.markers import OnDelete
from autocrud.storage.decision.state import ClaimKey, NamedKey, Referrer, ResourceKey
from autocrud.storage.objects.ordered_map.chunks import CHUNK_BYTES
from autocrud.storage.objects.ordered_map.keys import key_of
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import OnDeleteTask

TAIL = key_of("tail")

# A version, or a sequence, above all that exist.
LATEST = 2**63


def model_key(model: str) -> bytes:
    """Return the key that says that a model was written to."""
    return key_of("model", model)


def form_key(model: str) -> bytes:
    """Return the key of the form of a model."""
    return key_of("form", model)


def stale_key(model: str, resource_id: str) -> bytes:
    """Return the key that says that a process with another form has written a resource."""
    return key_of("stale", model, resource_id)


def head_key(resource: ResourceKey) -> bytes:
    """Return the key of the current state of a resource."""
    return key_of("head", *resource)


def commit_key(resource: ResourceKey, version: int) -> bytes:
    """Return the key of a commit. The newest commit of a resource comes first."""
    return key_of("commit", *resource, LATEST - version)


def change_key(position: Position) -> bytes:
    """Return the key of a change."""
    return key_of("change", *position)


def claim_key(claim: ClaimKey) -> bytes:
    """Return the key of a claim."""
    return key_of("claim", claim[0], *claim[1])


def referrer_key(target: ResourceKey, referrer: Referrer) -> bytes:
    """Return the key of a referrer. Referrers with `set_null` come last."""
    rank = 1 if referrer.on_delete == OnDelete.set_null else 0
    return key_of("referrer", *target, rank, referrer.model, referrer.resource_id, referrer.field)


def request_key(key: NamedKey) -> bytes:
    """Return the key of an idempotency key."""
    return key_of("key", *key)


def blob_key(blob: NamedKey) -> bytes:
    """Return the key of a blob."""
    return key_of("blob", *blob)


def blob_use_key(blob: NamedKey, resource_id: str, version: int) -> bytes:
    """Return the key that says that a commit refers to a blob."""
    return key_of("blob_use", *blob, resource_id, version)


def task_key(model: str, task: OnDeleteTask) -> bytes:
    """Return the key of an on-delete task."""
    return key_of("task", model, task.resource_id, task.time)


def contract_key(model: str) -> bytes:
    """Return the key of the contract of a model."""
    return key_of("contract", model)


def locator_of(position: Position, data: bytes) -> str:
    """Return the locator of data: the place of its write, its size and its checksum."""
    return f"{position.sequence}.{position.ordinal}.{len(data)}.{crc32(data):08x}"


def data_keys(locator: str) -> list[bytes]:
    """Return the keys of the chunks of data."""
    sequence, ordinal, size, _ = locator.split(".")
    return [key_of("data", int(sequence), int(ordinal), number) for number in range(-(-int(size) // CHUNK_BYTES))]


def chunks_of(locator: str, data: bytes) -> dict[bytes, bytes]:
    """Return the chunks of data by their keys."""
    return {
        key: data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES] for number, key in enumerate(data_keys(locator))
    }


def check_data(locator: str, data: bytes) -> bytes:
    """Return the data of a locator.

    Raises:
        DataCorrupted: the bytes differ from the stored bytes.
    """
    _, _, size, checksum = locator.split(".")
    if len(data) != int(size) or f"{crc32(data):08x}" != checksum:
        raise DataCorrupted(f"The data at {locator} is damaged.")
    return data
