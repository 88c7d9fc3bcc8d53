"""Records: one JSON line per write, from which the metadata can be rebuilt."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.schema.column_types import IndexValue
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.ports.types import Blob, Item, RequestKey, Write

# {"kind":…,"follows":…,"after":…,"prunes":…,"key":{…},"blobs":[…],"follow_up":true,"meta":{…},"revision_info":{…},
# "data":{…}}: the data stands last, so that its bytes can be found by its size, and are read back as they were written.
# Data that was pruned is blank, and of a commit that was imported without it there is nothing but a blank. A blob's
# record is {"kind":"blob","blob":{…}}.
_BLOB = "blob"
_NO_DATA = b" }"


def encode_record(item: Item, after: str | None = None, begun: str | None = None) -> bytes:
    """The line of a write, or of a blob that is registered, without its line feed.

    Args:
        after: the place of the record that it follows, where no log orders them.
        begun: that of the first record of the resource, where this is its last.
    """
    if isinstance(item, Blob):
        return b'{"kind":"%s","blob":%s}' % (_BLOB.encode(), to_json(item))
    link = b"" if after is None else b'"after":"%s",' % after.encode()
    link += b"" if begun is None else b'"begun":"%s",' % begun.encode()
    optional = _optional_fields(item) if item.prunes or item.key or item.blobs or item.has_task else b""
    start = b'{"kind":"%s","follows":%d,%s%s"meta":%s' % (
        item.kind.encode(), item.follows, link, optional, item.meta_json,
    )  # fmt: skip
    if item.revision_json is None:
        return start + b"}"
    return b'%s,"revision_info":%s,"data":%s}' % (start, item.revision_json, item.data or b" ")


def data_span(item: Item, line_length: int) -> tuple[int, int]:
    """Return offset and length of the data within the line, in bytes; (0, 0) without data."""
    if isinstance(item, Blob) or item.data is None:
        return 0, 0
    return line_length - 1 - len(item.data), len(item.data)


def decode_record(spec: ModelSpec[Any], line: bytes, stored_index: StoredIndex) -> Item:
    """Read a line back as the write that it was; one whose data was pruned has a revision and no data.

    Args:
        stored_index: computes the index values, and collects the fields that the data does not fit.

    Raises:
        ValueError: it is not a record.
    """
    record = parse_record(line)
    if record["kind"] == _BLOB:
        return Blob(**record["blob"])
    meta = ResourceMeta.model_validate(record["meta"])
    kind = CommitKind(record["kind"])
    prunes, blobs = record.get("prunes", 0), tuple(record.get("blobs", ()))
    key = RequestKey(**record["key"]) if "key" in record else None
    if "revision_info" not in record:
        has_task = record.get("follow_up", False)
        return Write(kind, record["follows"], meta, prunes=prunes, blobs=blobs, has_task=has_task)
    revision = RevisionInfo.model_validate(record["revision_info"])
    data = line[len(line) - 1 - revision.size : -1]
    if line.endswith(_NO_DATA):
        index: tuple[IndexValue, ...] = (None,) * len(spec.index_fields)
        # Its blobs were given up with it, and those that nobody else refers to were erased before it.
        return Write(kind, record["follows"], meta, index, revision, None, prunes, key)
    index = stored_index.stored_values(meta.resource_id, data, revision.schema_version)
    return Write(kind, record["follows"], meta, index, revision, data, prunes, key, blobs)


def parse_record(line: bytes) -> Mapping[str, Any]:
    """The JSON of a record, also of one whose data was pruned.

    Raises:
        ValueError: it is not JSON.
    """
    if line.endswith(_NO_DATA):
        line = line[:-1].rstrip(b" ") + b"null}"
    record: Mapping[str, Any] = from_json(line)
    return record


def _optional_fields(write: Write) -> bytes:
    """Return the record's fields that few writes have."""
    found: dict[str, Any] = {}
    if write.prunes:
        found["prunes"] = write.prunes
    if write.key:
        found["key"] = write.key
    if write.blobs:
        found["blobs"] = write.blobs
    if write.has_task:
        found["follow_up"] = True
    return to_json(found)[1:-1] + b","
