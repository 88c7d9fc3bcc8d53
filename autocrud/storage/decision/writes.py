"""Judgement of one item: contract, version, idempotency key and blobs."""

from autocrud.errors import AlreadyExists, Conflict, NewerSchema
from autocrud.resource import CommitKind, timestamp
from autocrud.storage.decision.claims import move_claims
from autocrud.storage.decision.overlay import Overlay
from autocrud.storage.decision.state import REMOVING_KINDS, ResourceState, StoredKey
from autocrud.storage.ports.contracts import Contract, describe_rules
from autocrud.storage.ports.transactions import VersionCheck
from autocrud.storage.ports.types import Blob, ContractExists, Outcome, Repeated, RequestKey, UnknownBlob, Write


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


def apply_contract(overlay: Overlay, contract: Contract) -> Outcome:
    """Store a contract if it follows the contract in the store, or return its refusal."""
    stored = overlay.contract(contract.model)
    if contract.number != (1 if stored is None else stored.number + 1):
        return ContractExists(contract.model, stored)
    overlay.set_contract(contract)
    return None


def apply_write(overlay: Overlay, write: Write) -> Outcome:
    """Apply a write, or return its refusal and change nothing.

    References, and claims that another resource holds, are judged at the end of the transaction.
    """
    contract = overlay.contract(write.model)
    if contract is not None and (beyond := contract.rules_beyond(write.rules)):
        meta, rules = write.meta, describe_rules(beyond)
        return NewerSchema(write.model, meta.resource_id, contract.schema_version, meta.schema_version, rules=rules)
    if write.key is not None and (refused := _find_key_refusal(overlay, write.key, write)):
        return refused
    if write.blobs and (refused := _find_unknown_blob(overlay, write)):
        return refused
    key = (write.model, write.meta.resource_id)
    before = overlay.resource(key)
    after = state_after(write, before)
    if refused := _find_conflict(write, before):
        return refused
    move_claims(overlay, key, before, after)
    overlay.set_resource(key, after)
    if after is None:
        for name in overlay.keys_of(*key):
            overlay.set_stored_key(name, None)
    if write.key is not None:
        stored = StoredKey(write.key.fingerprint, write.key.expires, key[1])
        overlay.set_stored_key((write.model, write.key.key), stored)
    if write.kind in REMOVING_KINDS or (after is not None and after.references and not after.is_deleted):
        overlay.changes_references = True
    if write.has_task:
        overlay.has_tasks = True
    return None


def _find_key_refusal(overlay: Overlay, key: RequestKey, write: Write) -> Outcome:
    stored = overlay.stored_key((write.model, key.key))
    if stored is not None and stored.expires > timestamp(write.meta.updated_time):
        return Repeated(stored.resource_id, stored.fingerprint)
    return None


def _find_unknown_blob(overlay: Overlay, write: Write) -> Outcome:
    for file_id in write.blobs:
        if not overlay.has_blob((write.model, file_id)):
            return UnknownBlob(file_id)
    return None


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
    created_time = timestamp(meta.created_time) if before is None else before.created_time
    return ResourceState(meta.version, created_time, meta.is_deleted, claims, references)
