"""Lines of a log: one JSON object per write, blob or contract, in two parts that are erased separately.

The metadata part comes first, and the data part last. Each part begins with a random salt, so that no hash of a part
tells its content. Erased parts are blank. Examples, with a line break between the parts:

    {"salt":"…","model":"person","kind":"create","follows":0,"meta":{…},"revision_info":{…}
    ,"data_salt":"…","data_hash":"sha256:…","data":{…}}
    {"salt":"…","model":"person","kind":"blob","blob":{…}}
    {"salt":"…","model":"person","kind":"contract","contract":{…}}
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo, RevisionStatus
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.transactions import Position
from autocrud.storage.ports.types import Blob, Item, RequestKey, Write

SALT_DIGITS = 32  # 16 bytes, hexadecimal
_BLOB = "blob"
_CONTRACT = "contract"
_DATA_HASH_OFFSET = len(b',"data_salt":"","data_hash":"') + SALT_DIGITS
_DATA_KEY = b'","data":'
_KINDS = {kind.value: kind for kind in CommitKind}
_STATUSES = {status.value: status for status in RevisionStatus}


class Record(NamedTuple):
    """A decoded line.

    Attributes:
        item: None if the line was purged. A write has no index values, because the line has none. A revision without a
            data part has the data hash "".
        erases: positions that the write erases.
    """

    item: Item | None
    erases: tuple[Position, ...] = ()


PURGED = Record(None)


def encode_line(item: Item, erases: Sequence[Position], salt: str, data_salt: str) -> tuple[bytes, bytes]:
    """Return the metadata part and the data part of a line. The data part is empty without a revision."""
    if isinstance(item, Blob):
        return _encode_blob(item, salt), b""
    if isinstance(item, Contract):
        return _encode_contract(item, salt), b""
    start = b'{"salt":"%s","model":%s,"kind":"%s","follows":%d,%s"meta":%s' % (
        salt.encode(), _quote(item.model), item.kind.encode(), item.follows, _optional_fields(item, erases),
        item.meta_json,
    )  # fmt: skip
    if item.revision_json is None:
        return start + b"}", b""
    # The names and the order are those of `RevisionInfo.to_json`.
    start_json, _, end_json = item.revision_json.rpartition(b'"data_hash":"')
    data_hash, _, size = end_json.rpartition(b'","size":')
    metadata = b'%s,"revision_info":%s"size":%s' % (start, start_json, size)
    if item.data is None and not data_hash:
        return metadata + b"}", b""
    data = b"" if item.data is None else b'"data":%s' % item.data
    separator = b"," if data else b""
    return metadata, b',"data_salt":"%s","data_hash":"%s"%s%s}' % (data_salt.encode(), data_hash, separator, data)


def decode_line(metadata: bytes, data: bytes | None) -> Record:
    """Return the record of a line.

    Args:
        metadata: verified metadata part.
        data: verified data part; b"" if the line has none, None if it was erased.

    Raises:
        ValueError, LookupError, TypeError: the line is not a record.
    """
    fields = from_json(metadata if data == b"" else metadata + b"}")
    if fields["kind"] == _BLOB:
        return Record(Blob(**fields["blob"], model=fields["model"]))
    if fields["kind"] == _CONTRACT:
        return Record(Contract.from_fields(fields["model"], fields["contract"]))
    revision, content = None, None
    if "revision_info" in fields:
        data_hash, content = _split_data(data or b"", fields["revision_info"]["size"])
        revision = _decode_revision(fields["revision_info"], data_hash)
    key = fields.get("key")
    write = Write(
        _KINDS[fields["kind"]],
        fields["follows"],
        _decode_meta(fields["meta"]),
        (),
        revision,
        content,
        fields.get("prunes", 0),
        None if key is None else RequestKey(**key),
        # Pruned data gave up its blobs.
        () if data is None else tuple(fields.get("blobs", ())),
        fields.get("on_delete", False),
        fields["model"],
        tuple(Claim(*claim) for claim in fields.get("claims", ())),
        tuple(StoredReference(*reference) for reference in fields.get("references", ())),
        fields.get("request"),
    )
    return Record(write, tuple(Position(*position) for position in fields.get("erases", ())))


def data_length(item: Item) -> int:
    """Return the number of bytes of the data, which stand before the last byte of the line."""
    return len(item.data) if isinstance(item, Write) and item.data is not None else 0


def _encode_blob(blob: Blob, salt: str) -> bytes:
    fields = {"file_id": blob.file_id, "size": blob.size, "key": blob.key, "created_time": blob.created_time}
    return b'{"salt":"%s","model":%s,"kind":"%s","blob":%s}' % (
        salt.encode(), _quote(blob.model), _BLOB.encode(), to_json(fields),
    )  # fmt: skip


def _encode_contract(contract: Contract, salt: str) -> bytes:
    return b'{"salt":"%s","model":%s,"kind":"%s","contract":%s}' % (
        salt.encode(), _quote(contract.model), _CONTRACT.encode(), contract.to_json(),
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _quote(text: str) -> bytes:
    return to_json(text)


def _optional_fields(write: Write, erases: Sequence[Position]) -> bytes:
    """Return the fields that few writes have, each followed by a comma."""
    found: dict[str, Any] = {}
    if write.request is not None:
        found["request"] = write.request
    if write.claims:
        found["claims"] = write.claims
    if write.references:
        found["references"] = write.references
    if write.blobs:
        found["blobs"] = write.blobs
    if write.key is not None:
        found["key"] = write.key
    if write.prunes:
        found["prunes"] = write.prunes
    if write.has_task:
        found["on_delete"] = True
    if erases:
        found["erases"] = erases
    return to_json(found)[1:-1] + b"," if found else b""


def _split_data(part: bytes, size: int) -> tuple[str, bytes | None]:
    """Return the data hash and the data of a data part."""
    if not part:
        return "", None
    start = len(part) - 1 - size
    if part[start - len(_DATA_KEY) : start] == _DATA_KEY:
        return part[_DATA_HASH_OFFSET : start - len(_DATA_KEY)].decode(), part[start:-1]
    return part[_DATA_HASH_OFFSET:-2].decode(), None


@lru_cache(maxsize=256)
def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _decode_meta(fields: dict[str, Any]) -> ResourceMeta:
    return ResourceMeta.trusted(
        resource_id=fields["resource_id"],
        version=fields["version"],
        current_revision_id=fields["current_revision_id"],
        total_revision_count=fields["total_revision_count"],
        is_deleted=fields["is_deleted"],
        created_time=_parse_time(fields["created_time"]),
        updated_time=_parse_time(fields["updated_time"]),
        created_by=fields["created_by"],
        updated_by=fields["updated_by"],
        schema_version=fields["schema_version"],
        status=_STATUSES[fields["status"]],
    )


def _decode_revision(fields: dict[str, Any], data_hash: str) -> RevisionInfo:
    return RevisionInfo.trusted(
        revision_id=fields["revision_id"],
        parent_revision_id=fields["parent_revision_id"],
        created_time=_parse_time(fields["created_time"]),
        created_by=fields["created_by"],
        schema_version=fields["schema_version"],
        status=_STATUSES[fields["status"]],
        data_hash=data_hash,
        size=fields["size"],
    )
