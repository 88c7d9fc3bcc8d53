"""Journal: the reads and writes of one transaction, and each resource as the transaction sees it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from autocrud.errors import ConfigurationError, DifferentStores, InvalidInput
from autocrud.manager.upsert.claims import Claim
from autocrud.references.committer import PlannedWrite
from autocrud.references.graph import ModelNode
from autocrud.resource import check_resource_id
from autocrud.storage.ports.transactions import TransactionStore, VersionCheck
from autocrud.storage.ports.types import Head, Write
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import apply_to

# A transaction is held in memory: the resources that it has read, and its entry of the log.
MAX_DATA_BYTES = 64 * 1024 * 1024
_MAX_PRELOADED_BYTES = 8 * 1024 * 1024
_PAGE = 64  # resources that are read together; each may be as large as a body

Key = tuple[str, str]  # name of the model, id of a resource or a revision


@dataclass(slots=True)
class Entry:
    """A resource that the transaction has read or written.

    Attributes:
        read: version that was read, 0 for a missing resource; None if the resource was created without a read.
        operation: number of the operation that came first.
        resource: the resource as the transaction sees it; None if it does not exist.
        is_written: True if the transaction changes the resource that was read.
        claims: unique values of the resource, or None if an upsert has not needed them yet.
    """

    node: ModelNode
    read: int | None
    created_time: str
    operation: int
    resource: Resource[Any] | None
    is_written: bool = False
    claims: frozenset[Claim] | None = None


@dataclass(frozen=True, slots=True)
class JournalItem:
    """An item of the transaction, with the operation that made it.

    Attributes:
        is_upsert: True for the create of an upsert that found no holder.
    """

    item: PlannedWrite | VersionCheck
    operation: int
    node: ModelNode
    resource_id: str
    is_upsert: bool = False


class Journal:
    """Reads and writes of one transaction.

    Attributes:
        store: store of the models; None before the first operation.
        writes: the writes in order.
    """

    def __init__(self) -> None:
        self.store: TransactionStore | None = None
        self.writes: list[JournalItem] = []
        self._first_model = ""
        self._entries: dict[Key, Entry] = {}
        self._preloaded: dict[Key, Head | None] = {}
        self._revisions: dict[Key, Write] = {}
        self._data_bytes = 0

    def use(self, node: ModelNode) -> None:
        """Refuse a model that cannot take part in the transaction.

        Raises:
            DifferentStores: the model is in another store than the models before it.
            ConfigurationError: the storage of the model has no store.
        """
        store = node.storage.store
        if store is None:
            raise ConfigurationError(f"{node.name}: the storage has no store, so it takes no part in transactions")
        if self.store is None:
            self.store, self._first_model = store, node.name
        elif store is not self.store:
            raise DifferentStores((self._first_model, self.store.name), (node.name, store.name))

    async def preload(self, node: ModelNode, resource_ids: Sequence[str]) -> None:
        """Read heads together, for later calls of `read`, until they have a limited size."""
        for start in range(0, len(resource_ids), _PAGE):
            if sum(_data_bytes(head) for head in self._preloaded.values()) > _MAX_PRELOADED_BYTES:
                return
            page = resource_ids[start : start + _PAGE]
            heads = await node.storage.get_many(page, current=True)
            self._preloaded |= {(node.name, resource_id): heads.get(resource_id) for resource_id in page}

    async def read(self, node: ModelNode, resource_id: str, operation: int) -> Resource[Any] | None:
        """Return the resource as the transaction sees it; None if it does not exist. The first read becomes a check.

        Raises:
            InvalidParameter: no resource can have this id.
            InvalidInput: the transaction has too much data.
        """
        key = (node.name, resource_id)
        entry = self._entries.get(key)
        if entry is None:
            check_resource_id(resource_id)
            is_loaded = key in self._preloaded
            head = self._preloaded.pop(key) if is_loaded else await node.storage.get(resource_id, current=True)
            return self.add_read(node, resource_id, head, operation)
        return entry.resource

    def add_read(self, node: ModelNode, resource_id: str, head: Head | None, operation: int) -> Resource[Any] | None:
        """Note that the transaction depends on this state of a resource. Return the resource.

        Raises:
            InvalidInput: the transaction has too much data.
        """
        self._add_bytes(_data_bytes(head))
        resource = None if head is None else Resource(node.spec, head)
        version, created_time = (0, "") if head is None else (head.version, head.created_time)
        self._entries[node.name, resource_id] = Entry(node, version, created_time, operation, resource)
        return resource

    def find(self, node: ModelNode, resource_id: str) -> Resource[Any] | None:
        """Return a resource that the transaction has read or written, if it exists."""
        entry = self._entries.get((node.name, resource_id))
        return None if entry is None else entry.resource

    def entries_of(self, node: ModelNode) -> Iterator[tuple[str, Entry]]:
        """Yield id and entry of each resource of the model that the transaction has read or written."""
        for (model, resource_id), entry in self._entries.items():
            if model == node.name:
                yield resource_id, entry

    def find_write(self, node: ModelNode, revision_id: str) -> Write | None:
        """Return the last write of this transaction that made or edited a revision."""
        return self._revisions.get((node.name, revision_id))

    def add_write(self, node: ModelNode, write: Write, operation: int, *, is_upsert: bool = False) -> Resource[Any]:
        """Add a write. Return the resource as it will be.

        Raises:
            InvalidInput: the transaction has too much data.
        """
        self._add_bytes(len(write.data or b""))
        resource_id = write.meta.resource_id
        entry = self._entries.get((node.name, resource_id))
        before = None if entry is None else entry.resource
        after: Resource[Any] = apply_to(node.spec, write, before)
        if entry is None:
            entry = Entry(node, None, "", operation, after)
            self._entries[node.name, resource_id] = entry
        entry.resource, entry.is_written, entry.claims = after, True, None
        if write.revision is not None:
            self._revisions[node.name, write.revision.revision_id] = write
        planned = PlannedWrite(node, write, None if before is None else before.head)
        self.writes.append(JournalItem(planned, operation, node, resource_id, is_upsert))
        return after

    def items(self) -> list[JournalItem]:
        """Return the checks, then the writes. A write checks the version that it follows by itself."""
        checks = [
            JournalItem(
                VersionCheck(entry.node.spec.folder, resource_id, entry.read, entry.created_time),
                entry.operation,
                entry.node,
                resource_id,
            )
            for (_, resource_id), entry in self._entries.items()
            if entry.read is not None and not (entry.is_written and entry.read)
        ]
        return [*checks, *self.writes]

    def _add_bytes(self, size: int) -> None:
        self._data_bytes += size
        if self._data_bytes > MAX_DATA_BYTES:
            limit = MAX_DATA_BYTES // 1024 // 1024
            raise InvalidInput(f"The data that the transaction reads and writes is larger than {limit} MiB.")


def _data_bytes(head: Head | None) -> int:
    return 0 if head is None else len(head.data or b"")
