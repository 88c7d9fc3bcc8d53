"""The port of object stores: bytes by key. What is atomic and what may be called twice is told here."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from autocrud.errors import StorageUnavailable


class ObjectExists(Exception):
    """`put(if_absent=True)` found the key taken."""


class ObjectMissing(Exception):
    """There is no object of this key."""


class PutUndecided(StorageUnavailable):
    """A put was sent and not answered: it may have taken effect, or may yet do so. The same put again decides it."""


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
    async def put_file(self, key: str, path: Path) -> None:
        """Store a file's content, of any size, in place of another object."""

    @abstractmethod
    async def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` up to `end`, or to the object's end.

        Raises:
            ObjectMissing: there is no such object.
        """

    @abstractmethod
    def stream(self, key: str) -> AsyncIterator[bytes]:
        """The object piece by piece, for objects of any size.

        Raises:
            ObjectMissing: there is no such object.
        """

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
