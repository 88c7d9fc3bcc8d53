"""Exporter: one model's resources as NDJSON, as of one moment, in constant memory."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json

from autocrud.errors import DataCorrupted, RevisionNotFound
from autocrud.query.conditions import Query
from autocrud.resource import ResourceMeta, RevisionInfo
from autocrud.schema.binary import references
from autocrud.storage.ports.objects import ObjectMissing
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Blob, Commit, CommitEntry, Head

_PIECE = 1024 * 1024  # bytes of a blob in a line
_CHUNK = 64 * 1024  # bytes of lines that go out together
_AHEAD, _AHEAD_BYTES = 64, 1024 * 1024  # commits whose data is read at once
_REMEMBERED = 50_000  # blobs that are known to have gone out; what is older may go out again

_Line = tuple[bytes, bytes | None]  # and the data in it


class Exporter:
    """Writes the lines of one export.

    Args:
        history: every commit of a resource, in the place of its current state.
        blobs: bring the bytes that the data refers to, too.
    """

    def __init__(self, storage: IStorage, *, history: bool, blobs: bool) -> None:
        self._storage = storage
        self._history = history
        self._blobs = blobs
        self._sent: dict[bytes, None] = {}
        self._resource_id = ""
        # Of the resource that is being told: when each revision was made, and by whom.
        self._made: dict[str, tuple[datetime, str | None]] = {}
        self._resources = self._lines = 0

    async def export(self, query: Query) -> AsyncIterator[bytes]:
        """Lines, some at a time. The last one says that it is the end: where it is missing, something else is."""
        lines: Any = self._told(query) if self._history else self._states(query)
        held: list[bytes] = []
        size = 0
        async with aclosing(lines):
            async for line, data in lines:
                if self._blobs and data is not None:
                    async for piece in self._blob_lines(data):
                        yield b"".join((*held, piece))
                        held, size = [], 0
                held.append(line)
                size += len(line)
                self._lines += 1
                if size >= _CHUNK:
                    yield b"".join(held)
                    held, size = [], 0
        yield b'%s{"end":true,"resources":%d,"lines":%d}\n' % (b"".join(held), self._resources, self._lines)

    async def _states(self, query: Query) -> AsyncIterator[_Line]:
        picture: Any = self._storage.snapshot_scan(query)
        async with aclosing(picture):
            async for seen in picture:
                yield self._head(seen)

    async def _told(self, query: Query) -> AsyncIterator[_Line]:
        """Commits, whose data is read in advance: some at once, as far as they are small."""
        picture: Any = self._storage.snapshot_scan(query, history=True)
        ahead: list[CommitEntry] = []
        size = 0
        async with aclosing(picture):
            async for seen in picture:
                ahead.append(seen)
                size += seen.commit.size or 0
                if len(ahead) < _AHEAD and size < _AHEAD_BYTES:
                    continue
                for line in await self._pasts(ahead):
                    yield line
                ahead, size = [], 0
            for line in await self._pasts(ahead):
                yield line

    async def _pasts(self, pasts: Sequence[CommitEntry]) -> list[_Line]:
        contents = await asyncio.gather(*(self._data(past.commit) for past in pasts))
        return [self._past(past, data) for past, data in zip(pasts, contents, strict=True)]

    def _head(self, head: Head) -> _Line:
        self._resources += 1
        data = head.data
        return b'{"meta":%s,"revision_info":%s,"data":%s}\n' % (head.meta, head.revision_info, data), data

    def _past(self, past: CommitEntry, data: bytes | None) -> _Line:
        commit = past.commit
        if commit.resource_id != self._resource_id:
            self._resource_id, self._made = commit.resource_id, {}
            self._resources += 1
        start = b'{"kind":"%s","meta":%s' % (commit.kind.encode(), _meta(past))
        if commit.data_hash is None:
            return start + b"}\n", None
        info = _json(self._revision(commit, commit.data_hash))
        if data is None:
            return b'%s,"revision_info":%s}\n' % (start, info), None
        return b'%s,"revision_info":%s,"data":%s}\n' % (start, info, data), data

    def _revision(self, commit: Commit, data_hash: str) -> RevisionInfo:
        time, by = self._made.setdefault(commit.revision_id, (commit.time, commit.by))
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

    async def _data(self, commit: Commit) -> bytes | None:
        """What a commit wrote; None where it was pruned, or is erased by now."""
        try:
            return None if commit.locator is None else await self._storage.data(commit)
        except RevisionNotFound:
            return None

    async def _blob_lines(self, data: bytes) -> AsyncIterator[bytes]:
        """The blobs that data refers to, and that have not gone out yet, in pieces."""
        for file_id in references(from_json(data)):
            key = bytes.fromhex(file_id)
            if key in self._sent:
                continue
            blob = await self._storage.blobs.find(file_id)
            if blob is None:
                continue  # erased meanwhile, or a text that looks like a reference
            self._sent[key] = None
            if len(self._sent) > _REMEMBERED:
                del self._sent[next(iter(self._sent))]
            try:
                async for line in _pieces(blob, self._storage.blobs.stream(blob)):
                    self._lines += 1
                    yield line
            except ObjectMissing as error:
                if await self._storage.blobs.find(file_id) == blob:
                    raise DataCorrupted(f"The blob {file_id} in {blob.key} is gone.") from error


async def _pieces(blob: Blob, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines with the bytes of a blob, one at least."""
    start = b'{"blob":%s,"offset":' % to_json({"file_id": blob.file_id, "size": blob.size})
    offset, held = 0, b""
    async for piece in stream:
        held += piece
        while len(held) > _PIECE:
            yield b'%s%d,"data":"%s"}\n' % (start, offset, b64encode(held[:_PIECE]))
            offset, held = offset + _PIECE, held[_PIECE:]
    yield b'%s%d,"data":"%s"}\n' % (start, offset, b64encode(held))


def _meta(past: CommitEntry) -> bytes:
    """The metadata of a resource as a commit left it."""
    commit = past.commit
    return _json(
        ResourceMeta(
            resource_id=commit.resource_id,
            version=commit.version,
            current_revision_id=commit.revision_id,
            total_revision_count=commit.total_revision_count,
            is_deleted=commit.is_deleted,
            created_time=past.created_time,
            updated_time=commit.time,
            created_by=past.created_by,
            updated_by=commit.by,
            schema_version=commit.schema_version,
            status=commit.status,
        )
    )


def _json(model: Any) -> bytes:
    content: bytes = model.__pydantic_serializer__.to_json(model)
    return content
