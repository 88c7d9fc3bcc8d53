"""Port of object stores: bytes by key, with the atomicity and durability of each operation."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiofiles

from autocrud.errors import StorageUnavailable

_PIECE_BYTES = 1024 * 1024


class ObjectExists(Exception):
    """`put(if_absent=True)` failed because the key exists."""


class ObjectMissing(Exception):
    """No object has the key."""


class BucketMissing(StorageUnavailable):
    """The bucket or folder of the whole object store does not exist."""


class PutUndecided(StorageUnavailable):
    """A conditional put has an unknown outcome: it may have taken effect, or may still do so.

    Repeating the same put decides the outcome.
    """


@dataclass(frozen=True, slots=True)
class Part:
    """A stored part of a multipart upload; `tag` tells apart two uploads of the same number."""

    number: int
    size: int
    tag: str


class ObjectStore(ABC):
    """Bytes by key. Keys are relative paths of file name characters.

    An object appears complete or not at all. When a call returns, the effect survives a crash of the machine. A
    cancelled write may have taken effect, or may still do so. A cancelled read has no effect.

    Every method raises `StorageUnavailable` if the store does not answer.
    """

    @abstractmethod
    async def open(self) -> None:
        """Connect and prepare the store. A failed or cancelled call must be followed by `close`.

        Raises:
            ConfigurationError: the store cannot be used with the given settings.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release all resources. Idempotent."""

    @abstractmethod
    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        """Store an object. Replace an existing object unless `if_absent` is set.

        Raises:
            ObjectExists: `if_absent` is set, and the key exists. Of several such calls at once exactly one succeeds.
            PutUndecided: `if_absent` is set, and the outcome is unknown; the put may still take effect. Any other
                `StorageUnavailable` with `if_absent` means that the put has taken effect by now or never will.
        """

    @abstractmethod
    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Store an object of any size; replace an existing object.

        An error of the iterator is raised, and nothing changes.
        """

    async def put_file(self, key: str, path: Path) -> None:
        """Store the content of a file of any size; replace an existing object."""
        await self.put_stream(key, _pieces_of(path))

    @abstractmethod
    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from `start` up to `end` (None: the end of the object). Bytes beyond the end are left out.

        Raises:
            ObjectMissing: the object does not exist.
        """

    @abstractmethod
    def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to `end` (None: the end of the object), piece by piece, in bounded memory.

        Raises:
            ObjectMissing: the object does not exist.
        """

    @abstractmethod
    async def size(self, key: str) -> int:
        """Return the size of an object in bytes.

        Raises:
            ObjectMissing: the object does not exist.
        """

    @abstractmethod
    async def begin_parts(self, key: str) -> str:
        """Begin a multipart upload and return its name, which stays valid after the process ends.

        A cancelled call may leave an empty upload behind.
        """

    @abstractmethod
    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        """Store a part; replace an earlier part of the same number. Parts may arrive in any order and at once.

        Args:
            upload: name of the multipart upload.
            number: number of the part, from 1.

        Raises:
            ObjectMissing: no such upload is in progress.
        """

    @abstractmethod
    async def parts(self, key: str, upload: str) -> list[Part]:
        """Return the stored parts of an upload, by number.

        Raises:
            ObjectMissing: no such upload is in progress.
        """

    @abstractmethod
    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Create the object from the parts, in the given order, and end the upload.

        The object appears complete or not at all.

        Raises:
            ObjectMissing: no such upload is in progress, or a part was replaced since the listing. A store may
                accept a repeated call instead.
        """

    @abstractmethod
    async def drop_parts(self, key: str, upload: str) -> None:
        """Abort an upload and erase its parts. No error if no such upload is in progress."""

    async def link(self, key: str, seconds: int, headers: Mapping[str, str]) -> str | None:
        """Return a URL that serves the object for `seconds`; None if the store has no such URLs.

        Args:
            headers: headers of the response; a store may support `content-type` and `content-disposition` only.
        """
        return None

    @abstractmethod
    def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """Yield the keys that have the prefix and sort after `after`, in the order of their bytes.

        Objects created or deleted meanwhile may be left out or included.
        """

    async def folders(self) -> set[str]:
        """Return the first parts of all keys that have several parts."""
        found, after = set[str](), ""
        while (key := await self._first_key(after)) is not None:
            folder, separator, _ = key.partition("/")
            after = f"{folder}0" if separator else key  # "0" follows "/", so all keys of the folder are passed over
            if separator:
                found.add(folder)
        return found

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Delete an object. No error if the object does not exist."""

    @abstractmethod
    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        """Replace an object by an edited copy. Concurrent rewrites of the object are not lost.

        Args:
            edit: pure function of the old content; may be called several times.

        Raises:
            ObjectMissing: the object does not exist.
        """

    async def _first_key(self, after: str) -> str | None:
        async for key in self.keys("", after):
            return key
        return None


async def _pieces_of(path: Path) -> AsyncIterator[bytes]:
    async with aiofiles.open(path, "rb") as file:
        while piece := await file.read(_PIECE_BYTES):
            yield piece
