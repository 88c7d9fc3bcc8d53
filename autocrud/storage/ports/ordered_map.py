"""Port of ordered maps: bytes by key, read in key order and changed by one atomic commit.

An ordered map is the smallest backend. `OrderedMapStorageFactory` lays a whole store out in the map: resources,
revisions, blobs and indexes. An author of a map needs to know nothing of these.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

# A version is a number that the map gives to a value. A key never gets a version again that it had with another value,
# also after it was deleted.
Version = int

# Version of a key that does not exist.
ABSENT: Version = 0


class Item(NamedTuple):
    """A stored value.

    Attributes:
        version: number above 0. Each commit that sets the key changes the version.
    """

    value: bytes
    version: Version


class MapConflict(Exception):
    """A key does not have the version that a commit expects. Nothing was changed.

    Args:
        key: the first such key.
    """

    def __init__(self, key: bytes) -> None:
        super().__init__(f"the key {key!r} has another version")
        self.key = key


class OrderedMap(ABC):
    """Map from bytes to bytes, with its keys in the order of their bytes.

    A key has less than 1,000 bytes, unless fields have very long names. Most values have less than 32 KiB. Large data
    and blobs are cut into values of 1 MiB.

    Several processes may use one map at the same time. A read sees all commits that were acknowledged before the read
    began. A cancelled read has no effect.

    Every method raises `autocrud.errors.StorageUnavailable` if the map cannot be reached.
    """

    async def open(self) -> None:
        """Connect. A map without a connection needs no such method."""
        return

    async def close(self) -> None:
        """Release all resources. Idempotent, also after a failed `open`."""
        return

    @abstractmethod
    async def get(self, keys: Sequence[bytes]) -> Mapping[bytes, Item]:
        """Return the items of these keys. Keys that do not exist are left out."""

    @abstractmethod
    def range(self, start: bytes, end: bytes, limit: int) -> AsyncIterator[tuple[bytes, Item]]:
        """Yield the items from `start` up to `end`, `end` excluded, in ascending order of the keys, at most `limit`.

        Each item is as it is at some moment after the call. The items need not be of one moment. A key that exists
        during the whole call is not left out.
        """

    @abstractmethod
    async def commit(self, expected: Mapping[bytes, Version], changes: Mapping[bytes, bytes | None]) -> None:
        """Check the versions, and apply all changes, as one atomic step. The changes are durable when the call returns.

        A commit without changes only checks. A cancelled call may have applied the changes.

        Args:
            expected: version that each key must have; `ABSENT` for a key that must not exist.
            changes: new value of each key; None deletes the key. To delete a key that does not exist is no error.

        Raises:
            MapConflict: a key has another version, and nothing was changed by this call.
            StorageUnavailable: the outcome is unknown. The map must not repeat the commit by itself.
        """
