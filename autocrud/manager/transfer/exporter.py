"""Exporter: writes one model's resources as NDJSON, as of one moment, in constant memory."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import DataCorrupted, NewerSchema, RevisionNotFound, Unreadable
from autocrud.manager.transfer.exported_versions import exported_parts, upgraded_revision
from autocrud.query.conditions import Query
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.schema.binary import blob_file_ids
from autocrud.storage.ports.objects import ObjectMissing
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Blob, Commit, CommitEntry, Head
from autocrud.storage.ports.uploaded_types import UploadedTypes

_PIECE_BYTES = 1024 * 1024  # of a blob, per line
_CHUNK_BYTES = 64 * 1024  # of lines that are sent together
_READ_AHEAD, _READ_AHEAD_BYTES = 64, 1024 * 1024  # commits whose data is read at once
# Bounds the memory for hashes of sent blobs. An older blob may be sent twice, which an import accepts.
_MAX_SENT_BLOBS = 50_000

_Line = tuple[bytes, bytes | None]  # the line, and the data in it


class Exporter:
    """Writes the lines of one export.

    Args:
        history: write every commit of a resource instead of its current state.
        blobs: write the bytes of referred blobs, too.
        raw: write data as it is stored, in the schema version that it was written with. Otherwise data is upgraded;
            data that cannot be upgraded is written as it is stored.
        version: schema version of the model.
    """

    def __init__(self, storage: IStorage, *, history: bool, blobs: bool, raw: bool, version: int) -> None:
        self._storage = storage
        self._history = history
        self._blobs = blobs
        self._raw = raw
        self._version = version
        self._sent: dict[bytes, None] = {}
        self._resource_id = ""
        # Creation time and author of each revision of the current resource: later commits repeat them.
        self._revision_origins: dict[str, tuple[datetime, str | None]] = {}
        # Schema version of each revision of the current resource, as exported.
        self._revision_versions: dict[str, int] = {}
        self._resources = self._lines = 0

    async def export(self, query: Query) -> AsyncIterator[bytes]:
        """Yield chunks of lines. The last line says `"end":true`; a file without it is incomplete."""
        lines: Any = self._history_lines(query) if self._history else self._state_lines(query)
        buffer: list[bytes] = []
        size = 0
        async with aclosing(lines):
            async for line, data in lines:
                if self._blobs and data is not None:
                    async for piece in self._blob_lines(data):
                        yield b"".join((*buffer, piece))
                        buffer, size = [], 0
                buffer.append(line)
                size += len(line)
                self._lines += 1
                if size >= _CHUNK_BYTES:
                    yield b"".join(buffer)
                    buffer, size = [], 0
        yield b'%s{"end":true,"resources":%d,"lines":%d}\n' % (b"".join(buffer), self._resources, self._lines)

    async def _state_lines(self, query: Query) -> AsyncIterator[_Line]:
        scan: Any = self._storage.snapshot_scan(query)
        async with aclosing(scan):
            async for head in scan:
                yield self._state_line(head)

    async def _history_lines(self, query: Query) -> AsyncIterator[_Line]:
        """Yield a line per commit. The data of several small commits is read at once."""
        scan: Any = self._storage.snapshot_scan(query, history=True)
        entries: list[CommitEntry] = []
        size = 0
        async with aclosing(scan):
            async for entry in scan:
                entries.append(entry)
                size += entry.commit.size or 0
                if len(entries) < _READ_AHEAD and size < _READ_AHEAD_BYTES:
                    continue
                for line in await self._commit_lines(entries):
                    yield line
                entries, size = [], 0
            for line in await self._commit_lines(entries):
                yield line

    async def _commit_lines(self, entries: Sequence[CommitEntry]) -> list[_Line]:
        contents = await asyncio.gather(*(self._read_data(entry.commit) for entry in entries))
        return [self._commit_line(entry, *content) for entry, content in zip(entries, contents, strict=True)]

    def _state_line(self, head: Head) -> _Line:
        self._resources += 1
        meta, revision_info, data = head.meta, head.revision_info, head.stored or head.data
        if not self._raw:
            meta, revision_info, data = exported_parts(head, self._version)
        # Data that cannot be read, of which a part is hidden from the principal, is not written.
        return b'{"meta":%s,"revision_info":%s,"data":%s}\n' % (meta, revision_info, data or b"null"), data

    def _commit_line(self, entry: CommitEntry, data: bytes | None, version: int) -> _Line:
        commit = entry.commit
        if commit.resource_id != self._resource_id:
            self._resource_id, self._revision_origins, self._revision_versions = commit.resource_id, {}, {}
            self._resources += 1
        if commit.data_hash is None:
            # A commit without data leaves the revision as it was exported.
            version = self._revision_versions.get(commit.revision_id, commit.schema_version)
            return b'{"kind":"%s","meta":%s}\n' % (commit.kind.encode(), _meta(entry, version)), None
        self._revision_versions[commit.revision_id] = version
        start = b'{"kind":"%s","meta":%s' % (commit.kind.encode(), _meta(entry, version))
        revision = self._revision(commit, commit.data_hash)
        if data is None:
            return b'%s,"revision_info":%s}\n' % (start, _json(revision)), None
        if version != commit.schema_version:
            revision = upgraded_revision(revision, data, version)
        return b'%s,"revision_info":%s,"data":%s}\n' % (start, _json(revision), data), data

    def _revision(self, commit: Commit, data_hash: str) -> RevisionInfo:
        time, by = self._revision_origins.setdefault(commit.revision_id, (commit.time, commit.by))
        return RevisionInfo(
            revision_id=commit.revision_id,
            parent_revision_id=commit.parent_revision_id,
            created_time=time,
            created_by=by,
            schema_version=commit.schema_version,
            status=commit.status,
            data_hash=data_hash,
            size=commit.size or 0,
        )

    async def _read_data(self, commit: Commit) -> tuple[bytes | None, int]:
        """Return the data that a commit wrote, or None if the data was pruned or purged, and its schema version."""
        try:
            data = None if commit.locator is None else await self._storage.data(commit)
        except RevisionNotFound:
            data = None
        if data is None or self._raw:
            return data, commit.schema_version
        try:
            upgraded = await self._storage.versions.data(data, commit.schema_version, commit.revision_id)
        except (Unreadable, NewerSchema):
            return data, commit.schema_version
        return upgraded, self._version

    async def _blob_lines(self, data: bytes) -> AsyncIterator[bytes]:
        """Yield lines for the blobs that the data refers to, except blobs that were sent already."""
        for file_id in blob_file_ids(from_json(data)):
            key = bytes.fromhex(file_id)
            if key in self._sent:
                continue
            blob = await self._storage.blobs.find(file_id)
            if blob is None:
                continue  # purged meanwhile, or a text that looks like a blob reference
            self._sent[key] = None
            if len(self._sent) > _MAX_SENT_BLOBS:
                del self._sent[next(iter(self._sent))]
            try:
                types = await self._storage.blobs.types_of(blob)
                async for line in _pieces(blob, types, self._storage.blobs.stream(blob)):
                    self._lines += 1
                    yield line
            except ObjectMissing as error:
                if await self._storage.blobs.find(file_id) == blob:
                    raise DataCorrupted(f"The object {blob.key} of the blob {file_id} is missing.") from error


async def _pieces(blob: Blob, types: UploadedTypes, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the bytes of a blob as lines, at least one. The types are left out if they are not all known."""
    header: dict[str, Any] = {"file_id": blob.file_id, "size": blob.size}
    if types.is_complete:
        header["types"] = [{"content_type": item.content_type, "filename": item.filename} for item in types.types]
    start = b'{"blob":%s,"offset":' % to_json(header)
    offset, buffer = 0, b""
    async for piece in stream:
        buffer += piece
        while len(buffer) > _PIECE_BYTES:
            yield b'%s%d,"data":"%s"}\n' % (start, offset, b64encode(buffer[:_PIECE_BYTES]))
            offset, buffer = offset + _PIECE_BYTES, buffer[_PIECE_BYTES:]
    yield b'%s%d,"data":"%s"}\n' % (start, offset, b64encode(buffer))


def _meta(entry: CommitEntry, version: int) -> bytes:
    """Return the metadata that a commit left, as JSON, with the schema version of the exported data."""
    commit = entry.commit
    return _json(
        ResourceMeta(
            resource_id=commit.resource_id,
            version=commit.version,
            current_revision_id=commit.revision_id,
            total_revision_count=commit.total_revision_count,
            is_deleted=commit.is_deleted,
            created_time=entry.created_time,
            updated_time=commit.time,
            created_by=entry.created_by,
            updated_by=commit.by,
            schema_version=version,
            status=commit.status,
        )
    )


def _json(model: Any) -> bytes:
    content: bytes = model.__pydantic_serializer__.to_json(model)
    return content
