"""Mutations: rules that turn an operation on a resource into a write."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic_core import from_json

from autocrud.errors import NewerSchema, NotDraft, PayloadTooLarge, PreconditionFailed
from autocrud.guard.field_guard import FieldGuard
from autocrud.resource import CommitKind, RevisionStatus, revision_number
from autocrud.schema.exact_numbers import dump_json
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Write
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.history import History
from autocrud.versioning.json_patch import Patch
from autocrud.versioning.replacement import Replacements
from autocrud.versioning.retention import next_prune_count
from autocrud.versioning.stored_resource import TAG_SEPARATOR, Resource
from autocrud.versioning.write_builder import (
    Author,
    Encoded,
    modify_write,
    next_meta,
    prune_write,
    switch_write,
    update_write,
)

T = TypeVar("T")

MAX_PATCHED = 4 * 1024 * 1024

# The tags that a caller's precondition accepts: one tag, or several. `ANY` accepts every state of an existing resource.
Tags = str | Collection[str]
ANY: Tags = ("*",)


class WeakTags(tuple[str, ...]):
    """Strong tags of a precondition that listed weak tags, too. If-Match matches no weak tag (RFC 9110, 13.1.1)."""


# Makes a write from the current resource and the author; None if nothing changes.
Change = Callable[[Resource[T], Author], Awaitable[Write | None]]


async def plan_write(current: Resource[T], if_match: Tags | None, by: str | None, change: Change[T]) -> Write | None:
    """Return the write of a change, or None if the change has no effect.

    Raises:
        PreconditionFailed: the resource's tag is not among the given tags.
        NewerSchema: the resource has a newer schema version than the model.
    """
    if if_match is not None:
        _check_tags(current, if_match)
    own_version, meta = current.spec.schema.version, current.meta
    if meta.schema_version > own_version:
        raise NewerSchema(current.spec.name, current.resource_id, meta.schema_version, own_version)
    # A clock may lag behind the one that wrote before; times follow the order of the commits.
    return await change(current, Author(by, max(datetime.now(UTC), meta.updated_time)))


def _check_tags(current: Resource[Any], if_match: Tags) -> None:
    """Refuse a precondition that the current state does not meet. A tag may be in quotes, as in an `ETag` header.

    The part of a tag after `+` is about the shown form, which a write does not depend on.
    """
    tags = [if_match] if isinstance(if_match, str) else if_match
    accepted = {current.tag, f'"{current.tag}"', "*"}
    if any(tag in accepted or _version_of(tag) == current.tag for tag in tags):
        return
    reason = "If-Match matches no weak tag (W/)." if isinstance(if_match, WeakTags) else ""
    raise PreconditionFailed(current.resource_id, current.tag, reason=reason)


def _version_of(tag: str) -> str:
    """Return the version of an entity tag with two parts; empty for any other tag."""
    version, separator, _ = tag.removeprefix('"').partition(TAG_SEPARATOR)
    return version if separator else ""


def _patched_data(current: Resource[Any]) -> bytes:
    """Return the data that a patch applies to. A patch may repair data that the model does not accept any more.

    Raises:
        Unreadable, NewerSchema: data of another schema version cannot be read.
    """
    is_repairable = current.head.fault is not None and current.head.data is not None
    return (current.head.data or b"") if is_repairable else current.data_json


class Mutations(Generic[T]):
    """Makes the changes of one model's resources.

    Args:
        fields: rules of fields for the principal; None without rules.

    Attributes:
        replacements: encodes the values of `replace`.
    """

    def __init__(
        self,
        spec: ModelSpec[T],
        storage: IStorage,
        encoder: Encoder[T],
        history: History,
        fields: FieldGuard | None = None,
    ) -> None:
        self._spec = spec
        self._storage = storage
        self._encoder = encoder
        self._history = history
        self._fields = fields
        self.replacements = Replacements(spec, encoder, fields)

    def replace(self, value: Any, *, modify: bool = False, status: RevisionStatus | None = None) -> Change[T]:
        """Return the change to another value, as `Replacements.encode` returns it."""

        async def replace(current: Resource[T], author: Author) -> Write | None:
            # Data that cannot be read has no value that the client could have sent back.
            data = None if current.head.fault is not None else current.data_json
            encoded = await self.replacements.encode_for(data, value)
            return await self._rewritten(current, encoded, author, modify, status)

        return replace

    def patch(
        self,
        patch: Patch,
        *,
        modify: bool = False,
        status: RevisionStatus | None = None,
        max_bytes: int = MAX_PATCHED,
    ) -> Change[T]:
        """Return the change by a patch, with a limit for the size of its result."""

        async def apply(current: Resource[T], author: Author) -> Write | None:
            names, data = self._spec.names, _patched_data(current)
            is_checked = self._spec.check_idempotent(data)
            visible = data if self._fields is None else self._fields.visible(data)
            patch_names = names if self._spec.stored_form.reads_shown else self._spec.shown_values(visible)
            document = patch.apply(names.open_json(from_json(visible)), max_bytes, patch_names)
            # NaN, which JSON lacks, must not become null on the way to the validator that refuses it.
            patched = dump_json(names.close_json(document))
            if len(patched) > max_bytes:
                raise PayloadTooLarge(max_bytes)
            if self._fields is not None and self._fields.is_active:
                patched = self._fields.restored(patched, data)
            encoded = await self._encoder.encode_patched(patched, data)
            if not is_checked:  # the patch repaired a document that the validators had refused
                self._spec.check_idempotent(encoded.data)
            return await self._rewritten(current, encoded, author, modify, status)

        return apply

    def switch(self, revision_id: str) -> Change[T]:
        """Return the change to another current revision."""

        async def switch(current: Resource[T], author: Author) -> Write | None:
            meta, number = current.meta, revision_number(current.resource_id, revision_id)
            if meta.current_revision_id == f"{current.resource_id}:{number}":
                return None
            revision = await self._history.revision(current.resource_id, number)
            stored = await self._storage.data(revision)
            data = await self._storage.versions.data(stored, revision.info.schema_version, revision.revision_id)
            blobs = await self._storage.blobs_of(current.resource_id, revision.data_version)
            encoded = Encoded(data, tuple(blobs), None if data is stored else stored)
            return switch_write(self._spec, meta, revision.info, encoded, author)

        return switch

    async def delete(self, current: Resource[T], author: Author) -> Write | None:
        """Plan a soft delete."""
        meta = current.meta
        return Write(CommitKind.delete, meta.version, next_meta(meta, author, is_deleted=True))

    async def restore(self, current: Resource[T], author: Author) -> Write | None:
        """Plan the restore of a deleted resource."""
        meta = current.meta
        if not meta.is_deleted:
            return None
        return Write(CommitKind.restore, meta.version, next_meta(meta, author, is_deleted=False))

    async def purge(self, current: Resource[T], author: Author) -> Write | None:
        """Plan a purge."""
        meta = current.meta
        return Write(CommitKind.purge, meta.version, next_meta(meta, author, is_deleted=True, created_by=None))

    async def prune(self, current: Resource[T], author: Author) -> Write | None:
        """Plan the prune of old data, by the model's retention."""
        meta = current.meta
        number = await next_prune_count(
            self._storage, self._spec.retention, meta, meta.total_revision_count, author.now
        )
        return prune_write(meta, number) if number else None

    async def _rewritten(
        self, current: Resource[T], encoded: Encoded, author: Author, modify: bool, status: RevisionStatus | None
    ) -> Write | None:
        meta = current.meta
        # Data that cannot be read can be replaced. The unreadable revision stays in the history.
        same = current.head.fault is None and current.data_json == encoded.data
        if modify and not same and meta.status is not RevisionStatus.draft:
            raise NotDraft(meta.current_revision_id)
        if modify or same:
            status_after = status or meta.status
            if same and status_after is meta.status:
                return None
            if same:  # only the status changes: the bytes of the revision stay
                encoded = replace(encoded, stored=current.head.stored)
            return modify_write(self._spec, meta, current.revision_info, encoded, author, status_after)
        number = meta.total_revision_count + 1
        prunes = await next_prune_count(self._storage, self._spec.retention, meta, number, author.now)
        return update_write(self._spec, meta, encoded, author, status or self._spec.default_status, prunes)
