"""Conformance of blobs: stored once, read in full or in part, erased with the last reference."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from hashlib import sha256

import pytest

from autocrud.errors import PayloadTooLarge, UploadIncomplete, UploadNotFound
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Blob, UnknownBlob
from autocrud.storage.ports.uploaded_types import UploadedType, UploadedTypes
from autocrud.storage.ports.uploads import Upload
from autocrud.testing.conformance.base import StorageTests, present
from autocrud.testing.sample_writes import (
    create_write,
    modify_write,
    prune_write,
    purge_write,
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
    """Tests of blobs and of upload sessions."""

    @pytest.mark.parametrize("pieces", [(), (b"x",), (b"ab", b"", b"c"), (_PIECE,) * 9 + (b"end",)])
    async def test_blob_reads_back_in_full_and_in_part(self, storage: IStorage, pieces: tuple[bytes, ...]) -> None:
        """Check blobs of several sizes, including the empty blob."""
        content = b"".join(pieces)
        blob = await storage.blobs.put(_pieces(*pieces))
        assert (blob.file_id, blob.size) == (sha256(content).hexdigest(), len(content))
        assert await storage.blobs.find(blob.file_id) == blob
        assert await _content(storage, blob) == content
        for start, end in ((0, 1), (1, len(content)), (len(content) // 2, len(content) // 2 + 2)):
            end = min(end, len(content))
            if start < end:
                assert await _content(storage, blob, start, end) == content[start:end]

    async def test_put_of_equal_content_stores_it_once(self, storage: IStorage) -> None:
        """Check uploads one after the other and at the same moment."""
        first = await storage.blobs.put_bytes(b"same")
        other_values = await asyncio.gather(*(storage.blobs.put(_pieces(b"sa", b"me")) for _ in range(8)))
        assert {blob.key for blob in other_values} == {first.key}
        rivals = await asyncio.gather(*(storage.blobs.put(_pieces(b"new")) for _ in range(8)))
        assert len({blob.key for blob in rivals}) == 1
        assert await _content(storage, rivals[0]) == b"new"

    async def test_types_of_all_uploads_are_kept(self, storage: IStorage) -> None:
        """Check uploads of one content with several types, at the same moment, too."""
        text, page, image = [UploadedType(kind, "a") for kind in ("text/plain", "text/html", "image/png")]
        blob = await storage.blobs.put(_pieces(b"typed"), types=[text])
        assert await storage.blobs.types_of(blob) == UploadedTypes((text,), is_complete=True)
        await asyncio.gather(
            storage.blobs.put(_pieces(b"typed"), types=[page]), storage.blobs.put_bytes(b"typed", types=[image])
        )
        types = await storage.blobs.types_of(blob)
        assert (set(types.types), types.is_complete) == ({text, page, image}, True)
        assert types.accepts("Text/HTML; charset=utf-8")
        assert not types.accepts("application/pdf")

    async def test_blob_without_types_accepts_any_type(self, storage: IStorage) -> None:
        """Check a blob that was stored before types were kept."""
        blob = await storage.blobs.put_bytes(b"untyped")
        assert await storage.blobs.types_of(blob) == UploadedTypes((), is_complete=False)
        await storage.blobs.add_types(blob, [UploadedType("text/plain")])
        types = await storage.blobs.types_of(blob)
        assert types == UploadedTypes((UploadedType("text/plain"),), is_complete=False)
        assert types.accepts("image/png")

    async def test_interrupted_put_stores_nothing(self, storage: IStorage) -> None:
        """Interrupt uploads at the size limit and by a failing source."""

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

    async def test_write_with_unknown_blob_is_refused(self, storage: IStorage) -> None:
        """Check that the error names the blob and that nothing is stored."""
        known_blob = await storage.blobs.put_bytes(b"known")
        with pytest.raises(UnknownBlob) as caught:
            await storage.commit(create_write("a", sample(), blobs=(known_blob.file_id, "0" * 64)))
        assert caught.value.file_id == "0" * 64
        assert await storage.get("a") is None

    async def test_commit_of_blob_returns_the_last_referring_commit(self, storage: IStorage) -> None:
        """Check the history of one resource."""
        first_file, second_file = [(await storage.blobs.put_bytes(content)).file_id for content in (b"one", b"two")]
        first = create_write("a", sample(), blobs=(first_file, second_file))
        second = update_write(first, sample(text="x"), blobs=(second_file,))
        restoration = switch_write(second, first)
        for write in (first, second):
            await storage.commit(write)
        assert set(await storage.blobs_of("a", 1)) == {first_file, second_file}
        assert await storage.blobs_of("a", 2) == [second_file]
        for file_id, version in ((first_file, 1), (second_file, 2)):
            commit = await storage.commit_of_blob("a", file_id)
            assert commit is not None
            assert commit.version == version
        assert await storage.commit_of_blob("b", first_file) is None
        await storage.commit(restoration)
        commit = await storage.commit_of_blob("a", first_file)
        assert commit is not None
        assert commit.version == 3

    async def test_3_purge_erases_a_blob_with_its_last_reference(self, storage: IStorage) -> None:
        """Purge and prune. Blobs of other resources and other revisions stay."""
        own_numbers, shared = [await storage.blobs.put_bytes(content) for content in (b"own", b"shared")]
        first = create_write("a", sample(), blobs=(own_numbers.file_id, shared.file_id))
        other = create_write("b", sample(), blobs=(shared.file_id,))
        later = update_write(other, sample(text="later"))
        for write in (first, other, later, purge_write(first)):
            await storage.commit(write)
        assert await storage.blobs.find(own_numbers.file_id) is None
        assert await _content(storage, shared) == b"shared"
        await storage.commit(prune_write(later, 1))
        await storage.vacuum()
        assert await storage.blobs.find(shared.file_id) is None
        assert await storage.commit_of_blob("b", shared.file_id) is None
        repetition = await storage.blobs.put_bytes(b"own")
        assert repetition.key != own_numbers.key
        await storage.commit(create_write("a", sample(), blobs=(repetition.file_id,)))
        assert await _content(storage, repetition) == b"own"

    async def test_draft_keeps_blobs_of_its_earlier_states(self, storage: IStorage) -> None:
        """Check that a blob stays until the earlier state is pruned."""
        blob = await storage.blobs.put_bytes(b"in the first state")
        first = create_write("a", sample(), blobs=(blob.file_id,))
        await storage.commit(first)
        await storage.commit(modify_write(first, first, sample(text="x")))
        assert await storage.commit_of_blob("a", blob.file_id) is not None
        assert (await present(storage, "a")).version == 2

    async def test_upload_accepts_parts_in_any_order(self, storage: IStorage) -> None:
        """Send parts again, and finish when all of them are stored."""
        uploads = storage.blobs.uploads
        upload = await _begun(storage, 2 * 8 * 1024 * 1024 + 5)
        content = _PIECE * 16 + b"tail!"
        assert upload.part_count == 3

        async def put(number: int) -> None:
            start = (number - 1) * upload.part_size
            await uploads.put_part(upload, number, content[start : start + upload.size_of(number)])

        await asyncio.gather(put(3), put(1))
        assert await uploads.list_parts(upload) == [1, 3]
        with pytest.raises(UploadIncomplete) as caught:
            await uploads.finish(upload)
        assert caught.value.missing == (2,)
        await asyncio.gather(put(2), put(1))
        blobs = await asyncio.gather(uploads.finish(upload), uploads.finish(upload))
        assert {blob.file_id for blob in blobs} == {sha256(content).hexdigest()}
        assert await uploads.finish(await uploads.get(upload.upload_id, "ada")) == blobs[0]
        assert await uploads.list_parts(upload) == [1, 2, 3]
        assert await _content(storage, blobs[0]) == content
        await uploads.abort(await uploads.get(upload.upload_id, "ada"))
        assert await _content(storage, blobs[0]) == content

    async def test_upload_belongs_to_its_owner_until_it_ends(self, storage: IStorage) -> None:
        """Check that other users never find it, and that nobody finds an aborted or expired one."""
        uploads = storage.blobs.uploads
        upload, late_write = await _begun(storage, 5), await _begun(storage, 5, timedelta(hours=-2))
        await uploads.put_part(upload, 1, b"hello")
        for upload_id, by in (
            (upload.upload_id, "bob"),
            (upload.upload_id, None),
            ("../x", "ada"),
            (late_write.upload_id, "ada"),
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
            await uploads.put_part(late_write, 1, b"hello")


async def _begun(storage: IStorage, size: int, lifetime: timedelta = timedelta(hours=1)) -> Upload:
    return await storage.blobs.uploads.begin(size, "text/plain", "a.txt", "ada", lifetime)
