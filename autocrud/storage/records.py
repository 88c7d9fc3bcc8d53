"""Records: one JSON line per write, from which the metadata can be rebuilt."""

from typing import Any

from pydantic_core import from_json

from autocrud.model import ModelSpec
from autocrud.resource import CommitKind, ResourceMeta, RevisionInfo
from autocrud.storage.base import Write

# {"kind":…,"follows":…,"after":…,"meta":{…},"revision_info":{…},"data":{…}}: the data stands last, so that its bytes
# can be found by its size, and are read back as they were written.


def encode_record(write: Write, after: str | None = None) -> bytes:
    """The line of a write, without its line feed.

    Args:
        after: the place of the record that it follows, where no log orders them.
    """
    link = b"" if after is None else b'"after":"%s",' % after.encode()
    start = b'{"kind":"%s","follows":%d,%s"meta":%s' % (write.kind.encode(), write.follows, link, write.meta_json)
    if write.data is None or write.revision_json is None:
        return start + b"}"
    return b'%s,"revision_info":%s,"data":%s}' % (start, write.revision_json, write.data)


def data_span(write: Write, line_length: int) -> tuple[int, int]:
    """Where the data stands within the line: offset and length, in bytes. (0, 0) where there is none."""
    if write.data is None:
        return 0, 0
    return line_length - 1 - len(write.data), len(write.data)


def decode_record(spec: ModelSpec[Any], line: bytes) -> Write:
    """Read a line back as the write that it was.

    Raises:
        ValueError: it is not a record.
    """
    record = from_json(line)
    meta = ResourceMeta.model_validate(record["meta"])
    kind = CommitKind(record["kind"])
    if "revision_info" not in record:
        return Write(kind, record["follows"], meta)
    revision = RevisionInfo.model_validate(record["revision_info"])
    data = line[len(line) - 1 - revision.size : -1]
    return Write(kind, record["follows"], meta, spec.index_values(data), revision, data)
