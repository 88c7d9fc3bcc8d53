"""Conformance of blobs: bytes beside the resources, stored once, and gone with the last that refers to them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256

import pytest

from autocrud.errors import PayloadTooLarge, UploadIncomplete, UploadNotFound
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Blob, UnknownBlob, Upload
from autocrud.testing.conformance.base import StorageTests, present
from autocrud.testing.sample_writes import (
    create_write,
    modify_write,
    prune_write,
    purge,
    sample,
    switch_write,
    update_write,
)

_PIECE = bytes(range(256)) * 4096  # a megabyte


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _content(storage: IStorage, blob: Blob, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in storage.blobs.stream(blob, start, end)])


class BlobTests(StorageTests):
    """Tests of blobs and of uploads in parts."""

    @pytest.mark.parametrize("pieces", [(), (b"x",), (b"ab", b"", b"c"), (_PIECE,) * 9 + (b"end",)])
    async def test_a_blob_reads_back_whole_and_in_part(self, storage: IStorage, pieces: tuple[bytes, ...]) -> None:
        """Of any size, also of none."""
        content = b"".join(pieces)
        blob = await storage.blobs.put(_pieces(*pieces))
        assert (blob.file_id, blob.size) == (sha256(content).hexdigest(), len(content))
        assert await storage.blobs.find(blob.file_id) == blob
        assert await _content(storage, blob) == content
        for start, end in ((0, 1), (1, len(content)), (len(content) // 2, len(content) // 2 + 2)):
            end = min(end, len(content))
            if start < end:
                assert await _content(storage, blob, start, end) == content[start:end]

    async def test_equal_content_is_stored_once(self, storage: IStorage) -> None:
        """Whether it comes later, or at the same moment."""
        first = await storage.blobs.put_bytes(b"same")
        others = await asyncio.gather(*(storage.blobs.put(_pieces(b"sa", b"me")) for _ in range(8)))
        assert {blob.key for blob in others} == {first.key}
        rivals = await asyncio.gather(*(storage.blobs.put(_pieces(b"new")) for _ in range(8)))
        assert len({blob.key for blob in rivals}) == 1
        assert await _content(storage, rivals[0]) == b"new"

    async def test_what_breaks_off_is_not_stored(self, storage: IStorage) -> None:
        """At the limit, or where the source fails."""

        async def failing() -> AsyncIterator[bytes]:
            yield _PIECE
            raise ConnectionError

        with pytest.raises(PayloadTooLarge):
            await storage.blobs.put(_pieces(_PIECE, _PIECE), limit=len(_PIECE))
        with pytest.raises(ConnectionError):
            await storage.blobs.put(failing())
        for content in (_PIECE, _PIECE * 2):
            assert await storage.blobs.find(sha256(content).hexdigest()) is None
        assert (await storage.blobs.put(_pieces(_PIECE), limit=len(_PIECE))).size == len(_PIECE)

    async def test_a_write_that_refers_to_nothing_is_refused(self, storage: IStorage) -> None:
        """By name, and it leaves nothing."""
        known = await storage.blobs.put_bytes(b"known")
        with pytest.raises(UnknownBlob) as caught:
            await storage.commit(create_write("a", sample(), blobs=(known.file_id, "0" * 64)))
        assert caught.value.file_id == "0" * 64
        assert await storage.get("a") is None

    async def test_the_last_commit_that_refers_to_a_blob_is_told(self, storage: IStorage) -> None:
        """Of one resource, over all of its history."""
        one, two = [(await storage.blobs.put_bytes(content)).file_id for content in (b"one", b"two")]
        first = create_write("a", sample(), blobs=(one, two))
        second = update_write(first, sample(text="x"), blobs=(two,))
        back = switch_write(second, first)
        for write in (first, second):
            await storage.commit(write)
        assert set(await storage.blobs_of("a", 1)) == {one, two}
        assert await storage.blobs_of("a", 2) == [two]
        for file_id, version in ((one, 1), (two, 2)):
            commit = await storage.commit_of_blob("a", file_id)
            assert commit is not None
            assert commit.version == version
        assert await storage.commit_of_blob("b", one) is None
        await storage.commit(back)
        commit = await storage.commit_of_blob("a", one)
        assert commit is not None
        assert commit.version == 3

    async def test_3_a_blob_goes_with_the_last_that_refers_to_it(self, storage: IStorage) -> None:
        """Purges and prunes; what another resource or another revision refers to stays."""
        own, shared = [await storage.blobs.put_bytes(content) for content in (b"own", b"shared")]
        first = create_write("a", sample(), blobs=(own.file_id, shared.file_id))
        other = create_write("b", sample(), blobs=(shared.file_id,))
        later = update_write(other, sample(text="later"))
        for write in (first, other, later, purge(first)):
            await storage.commit(write)
        assert await storage.blobs.find(own.file_id) is None
        assert await _content(storage, shared) == b"shared"
        await storage.commit(prune_write(later, 1))
        await storage.vacuum()
        assert await storage.blobs.find(shared.file_id) is None
        assert await storage.commit_of_blob("b", shared.file_id) is None
        again = await storage.blobs.put_bytes(b"own")
        assert again.key != own.key
        await storage.commit(create_write("a", sample(), blobs=(again.file_id,)))
        assert await _content(storage, again) == b"own"

    async def test_a_draft_holds_the_blobs_of_what_it_was(self, storage: IStorage) -> None:
        """Until that is pruned."""
        blob = await storage.blobs.put_bytes(b"in the first state")
        first = create_write("a", sample(), blobs=(blob.file_id,))
        await storage.commit(first)
        await storage.commit(modify_write(first, first, sample(text="x")))
        assert await storage.commit_of_blob("a", blob.file_id) is not None
        assert (await present(storage, "a")).version == 2

    async def test_parts_come_in_any_order_and_become_a_blob_at_once(self, storage: IStorage) -> None:
        """Again where they are there; the whole is there when all are."""
        uploads = storage.blobs.uploads
        upload = await _begun(storage, 2 * 8 * 1024 * 1024 + 5)
        content = _PIECE * 16 + b"tail!"
        assert upload.part_count == 3

        async def put(number: int) -> None:
            start = (number - 1) * upload.part_size
            await uploads.put_part(upload, number, content[start : start + upload.size_of(number)])

        await asyncio.gather(put(3), put(1))
        assert await uploads.arrived(upload) == [1, 3]
        with pytest.raises(UploadIncomplete) as caught:
            await uploads.finish(upload)
        assert caught.value.missing == (2,)
        await asyncio.gather(put(2), put(1))
        blobs = await asyncio.gather(uploads.finish(upload), uploads.finish(upload))
        assert {blob.file_id for blob in blobs} == {sha256(content).hexdigest()}
        assert await uploads.finish(await uploads.get(upload.upload_id, "ada")) == blobs[0]
        assert await uploads.arrived(upload) == [1, 2, 3]
        assert await _content(storage, blobs[0]) == content
        await uploads.abort(await uploads.get(upload.upload_id, "ada"))
        assert await _content(storage, blobs[0]) == content

    async def test_an_upload_is_its_owners_until_it_is_given_up(self, storage: IStorage) -> None:
        """Of nobody else, and of nobody once it is aborted or has expired."""
        uploads = storage.blobs.uploads
        upload, late = await _begun(storage, 5), await _begun(storage, 5, timedelta(hours=-2))
        await uploads.put_part(upload, 1, b"hello")
        for upload_id, by in (
            (upload.upload_id, "bob"),
            (upload.upload_id, None),
            ("../x", "ada"),
            (late.upload_id, "ada"),
        ):
            with pytest.raises(UploadNotFound):
                await uploads.get(upload_id, by)
        await storage.vacuum()
        assert (await uploads.get(upload.upload_id, "ada")).size == 5
        await uploads.abort(upload)
        with pytest.raises(UploadNotFound):
            await uploads.get(upload.upload_id, "ada")
        for step in (uploads.put_part(upload, 1, b"hello"), uploads.finish(upload)):
            with pytest.raises(UploadNotFound):
                await step
        with pytest.raises(UploadNotFound):
            await uploads.put_part(late, 1, b"hello")


async def _begun(storage: IStorage, size: int, lifetime: timedelta = timedelta(hours=1)) -> Upload:
    return await storage.blobs.uploads.begin(size, "text/plain", "a.txt", "ada", lifetime)
