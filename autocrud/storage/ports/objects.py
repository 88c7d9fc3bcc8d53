"""The port of object stores: bytes by key. What is atomic and what may be called twice is told here."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autocrud.errors import StorageUnavailable

_PIECE_BYTES = 1024 * 1024


class ObjectExists(Exception):
    """`put(if_absent=True)` found the key taken."""


class ObjectMissing(Exception):
    """There is no object of this key."""


class PutUndecided(StorageUnavailable):
    """A put was sent and not answered: it may have taken effect, or may yet do so. The same put again decides it."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that has arrived of an object that comes in parts; `tag` tells it from another of its number."""

    number: int
    size: int
    tag: str


class ObjectStore(ABC):
    """Bytes by key. Keys are relative paths of the characters that a file name may have.

    An object appears whole or not at all, and once a call has returned it survives a crash of the machine.
    Every method raises `StorageUnavailable` where the store is away.

    Attributes:
        blocking_exists: whether a key is taken, for a caller that is on a thread of its own already, where the store
            can tell at the cost of a system call; else None.
    """

    blocking_exists: Callable[[str], bool] | None = None

    @abstractmethod
    async def open(self) -> None:
        """Get ready.

        Raises:
            ConfigurationError: the store cannot be used as it is set.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything. May be called twice."""

    @abstractmethod
    async def put(self, key: str, data: bytes, *, if_absent: bool = False) -> None:
        """Store an object, in place of another unless `if_absent`.

        Raises:
            ObjectExists: `if_absent`, and the key is taken. Of several such calls at once exactly one succeeds.
            PutUndecided: `if_absent`, and it may still take effect. Any other `StorageUnavailable` says that it has
                taken effect by now or never will.
        """

    @abstractmethod
    async def put_stream(self, key: str, pieces: AsyncIterator[bytes]) -> None:
        """Store an object of any size, in place of another. An error of the iterator leaves what was there."""

    async def put_file(self, key: str, path: Path) -> None:
        """Store a file's content, of any size, in place of another object."""
        await self.put_stream(key, _pieces_of(path))

    @abstractmethod
    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` up to `end`, or to the object's end.

        Raises:
            ObjectMissing: there is no such object.
        """

    @abstractmethod
    def stream(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, or to the object's end, piece by piece, for objects of any size.

        Raises:
            ObjectMissing: there is no such object.
        """

    @abstractmethod
    async def size(self, key: str) -> int:
        """The bytes of an object.

        Raises:
            ObjectMissing: there is no such object.
        """

    @abstractmethod
    async def begin_parts(self, key: str) -> str:
        """Begin an object that comes in parts; names the undertaking, which outlives the process."""

    @abstractmethod
    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> None:
        """Store a part, from number 1 on, in place of another of its number. Parts may come in any order, and at once.

        Raises:
            ObjectMissing: nothing of this name is under way.
        """

    @abstractmethod
    async def parts(self, key: str, upload: str) -> list[Part]:
        """The parts that have arrived, by number.

        Raises:
            ObjectMissing: nothing of this name is under way.
        """

    @abstractmethod
    async def join_parts(self, key: str, upload: str, parts: Sequence[Part]) -> None:
        """Make the object of these parts, in this order: whole, or not at all. That ends the undertaking.

        Raises:
            ObjectMissing: nothing of this name is under way, or one of these parts is not there, having been replaced.
                Not where it is only repeated, and the store can tell.
        """

    @abstractmethod
    async def drop_parts(self, key: str, upload: str) -> None:
        """Give up an object that comes in parts, and erase those; one that is not under way is no error."""

    async def link(self, key: str, seconds: int, headers: Mapping[str, str]) -> str | None:
        """A URL at which anybody may fetch the object for so long, with these headers; None where there is none."""
        return None

    @abstractmethod
    def keys(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """The keys that begin with the prefix and stand behind `after`, in the order of their bytes."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    @abstractmethod
    async def rewrite(self, key: str, edit: Callable[[bytes], bytes]) -> None:
        """Replace an object by an edit of it; no other change to it is lost. The edit may be called again.

        Raises:
            ObjectMissing: there is no such object.
        """


async def _pieces_of(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
