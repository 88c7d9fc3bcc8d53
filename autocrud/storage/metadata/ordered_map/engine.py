"""Engine of a store over an ordered map: one commit order for all models, kept by the version of one key."""

import asyncio
import logging
from collections.abc import Sequence
from random import random
from time import monotonic
from typing import Any

from autocrud.errors import StorageUnavailable
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.blobs.hashing import blob_object_key
from autocrud.storage.blobs.uploaded_types import types_key
from autocrud.storage.decision.decide import Decision, MoreReads, decision_steps
from autocrud.storage.decision.state import NamedKey, read_set_of
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.batch_apply import BatchApply
from autocrud.storage.metadata.ordered_map.codec import decode_blob, decode_change, decode_tail
from autocrud.storage.metadata.ordered_map.model_forms import ModelForms, StaleResources
from autocrud.storage.metadata.ordered_map.staged_map import StagedMap
from autocrud.storage.metadata.ordered_map.state_reader import load_state
from autocrud.storage.metadata.ordered_map.store import OrderedMapMetaStore
from autocrud.storage.objects.ordered_map.keys import end_of, last_part, prefix_of, scan
from autocrud.storage.objects.ordered_map.store import MapObjectStore, object_deletion, object_key
from autocrud.storage.ports.engine import StoreEngine
from autocrud.storage.ports.metadata import MetaStore
from autocrud.storage.ports.not_open import refuse_unless_open
from autocrud.storage.ports.objects import ObjectStore
from autocrud.storage.ports.ordered_map import MapConflict, OrderedMap
from autocrud.storage.ports.time_slice import run_in_slices
from autocrud.storage.ports.transactions import START, Position, StoreChange, Transaction, TransactionOutcome

logger = logging.getLogger(__name__)

_MAX_ATTEMPTS = 50  # of a batch that other processes disturb


@refuse_unless_open(StoreEngine)
class OrderedMapEngine(StoreEngine):
    """Models of one store in an ordered map.

    A batch is one commit of the map. It expects the tail of the commit order as it was read, so that of two processes
    one decides again. Two commits with the same sequence cannot both succeed.

    Args:
        name: name of the store for messages.
    """

    is_open = False

    def __init__(self, ordered_map: OrderedMap, name: str) -> None:
        self.objects: ObjectStore = MapObjectStore(ordered_map)
        self._map = ordered_map
        self._name = name
        self._forms = ModelForms(ordered_map)

    async def open(self) -> None:
        await self._map.open()
        await self.objects.open()
        self.is_open = True
        logger.info("%s: an ordered map has no indexes, so each query reads all resources of a model", self._name)

    async def close(self) -> None:
        self.is_open = False
        await self.objects.close()
        await self._map.close()

    def metadata(self, spec: ModelSpec[Any]) -> MetaStore:
        return OrderedMapMetaStore(spec, self._map, self._forms)

    async def stored_models(self) -> set[str]:
        prefix = prefix_of("model")
        return {last_part(key) async for key, _ in scan(self._map, prefix, end_of(prefix))}

    async def commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        for _ in range(_MAX_ATTEMPTS):
            started_at = monotonic()
            try:
                return await self._try_commit(batch)
            except StaleResources:
                await self._forms.refresh()
            except MapConflict as error:
                logger.debug("%s: a batch begins again: %s", self._name, error)
                # Rivals that pause for random parts of an attempt do not meet again.
                await asyncio.sleep(2 * random() * (monotonic() - started_at))
        raise StorageUnavailable(f"other processes committed {_MAX_ATTEMPTS} times meanwhile; try again")

    async def changes(self, after: Position = START, limit: int = 100) -> list[StoreChange]:
        start, end = layout.change_key(after) + b"\0", end_of(prefix_of("change"))
        return [decode_change(item.value) async for _, item in scan(self._map, start, end, limit=limit)]

    async def last_position(self) -> Position:
        item = (await self._map.get([layout.TAIL])).get(layout.TAIL)
        return decode_tail(None if item is None else item.value).last

    async def check(self) -> None:
        """Raise `StorageUnavailable` unless the map answers."""
        await self._map.get([layout.TAIL])

    async def _try_commit(self, batch: Sequence[Transaction]) -> list[TransactionOutcome]:
        """Decide a batch and commit it. Refusals are checked by a commit, too: the state was of one moment."""
        staged, reads = StagedMap(self._map), read_set_of(batch)
        state = await load_state(staged, reads)
        models = {item.model for transaction in batch for item in transaction.items}
        noted_models = await self._forms.check(staged, models)
        while isinstance(decision := await run_in_slices(decision_steps(state, batch)), MoreReads):
            state.add(await load_state(staged, decision.reads))
        await self._stage(staged, decision, noted_models)
        await staged.commit()
        return decision.outcomes

    async def _stage(self, staged: StagedMap, decision: Decision, noted_models: set[str]) -> None:
        if decision.accepted:
            for blob in await BatchApply(staged, noted_models).apply(decision.accepted):
                await _delete_blob(staged, blob)


async def _delete_blob(staged: StagedMap, name: NamedKey) -> None:
    """Delete a blob, its bytes and its types."""
    value = await staged.get(layout.blob_key(name))
    if value is None:
        return
    staged.delete(layout.blob_key(name))
    key = decode_blob(value).key
    for object_name in (blob_object_key(name[0], key), blob_object_key(name[0], types_key(key))):
        header = await staged.get(object_key(object_name))
        for changed_key in {} if header is None else object_deletion(object_name, header):
            staged.delete(changed_key)
