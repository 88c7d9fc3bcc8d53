"""Port of blob stores: bytes of any size, named by their SHA-256 and read in pieces."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

from autocrud.storage.ports.types import Blob
from autocrud.storage.ports.uploaded_types import UploadedType, UploadedTypes
from autocrud.storage.ports.uploads import Upload


class UploadSessions(ABC):
    """Uploads of blobs in parts. A session outlives its process; any node may continue the session."""

    @abstractmethod
    async def begin(
        self, size: int, content_type: str, filename: str | None, by: str | None, lifetime: timedelta
    ) -> Upload:
        """Begin an upload of `size` bytes and return its session. A cancelled call may leave a session behind.

        Args:
            by: user who may continue the session.
            lifetime: time until the session expires.
        """

    @abstractmethod
    async def get(self, upload_id: str, by: str | None) -> Upload:
        """Return the session.

        Raises:
            UploadNotFound: the session does not exist, has expired, or belongs to another user.
        """

    @abstractmethod
    async def put_part(self, upload: Upload, number: int, data: bytes) -> None:
        """Store a part; replace an earlier part of the same number. A cancelled call may have stored the part.

        Raises:
            UploadNotFound: the session was finished or aborted.
        """

    @abstractmethod
    async def list_parts(self, upload: Upload) -> list[int]:
        """Return the numbers of the stored parts, ascending. A finished session has all parts."""

    @abstractmethod
    async def finish(self, upload: Upload) -> Blob:
        """Make a blob of the parts. Idempotent, also after a crash or a cancelled call.

        Raises:
            UploadIncomplete: parts are missing or have another size than the session says.
            UploadNotFound: the session was aborted, or its blob was erased.
        """

    @abstractmethod
    async def abort(self, upload: Upload) -> None:
        """Erase the session and its parts. The blob of a finished session stays. Idempotent."""


class BlobStore(ABC):
    """Blobs of one model. Equal content is stored once. A purge or prune of its last reference erases a blob.

    Every method raises `StorageUnavailable` if the backend does not answer.

    Attributes:
        uploads: sessions for uploads in parts.
    """

    uploads: UploadSessions

    async def drop_unused(self, lifetime: timedelta) -> None:
        """Erase the blobs whose last upload was longer ago than a lifetime, and that no resource refers to.

        A store that does not know the times of its uploads erases nothing.
        """
        return

    @abstractmethod
    async def find(self, file_id: str) -> Blob | None:
        """Return the registered blob of this SHA-256 (hexadecimal), or None. The answer is never stale."""

    @abstractmethod
    async def put(
        self, pieces: AsyncIterator[bytes], *, limit: int | None = None, types: Sequence[UploadedType] = ()
    ) -> Blob:
        """Store the pieces as one blob and return it. The blob is durable and registered when the call returns.

        An error of the iterator is raised, and nothing is registered. A cancelled call may have registered the blob.

        Args:
            limit: most bytes to accept; None for no limit.
            types: types of the upload. They are added to those of a blob with the same content.

        Raises:
            PayloadTooLarge: the content is longer than `limit`; the rest is not read.
        """

    @abstractmethod
    async def put_bytes(self, content: bytes, *, types: Sequence[UploadedType] = ()) -> Blob:
        """Return the blob of the content; store the content first unless the blob exists. Add the types to the blob."""

    @abstractmethod
    async def types_of(self, blob: Blob) -> UploadedTypes:
        """Return the types that a blob was uploaded with."""

    @abstractmethod
    async def add_types(self, blob: Blob, types: Sequence[UploadedType]) -> None:
        """Add types to those of a registered blob. A purge of the blob erases them, too."""

    @abstractmethod
    def stream(self, blob: Blob, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to `end` (None: the end of the blob), piece by piece.

        The last piece of a complete read is yielded only after the SHA-256 of all bytes is verified.

        Raises:
            ObjectMissing: the bytes do not exist; a purge may have erased them.
            DataCorrupted: the bytes differ from the stored bytes.
        """

    @abstractmethod
    async def link(self, blob: Blob, seconds: int, headers: Mapping[str, str]) -> str | None:
        """Return a URL of the blob, valid for `seconds`, with the given headers; None if the backend has no URLs."""
