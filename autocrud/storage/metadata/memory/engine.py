"""Engine of a store in memory: dicts that all models of a factory share. They are lost when the process ends."""

from collections.abc import Sequence
from typing import Any

from autocrud.errors import ConfigurationError
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.blobs.hashing import blob_object_key
from autocrud.storage.blobs.uploaded_types import types_key
from autocrud.storage.decision.decide import Decision, MoreReads, decision_steps
from autocrud.storage.decision.state import NamedKey, ReadSet, ReadState, read_set_of
from autocrud.storage.metadata.memory.batch_apply import BatchApply
from autocrud.storage.metadata.memory.respecify import has_same_form, respecify
from autocrud.storage.metadata.memory.store import MemoryMetaStore
from autocrud.storage.metadata.memory.store_tables import StoreTables
from autocrud.storage.metadata.memory.tables import MemoryTables
from autocrud.storage.objects.memory import MemoryObjectStore
from autocrud.storage.ports.engine import StoreEngine
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.not_open import refuse_unless_open
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.time_slice import run_in_slices
from autocrud.storage.ports.transactions import START, Position, StoreChange, Transaction, TransactionOutcome
from autocrud.storage.ports.types import Blob, Write


@refuse_unless_open(StoreEngine)
class MemoryEngine(StoreEngine):
    """Models of one store in this process. Their content survives `close`."""

    is_open = False

    def __init__(self) -> None:
        self.objects: ObjectStore = MemoryObjectStore()
        self._tables = StoreTables()
        self._models: dict[str, MemoryTables] = {}
        self._sequence = 0
        self._orphans: list[tuple[str, Blob]] = []

    async def open(self) -> None:
        await self.objects.open()
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False
        await self.objects.close()

    def metadata(self, spec: ModelSpec[Any]) -> MetaStore:
        return MemoryMetaStore(self._tables, lambda: self._attach(spec))

    async def stored_models(self) -> set[str]:
        await self._tables.wait_until_applied()
        return {folder for folder, tables in self._models.items() if tables.is_stored}

    async def commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        self._refuse_unknown_models(batch)
        decision = await self._decide(batch)
        if decision.accepted:
            self._sequence += 1
            apply = BatchApply(self._tables, self._models, self._sequence)
            with self._tables.applying():
                self._orphans += await run_in_slices(apply.steps(decision.accepted))
        while self._orphans:
            folder, blob = self._orphans.pop()
            await self.objects.delete(blob_object_key(folder, types_key(blob.key)))
            await self.objects.delete(blob_object_key(folder, blob.key))
        return decision.outcomes

    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        await self._tables.wait_until_applied()
        return self._tables.changes.page(after, limit)

    async def last_position(self) -> Position:
        await self._tables.wait_until_applied()
        return self._tables.changes.last

    def _attach(self, spec: ModelSpec[Any]) -> MemoryTables:
        """Return the tables of a model.

        Raises:
            ConfigurationError: the model is open in another form, or its stored resources violate a unique constraint.
        """
        tables = self._models.setdefault(spec.folder, MemoryTables(spec))
        if not has_same_form(tables.spec, spec):
            if tables.open_count:
                raise ConfigurationError(f"{spec.type_name}: another form of {spec.folder!r} is open in this store")
            respecify(self._tables, tables, spec)
        return tables

    async def _decide(self, batch: Sequence[Transaction]) -> Decision:
        state = self._load(read_set_of(batch))
        while isinstance(decision := await run_in_slices(decision_steps(state, batch)), MoreReads):
            state.add(self._load(decision.reads))
        return decision

    def _load(self, reads: ReadSet) -> ReadState:
        has_tasks = any(tables.pending for tables in self._models.values())
        return self._tables.load(reads, self._has_blob, has_tasks)

    def _has_blob(self, key: NamedKey) -> bool:
        tables = self._models.get(key[0])
        return tables is not None and key[1] in tables.blobs

    def _refuse_unknown_models(self, batch: Sequence[Transaction]) -> None:
        """Refuse writes whose storage has not prepared them, or is not open."""
        models = {item.model for transaction in batch for item in transaction.items if isinstance(item, Write)}
        if unknown := models - self._models.keys():
            raise ConfigurationError(f"no open storage of this store has the model {min(unknown)!r}")
