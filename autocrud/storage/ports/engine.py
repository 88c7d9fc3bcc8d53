"""Port of store engines: the metadata of all models of one store, and their one commit order."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.transactions import START, Position, StoreChange, Transaction, TransactionOutcome


class StoreEngine(ABC):
    """Metadata of all models of one store. The contracts of `IStorage` apply: consistency, order and errors.

    Attributes:
        objects: object store of blobs and of schema records.
    """

    objects: ObjectStore

    @abstractmethod
    async def open(self) -> None:
        """Open what the models share, and finish the work of a crashed process.

        A failed or cancelled call must be followed by `close`.

        Raises:
            ConfigurationError: the store cannot be used with the given settings.
        """

    @abstractmethod
    async def close(self) -> None:
        """Release what the models share. No commit is running. Idempotent, also after a failed `open`."""

    @abstractmethod
    def metadata(self, spec: ModelSpec[Any]) -> MetaStore:
        """Return the metadata store of one model, under `spec.folder`, not yet open. The call must not block.

        The engine is open when the metadata store opens, and closes after it.
        """

    @abstractmethod
    async def stored_models(self) -> set[str]:
        """Return the folders of all models that were ever written to, registered or not."""

    @abstractmethod
    async def commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        """Decide a batch (`autocrud.storage.decision`), and commit the accepted transactions at one commit point.

        Calls never overlap. A raised error concerns the batch as a whole: its outcome is unknown, or nothing was
        committed. The same holds for a cancelled call.

        Returns the outcome of each item of each transaction. An accepted transaction is durable and visible.
        """

    @abstractmethod
    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        """Return at most `limit` committed writes behind a position, in commit order. The answer is never stale.

        Every write that was not erased appears exactly once. A position stays valid across restarts and rebuilds.
        """

    @abstractmethod
    async def last_position(self) -> Position:
        """Return the position of the last committed write, or `START`. The answer is never stale."""
