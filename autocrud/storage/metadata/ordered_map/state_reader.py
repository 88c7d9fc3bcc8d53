"""State reader: loads the state that a decision needs from an ordered map."""

import asyncio
from collections.abc import Sequence

from autocrud.storage.decision.state import MAX_REFERRERS, ReadSet, ReadState, Referrer, ResourceKey, ResourceState
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.codec import decode_head, decode_key
from autocrud.storage.metadata.ordered_map.staged_map import StagedMap
from autocrud.storage.objects.ordered_map.keys import parts_of, prefix_of
from autocrud.storage.ports.contracts import Contract
from autocrud.storage.ports.time_slice import TimeSlice

_CONCURRENT_READS = 100  # of the referrers of targets


async def load_state(staged: StagedMap, reads: ReadSet) -> ReadState:
    """Return the state of these names. The staged map has no changes yet.

    The tail is read before the referrers and tasks. So the commit fails if another batch has changed them.
    """
    heads = {key: layout.head_key(key) for key in reads.resources}
    holders = {key: layout.claim_key(key) for key in reads.holders}
    keys = {key: layout.request_key(key) for key in reads.keys}
    blobs = {key: layout.blob_key(key) for key in reads.blobs}
    contracts = {model: layout.contract_key(model) for model in reads.contracts}
    tables = (heads, holders, keys, blobs, contracts)
    await staged.load([layout.TAIL, *(key for table in tables for key in table.values())])
    tasks = await staged.range(prefix_of("task"), 1)
    targets, referrers = list(reads.referrers), dict[ResourceKey, Sequence[Referrer]]()
    for start in range(0, len(targets), _CONCURRENT_READS):
        page = targets[start : start + _CONCURRENT_READS]
        found = await asyncio.gather(*(_load_referrers(staged, target) for target in page))
        referrers |= zip(page, found, strict=True)
    resources, time_slice = dict[ResourceKey, ResourceState | None](), TimeSlice()
    for name, key in heads.items():
        await time_slice.check()
        resources[name] = _state_of(await staged.get(key))
    stored_keys = {name: await staged.get(key) for name, key in keys.items()}
    contract_values = {model: await staged.get(key) for model, key in contracts.items()}
    holder_ids = {name: await staged.get(key) for name, key in holders.items()}
    return ReadState(
        resources=resources,
        holders={name: None if value is None else value.decode() for name, value in holder_ids.items()},
        keys={name: None if value is None else decode_key(value) for name, value in stored_keys.items()},
        blobs={name: await staged.get(key) is not None for name, key in blobs.items()},
        referrers=referrers,
        has_tasks=bool(tasks),
        contracts={
            model: None if value is None else Contract.from_json(model, value)
            for model, value in contract_values.items()
        },
    )


async def _load_referrers(staged: StagedMap, target: ResourceKey) -> list[Referrer]:
    rows = await staged.range(prefix_of("referrer", *target), MAX_REFERRERS)
    found = ((parts_of(key)[-3:], value.decode()) for key, value in rows)
    return [Referrer(model, resource_id, field, action) for (model, resource_id, field), action in found]


def _state_of(value: bytes | None) -> ResourceState | None:
    return None if value is None else decode_head(value).state
