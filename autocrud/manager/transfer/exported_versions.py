"""Schema versions of exports: metadata of a resource whose data was upgraded for the export."""

import re
from hashlib import sha256

from autocrud.resource import RevisionInfo
from autocrud.storage.ports.types import Head

# In JSON text a quote is escaped, so this stands in metadata only as the name of the member.
_VERSION = re.compile(rb'"schema_version":\d+')


def set_version(meta: bytes, version: int) -> bytes:
    """Return metadata, as JSON, with another schema version."""
    return _VERSION.sub(b'"schema_version":%d' % version, meta, count=1)


def upgraded_revision(revision: RevisionInfo, data: bytes, version: int) -> RevisionInfo:
    """Return the information about a revision with upgraded data."""
    data_hash = f"sha256:{sha256(data).hexdigest()}"
    return revision.model_copy(update={"schema_version": version, "data_hash": data_hash, "size": len(data)})


def exported_parts(head: Head, version: int) -> tuple[bytes, bytes, bytes | None]:
    """Return metadata, revision information and data of a head as an export writes them.

    Data that cannot be upgraded is exported as it is stored, with its own version.

    Args:
        version: schema version of the model.
    """
    if head.fault is not None:
        return head.meta, head.revision_info, head.stored
    if head.stored is None or head.data is None:
        return head.meta, head.revision_info, head.data
    revision = upgraded_revision(RevisionInfo.model_validate_json(head.revision_info), head.data, version)
    return set_version(head.meta, version), revision.to_json(), head.data
