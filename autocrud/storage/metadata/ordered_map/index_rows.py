"""Index rows: the claims and referrers of a resource in an ordered map."""

from autocrud.storage.decision.state import BINDING_ACTIONS, Referrer, ResourceKey, ResourceState
from autocrud.storage.metadata.ordered_map import layout
from autocrud.storage.metadata.ordered_map.staged_map import StagedMap


def move_index_rows(
    staged: StagedMap, resource: ResourceKey, before: ResourceState | None, after: ResourceState | None
) -> None:
    """Replace the claims and referrers of a resource. Only a live resource has any."""
    old_rows, new_rows = _index_rows(resource, before), _index_rows(resource, after)
    for key in old_rows.keys() - new_rows.keys():
        # Within a transaction, another resource may have taken the claim before.
        staged.delete_value(key, old_rows[key])
    for key, value in new_rows.items():
        if old_rows.get(key) != value:
            staged.put(key, value)


def _index_rows(resource: ResourceKey, state: ResourceState | None) -> dict[bytes, bytes]:
    if state is None or state.is_deleted:
        return {}
    rows = {layout.claim_key((resource[0], claim)): resource[1].encode() for claim in state.claims}
    for item in state.references:
        if item.on_delete in BINDING_ACTIONS:
            referrer = Referrer(*resource, item.field, item.on_delete)
            rows[layout.referrer_key((item.model, item.resource_id), referrer)] = item.on_delete.encode()
    return rows
