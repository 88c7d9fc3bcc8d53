"""Judgement of one item: version, idempotency key, blobs and unique claims."""

from autocrud.errors import AlreadyExists, Conflict, UniqueViolation
from autocrud.resource import CommitKind, timestamp
from autocrud.storage.decision.overlay import Overlay
from autocrud.storage.decision.state import REMOVING_KINDS, ResourceState, StoredKey
from autocrud.storage.ports.claims import Claim
from autocrud.storage.ports.transactions import VersionCheck
from autocrud.storage.ports.types import Blob, Outcome, Repeated, UnknownBlob, Write


def apply_check(overlay: Overlay, check: VersionCheck) -> Outcome:
    """Return the refusal of a transaction whose resource has another version than it read."""
    state = overlay.resource((check.model, check.resource_id))
    version = 0 if state is None else state.version
    if check.version != version or (state is not None and state.created_time != check.created_time):
        return Conflict(check.resource_id, check.version)
    return None


def register_blob(overlay: Overlay, blob: Blob) -> Outcome:
    """Register a blob, or return its refusal."""
    key = (blob.model, blob.file_id)
    if overlay.has_blob(key):
        return AlreadyExists(blob.file_id)
    overlay.add_blob(key)
    return None


def apply_write(overlay: Overlay, write: Write) -> Outcome:
    """Apply a write, or return its refusal and change nothing. References are judged at the end of the transaction."""
    model, resource_id = write.model, write.meta.resource_id
    refused = _find_key_refusal(overlay, write) or _find_unknown_blob(overlay, write)
    if refused is not None:
        return refused
    before = overlay.resource((model, resource_id))
    refused = _find_conflict(write, before)
    if refused is not None:
        return refused
    after = state_after(write, before)
    old_claims = () if before is None or before.is_deleted else before.claims
    new_claims = () if after is None or after.is_deleted else after.claims
    if new_claims and new_claims != old_claims:
        refused = _find_violation(overlay, model, resource_id, new_claims)
        if refused is not None:
            return refused
    if old_claims != new_claims:
        _move_claims(overlay, write, old_claims, new_claims)
    overlay.set_resource((model, resource_id), after)
    if after is None:
        for key in overlay.keys_of(model, resource_id):
            overlay.set_stored_key(key, None)
    if write.key is not None:
        stored = StoredKey(write.key.fingerprint, write.key.expires, resource_id)
        overlay.set_stored_key((model, write.key.key), stored)
    if write.kind in REMOVING_KINDS or (after is not None and after.references and not after.is_deleted):
        overlay.changes_references = True
    overlay.has_tasks = overlay.has_tasks or write.has_task
    return None


def _find_key_refusal(overlay: Overlay, write: Write) -> Outcome:
    if write.key is None:
        return None
    stored = overlay.stored_key((write.model, write.key.key))
    if stored is not None and stored.expires > timestamp(write.meta.updated_time):
        return Repeated(stored.resource_id, stored.fingerprint)
    return None


def _find_unknown_blob(overlay: Overlay, write: Write) -> Outcome:
    missing = (file_id for file_id in write.blobs if not overlay.has_blob((write.model, file_id)))
    return next((UnknownBlob(file_id) for file_id in missing), None)


def _find_conflict(write: Write, before: ResourceState | None) -> Outcome:
    resource_id = write.meta.resource_id
    if write.follows == 0:
        return None if before is None else AlreadyExists(resource_id)
    if before is None or before.version != write.follows:
        return Conflict(resource_id, write.follows)
    if before.created_time != timestamp(write.meta.created_time):
        return Conflict(resource_id, write.follows)  # it was purged and created again
    return None


def state_after(write: Write, before: ResourceState | None) -> ResourceState | None:
    """Return the state of a resource after a write. Without new data, its claims and references stay."""
    if write.kind is CommitKind.purge:
        return None
    claims, references = write.claims, write.references
    if write.revision is None and before is not None:
        claims, references = before.claims, before.references
    meta = write.meta
    return ResourceState(meta.version, timestamp(meta.created_time), meta.is_deleted, claims, references)


def _find_violation(overlay: Overlay, model: str, resource_id: str, claims: tuple[Claim, ...]) -> Outcome:
    for claim in claims:
        holder = overlay.holder((model, claim))
        if holder is not None and holder != resource_id:
            return UniqueViolation(claim.names, holder)
    return None


def _move_claims(overlay: Overlay, write: Write, released: tuple[Claim, ...], claimed: tuple[Claim, ...]) -> None:
    for claim in released:
        overlay.set_holder((write.model, claim), None)
    for claim in claimed:
        overlay.set_holder((write.model, claim), write.meta.resource_id)
