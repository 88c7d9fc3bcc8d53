"""Transactions: writes and checks over the models of one store, which commit as a whole or not at all."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from autocrud.resource import CommitKind
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.types import Blob, Outcome, Write


@dataclass(frozen=True, slots=True)
class VersionCheck:
    """A condition of a transaction: the resource still has the version that was read.

    Attributes:
        model: folder of the model.
        version: version that was read; 0 if the resource did not exist.
        created_time: tells the resource from one with the same id that was created after a purge; "" if absent.
    """

    model: str
    resource_id: str
    version: int
    created_time: str = ""


@dataclass(frozen=True, slots=True)
class Dependent:
    """A resource that an on-delete task of the transaction is going to delete. It stays live until then.

    A live referrer with `restrict` refuses the transaction, as if the resource was deleted in the transaction. So does
    a referrer with `cascade` that the transaction neither deletes nor names as a dependent.

    Attributes:
        model: folder of the model.
    """

    model: str
    resource_id: str


TransactionItem = Write | Blob | VersionCheck | Dependent | Contract


@dataclass(frozen=True, slots=True)
class Transaction:
    """Writes, new blobs, checks, dependents and contracts that commit together or not at all.

    A later item sees the effects of earlier ones. References are judged at the end of the transaction.
    """

    items: Sequence[TransactionItem]


def has_writes(batch: Sequence[Transaction]) -> bool:
    """Return True if a batch writes to resources or registers blobs. Contracts and checks alone do not count."""
    return any(isinstance(item, Write | Blob) for transaction in batch for item in transaction.items)


# Of each item: None, or its refusal. If one item is refused, the outcome of the items without a fault is `Aborted`.
TransactionOutcome = list[Outcome]


class Position(NamedTuple):
    """Place of a write in the commit order of a store.

    Attributes:
        sequence: number of the batch; numbers have no gaps and begin at 1.
        ordinal: place of the write in its batch, beginning at 0. Blobs count, too.
    """

    sequence: int
    ordinal: int


START = Position(0, 0)


@dataclass(frozen=True, slots=True)
class StoreChange:
    """A committed write, as the feed of a store lists it.

    Attributes:
        model: folder of the model.
        version: version of the resource after the write.
    """

    position: Position
    model: str
    resource_id: str
    version: int
    kind: CommitKind


class TransactionStore(ABC):
    """Commits transactions over the models of one store, in one commit order.

    Attributes:
        name: name of the store for messages. It has no secrets.
    """

    name: str

    @abstractmethod
    async def commit(self, transactions: Sequence[Transaction]) -> list[TransactionOutcome]:
        """Commit transactions, in order, each as a whole or not at all.

        The storage of each model has prepared the writes (`IStorage.prepare`). A cancelled call may have committed any
        of the transactions.

        Returns the outcome of each item of each transaction: None if it is durable and visible, else its refusal.
        After `StorageUnavailable` the outcome is unknown.
        """

    @abstractmethod
    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        """Return at most `limit` committed writes behind a position, in commit order. The answer is never stale.

        Every write that was not erased appears exactly once. A position stays valid across restarts and rebuilds.
        """

    @abstractmethod
    async def last_position(self) -> Position:
        """Return the position of the last committed write, or `START`. The answer is never stale."""
