"""Blob receiver: stores the blobs of an import while their pieces arrive, one line after the other."""

import asyncio
from collections.abc import AsyncIterator

from autocrud.errors import AutoCRUDError, FieldError, InvalidData, PayloadTooLarge, StorageUnavailable
from autocrud.manager.transfer.line_format import GivenBlob, Piece
from autocrud.storage.ports.blobs import BlobStore
from autocrud.storage.ports.types import Blob
from autocrud.storage.ports.uploaded_types import UploadedType


class ArrivingBlobs:
    """Receives the pieces of one blob after the other. A blob that is stored already is not stored again.

    Args:
        limit: maximum size of a blob in bytes.

    Attributes:
        stored: number of blobs that were new.
    """

    def __init__(self, blobs: BlobStore, limit: int) -> None:
        self._blobs = blobs
        self._limit = limit
        self._blob: GivenBlob | None = None
        self._offset = 0
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._task: asyncio.Task[Blob] | None = None
        self.stored = 0

    @property
    def is_open(self) -> bool:
        """Return True if the current blob lacks pieces."""
        return self._blob is not None

    async def take(self, piece: Piece) -> None:
        """Receive the next piece.

        Raises:
            InvalidData: the piece is not the next one of its blob, or the blob's size or hash is wrong.
            PayloadTooLarge: the blob is longer than the limit.
            StorageUnavailable: the blob could not be stored.
        """
        if piece.offset == 0:
            await self.give_up()
            await self._begin(piece.blob)
        elif piece.blob != self._blob or piece.offset != self._offset:
            await self.give_up()
            if await self._blobs.find(piece.blob.file_id) is None:
                raise _invalid("offset", "is not the offset of the next piece")
            return
        self._offset += len(piece.data)
        if self._offset > piece.blob.size or (not piece.data and piece.blob.size):
            await self.give_up()
            raise _invalid("data", "does not fit the blob's size")
        await self._feed(piece.data)
        if self._offset == piece.blob.size:
            await self._finish(piece.blob)

    async def give_up(self) -> None:
        """Discard the unfinished blob, if there is one."""
        task, self._task, self._blob = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _begin(self, blob: GivenBlob) -> None:
        if blob.size > self._limit:
            raise PayloadTooLarge(self._limit)
        self._blob, self._offset = blob, 0
        known_blob = await self._blobs.find(blob.file_id)
        if known_blob is None:
            self._pieces = asyncio.Queue(1)
            putting = self._blobs.put(_pieces_of(self._pieces), limit=self._limit, types=_types_of(blob))
            self._task = asyncio.create_task(putting)

    async def _feed(self, data: bytes | None) -> None:
        """Hand a piece to the running upload. Raise the upload's error if the upload has ended.

        A known blob has no upload, and the piece is discarded.
        """
        if self._task is None:
            return
        putting = asyncio.create_task(self._pieces.put(data))
        await asyncio.wait([putting, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not putting.done():
            putting.cancel()
            failed_task = self._task
            await self.give_up()
            raise failed_task.exception() or StorageUnavailable("The blob was not stored.")

    async def _finish(self, blob: GivenBlob) -> None:
        await self._feed(None)
        task, self._task, self._blob = self._task, None, None
        if task is None:
            known_blob = await self._blobs.find(blob.file_id)
            if known_blob is not None:
                await self._blobs.add_types(known_blob, _types_of(blob))
            return
        stored = await task
        if stored.file_id != blob.file_id:
            raise _invalid("blob.file_id", f"must be {stored.file_id}, the hash of the received bytes")
        self.stored += 1


async def _pieces_of(queue: "asyncio.Queue[bytes | None]") -> AsyncIterator[bytes]:
    while (piece := await queue.get()) is not None:
        yield piece


def _types_of(blob: GivenBlob) -> list[UploadedType]:
    return [UploadedType(item.content_type, item.filename) for item in blob.types]


def _invalid(field: str, message: str) -> AutoCRUDError:
    return InvalidData("The piece is not valid.", [FieldError(field, message)])
