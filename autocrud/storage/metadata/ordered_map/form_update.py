"""Form update: computes the claims and references of stored resources anew."""

import logging
from collections.abc import Sequence
from typing import Any

from autocrud.errors import StorageUnavailable
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.codec import decode_head, encode_head
from autocrud.storage.metadata.ordered_map.index_rows import move_index_rows
from autocrud.storage.metadata.ordered_map.row_reader import RowReader
from autocrud.storage.metadata.ordered_map.staged_map import StagedMap
from autocrud.storage.metadata.scan.rows import Row
from autocrud.storage.ports.claims import Claim, claims_of, references_of
from autocrud.storage.ports.ordered_map import MapConflict, OrderedMap

logger = logging.getLogger(__name__)

_MAX_ATTEMPTS = 50


async def update_resources(
    ordered_map: OrderedMap, spec: ModelSpec[Any], resource_ids: Sequence[str], *, has_references: bool
) -> None:
    """Give resources the claims and references of the model's form, in one commit, and remove their notes.

    Args:
        has_references: the model's references are known, and replace the stored ones.
    """
    for _ in range(_MAX_ATTEMPTS):
        staged = StagedMap(ordered_map)
        # A new version of the tail makes other processes decide again, which may have read the referrers.
        if (tail := await staged.get(layout.TAIL)) is not None:
            staged.put(layout.TAIL, tail)
        await _stage_update(staged, RowReader(spec, ordered_map), resource_ids, has_references)
        try:
            await staged.commit()
        except MapConflict:
            continue
        return
    raise StorageUnavailable(f"other processes changed resources of {spec.name} {_MAX_ATTEMPTS} times meanwhile")


async def _stage_update(
    staged: StagedMap, reader: RowReader, resource_ids: Sequence[str], has_references: bool
) -> None:
    spec = reader.spec
    keys = {resource_id: layout.head_key((spec.folder, resource_id)) for resource_id in resource_ids}
    await staged.load(keys.values())
    values = {resource_id: await staged.get(key) for resource_id, key in keys.items()}
    heads = {resource_id: decode_head(value) for resource_id, value in values.items() if value is not None}
    for row in await reader.rows_of([stored.head for stored in heads.values()]):
        stored, resource_id = heads[row.head.resource_id], row.head.resource_id
        after = stored.state._replace(claims=await _undisputed_claims(staged, spec, row))
        if has_references:
            references = references_of(spec.index_fields, spec.reference_targets, row.index)
            after = after._replace(references=references)
        move_index_rows(staged, (spec.folder, resource_id), stored.state, after)
        staged.put(keys[resource_id], encode_head(stored._replace(state=after)))
    for resource_id in resource_ids:
        staged.delete(layout.stale_key(spec.folder, resource_id))


async def _undisputed_claims(staged: StagedMap, spec: ModelSpec[Any], row: Row) -> tuple[Claim, ...]:
    """Return the claims of a resource, without those that another live resource has."""
    found: list[Claim] = []
    for claim in claims_of(spec.unique_constraints, row.index):
        holder = await staged.get(layout.claim_key((spec.folder, claim)))
        if holder is None or row.head.is_deleted or holder.decode() == row.head.resource_id:
            found.append(claim)
        else:
            logger.warning(
                "%s: %r and %r share the values of %s, because processes of two versions wrote them",
                spec.name, holder.decode(), row.head.resource_id, ", ".join(claim.names),
            )  # fmt: skip
    return tuple(found)
