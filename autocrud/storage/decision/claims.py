"""Judgement of unique claims, as they are at the end of a transaction. So two resources can swap their values."""

from autocrud.errors import UniqueViolation
from autocrud.storage.decision.overlay import Overlay
from autocrud.storage.decision.state import ClaimKey, ResourceKey, ResourceState
from autocrud.storage.ports.claims import Claim
from autocrud.storage.ports.transactions import Transaction
from autocrud.storage.ports.types import Outcome, Write


def move_claims(overlay: Overlay, key: ResourceKey, before: ResourceState | None, after: ResourceState | None) -> None:
    """Release the claims of a resource and claim the new ones. A claim of another resource becomes disputed."""
    released, claimed = _live_claims(before), _live_claims(after)
    if claimed == released:
        return
    model, resource_id = key
    for claim in released:
        overlay.set_holder((model, claim), None)
    for claim in claimed:
        holder = overlay.holder((model, claim))
        if holder in (None, resource_id) and (model, claim) not in overlay.disputes:
            overlay.set_holder((model, claim), resource_id)
        else:
            ids = overlay.disputes.setdefault((model, claim), {})
            ids |= {name: None for name in (holder, resource_id) if name is not None}


def claim_refusals(overlay: Overlay, transaction: Transaction) -> dict[int, Outcome]:
    """Return a refusal for each resource with a claim that another one has at the end, by the number of its last write.

    The resource that had the claim before the transaction keeps it, else the one with the earlier write.
    """
    last_writes = {
        (item.model, item.meta.resource_id): number
        for number, item in enumerate(transaction.items)
        if isinstance(item, Write)
    }
    keepers: dict[ClaimKey, str | None] = {}
    for (model, claim), ids in overlay.disputes.items():
        ranks = {
            name: (not _had(overlay, (model, name), claim), last_writes.get((model, name), -1))
            for name in ids
            if _has(overlay, (model, name), claim)
        }
        keepers[model, claim] = min(ranks, key=lambda name: ranks[name], default=None)
    refusals: dict[int, Outcome] = {}
    for (model, resource_id), number in last_writes.items():
        for claim in _live_claims(overlay.resource((model, resource_id))):
            keeper = keepers.get((model, claim), resource_id)
            if keeper is not None and keeper != resource_id:
                refusals.setdefault(number, UniqueViolation(claim.names, keeper))
    for key, keeper in keepers.items():
        overlay.set_holder(key, keeper)
    return refusals


def _has(overlay: Overlay, key: ResourceKey, claim: Claim) -> bool:
    """Return True if a resource has a claim at the end. One that the transaction does not write was its holder."""
    return key not in overlay.before or claim in _live_claims(overlay.resource(key))


def _had(overlay: Overlay, key: ResourceKey, claim: Claim) -> bool:
    """Return True if a resource had a claim before the transaction."""
    return key not in overlay.before or claim in _live_claims(overlay.before[key])


def _live_claims(state: ResourceState | None) -> tuple[Claim, ...]:
    return () if state is None or state.is_deleted else state.claims
