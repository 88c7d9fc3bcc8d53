"""Records: one JSON line per write, from which the metadata can be rebuilt."""

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.schema.model_spec import ModelSpec
from autocrud.schema.versions.stored_index import StoredIndex
from autocrud.storage.ports.claims import Claim, StoredReference
from autocrud.storage.ports.types import Blob, Item, RequestKey, Write

# {"kind":…,"follows":…,"after":…,"model":…,"claims":[…],"references":[…],"request":…,"prunes":…,"key":{…},
# "blobs":[…],"follow_up":true,"meta":{…},"revision_info":{…},
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
    if item.model:
        link += b'"model":"%s",' % item.model.encode()
    has_optional = bool(item.prunes or item.key or item.blobs or item.has_task)
    has_optional = has_optional or bool(item.claims or item.references or item.request)
    optional = _optional_fields(item) if has_optional else b""
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
    item = decode_item(line)
    if isinstance(item, Write):
        set_index(spec, item, stored_index)
    return item


def set_index(spec: ModelSpec[Any], write: Write, stored_index: StoredIndex) -> None:
    """Compute the index values of a write from its data."""
    if write.revision is None:
        return
    if write.data is None:
        write.index = (None,) * len(spec.index_fields)
        return
    write.index = stored_index.stored_values(write.meta.resource_id, write.data, write.revision.schema_version)


def decode_item(line: bytes) -> Item:
    """Read a line back, without the model's code. A write has no index values.

    Raises:
        ValueError: it is not a record.
    """
    record = parse_record(line)
    if record["kind"] == _BLOB:
        return Blob(**record["blob"])
    write = Write(
        CommitKind(record["kind"]),
        record["follows"],
        ResourceMeta.model_validate(record["meta"]),
        prunes=record.get("prunes", 0),
        key=RequestKey(**record["key"]) if "key" in record else None,
        blobs=tuple(record.get("blobs", ())),
        has_task=record.get("follow_up", False),
        model=record.get("model", ""),
        claims=tuple(Claim(*claim) for claim in record.get("claims", ())),
        references=tuple(StoredReference(*reference) for reference in record.get("references", ())),
        request=record.get("request"),
    )
    if "revision_info" in record:
        revision = RevisionInfo.model_validate(record["revision_info"])
        write.revision, write.revision_json = revision, revision.to_json()
        if line.endswith(_NO_DATA):
            # Its blobs were given up with it, and those that nobody else refers to were erased before it.
            write.blobs = ()
        else:
            write.data = line[len(line) - 1 - revision.size : -1]
    return write


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
    if write.claims:
        found["claims"] = write.claims
    if write.references:
        found["references"] = write.references
    if write.request:
        found["request"] = write.request
    return to_json(found)[1:-1] + b","
