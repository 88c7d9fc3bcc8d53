"""Planner: the writes of transactions to the resources of one model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from uuid_utils import uuid7

from autocrud.errors import AlreadyExists, Deleted, NotFound
from autocrud.manager.transaction.journal import Entry, Journal
from autocrud.manager.upsert.claims import Claim, Holder
from autocrud.manager.upsert.on_conflict import check_on_conflict
from autocrud.manager.upsert.upserter import Upserter, UpsertOptions
from autocrud.references.graph import ModelNode
from autocrud.resource import RevisionStatus, check_resource_id, revision_number
from autocrud.storage.ports.types import Write
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.json_patch import Patch, as_patch
from autocrud.versioning.mutations import MAX_PATCHED, Change, Mutations, Tags, plan_write
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author, Encoded, create_write, switch_write

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """Place of an operation: the journal of its transaction, its number, and the author."""

    journal: Journal
    operation: int
    by: str | None


class Planner(Generic[T]):
    """Plans the operations of transactions on one model's resources."""

    def __init__(self, node: ModelNode, encoder: Encoder[T], mutations: Mutations[T], upserts: Upserter[T]) -> None:
        self.node = node
        self._encoder = encoder
        self._mutations = mutations
        self._upserts = upserts

    async def get(self, place: Place, resource_id: str, *, include_deleted: bool = False) -> Resource[T]:
        """Return a resource as the transaction sees it.

        Raises:
            InvalidParameter: no resource can have this id.
            NotFound, Deleted: the resource does not exist, or is soft-deleted and `include_deleted` is not set.
        """
        resource = await place.journal.read(self.node, resource_id, place.operation)
        if resource is None:
            raise NotFound(self.node.name, resource_id)
        if resource.head.is_deleted and not include_deleted:
            raise Deleted(self.node.name, resource_id)
        return resource

    async def create(
        self,
        place: Place,
        value: Any,
        *,
        resource_id: str | None = None,
        status: RevisionStatus | None = None,
        on_conflict: str = "error",
        max_bytes: int = MAX_PATCHED,
    ) -> Resource[T]:
        """Plan a create. Arguments and errors are those of `ResourceManager.create`."""
        choice = check_on_conflict(self.node.spec, on_conflict, resource_id)
        if choice.is_upsert:
            body = await self._upserts.read(value, choice)
            options = UpsertOptions(by=place.by, status=status, max_bytes=max_bytes)
            holders = await self._find_holders(place, body.claims)
            if holders:
                change = self._upserts.change_of(body, options)
                return await self._take(place, holders, change)
            if body.encoded is None:
                raise body.refusal or LookupError("a body without data has a refusal")
            return self._add_create(place, str(uuid7()), body.encoded, status, is_upsert=True)
        resource_id = str(uuid7()) if resource_id is None else check_resource_id(resource_id)
        encoded = await self._encoder.encode(value)
        if place.journal.find(self.node, resource_id) is not None:
            raise AlreadyExists(resource_id)
        return self._add_create(place, resource_id, encoded, status)

    async def replace(
        self,
        place: Place,
        resource_id: str,
        value: Any,
        *,
        if_match: Tags | None = None,
        modify: bool = False,
        status: RevisionStatus | None = None,
    ) -> Resource[T]:
        """Plan a replacement. Arguments and errors are those of `ResourceManager.replace`."""
        encoded = await self._mutations.replacements.encode(value)
        change = self._mutations.replace(encoded, modify=modify, status=status)
        return await self._change(place, resource_id, change, if_match)

    async def patch(
        self,
        place: Place,
        resource_id: str,
        patch: Patch | Mapping[str, Any] | Sequence[Mapping[str, Any]],
        *,
        if_match: Tags | None = None,
        modify: bool = False,
        status: RevisionStatus | None = None,
        max_bytes: int = MAX_PATCHED,
    ) -> Resource[T]:
        """Plan a patch. Arguments and errors are those of `ResourceManager.patch`."""
        change = self._mutations.patch(as_patch(patch), modify=modify, status=status, max_bytes=max_bytes)
        return await self._change(place, resource_id, change, if_match)

    async def switch(
        self, place: Place, resource_id: str, revision_id: str, *, if_match: Tags | None = None
    ) -> Resource[T]:
        """Plan a switch to another revision, which the transaction itself may have made."""
        name = f"{resource_id}:{revision_number(resource_id, revision_id)}"
        made = place.journal.find_write(self.node, name)
        change = self._mutations.switch(revision_id) if made is None else self._switch_to(made)
        return await self._change(place, resource_id, change, if_match)

    async def delete(self, place: Place, resource_id: str, *, if_match: Tags | None = None) -> Resource[T]:
        """Plan a soft delete. Arguments and errors are those of `ResourceManager.delete`."""
        return await self._change(place, resource_id, self._mutations.delete, if_match)

    async def restore(self, place: Place, resource_id: str, *, if_match: Tags | None = None) -> Resource[T]:
        """Plan a restore. Arguments and errors are those of `ResourceManager.restore`."""
        return await self._change(place, resource_id, self._mutations.restore, if_match, include_deleted=True)

    async def check(self, place: Place, resource_id: str, *, if_match: Tags) -> Resource[T]:
        """Refuse a live resource whose tag is not among the given tags, now and at the commit."""

        async def change_nothing(_current: Resource[T], _author: Author) -> None:
            return None

        return await self._change(place, resource_id, change_nothing, if_match)

    async def _change(
        self,
        place: Place,
        resource_id: str,
        change: Change[T],
        if_match: Tags | None,
        *,
        include_deleted: bool = False,
    ) -> Resource[T]:
        current = await self.get(place, resource_id, include_deleted=include_deleted)
        write = await plan_write(current, if_match, place.by, change)
        return current if write is None else place.journal.add_write(self.node, write, place.operation)

    def _add_create(
        self,
        place: Place,
        resource_id: str,
        encoded: Encoded,
        status: RevisionStatus | None,
        *,
        is_upsert: bool = False,
    ) -> Resource[T]:
        spec, author = self.node.spec, Author(place.by, datetime.now(UTC))
        write = create_write(spec, resource_id, encoded, author, status or spec.default_status, None)
        return place.journal.add_write(self.node, write, place.operation, is_upsert=is_upsert)

    def _switch_to(self, made: Write) -> Change[T]:
        """Return the change to a revision that this transaction has made."""

        async def switch(current: Resource[T], author: Author) -> Write | None:
            meta, revision = current.meta, made.revision
            if revision is None or made.data is None or meta.current_revision_id == revision.revision_id:
                return None
            return switch_write(self.node.spec, meta, revision, Encoded(made.data, made.blobs), author)

        return switch

    async def _find_holders(self, place: Place, claims: Sequence[Claim]) -> list[Holder]:
        """Return the resources that hold one of the claims, as the transaction sees them."""
        stored = await self._upserts.claims.find_holders(claims, None)
        holders = {holder.head.resource_id: holder for holder in stored}
        for resource_id, entry in place.journal.entries_of(self.node):
            holders.pop(resource_id, None)
            if holder := self._holder_in(entry, claims):
                holders[resource_id] = holder
        return list(holders.values())

    def _holder_in(self, entry: Entry, claims: Sequence[Claim]) -> Holder | None:
        """Return the resource of an entry if it holds one of the claims. Its own claims are read from its data once."""
        if entry.resource is None:
            return None
        head = entry.resource.head
        if head.fault is not None:
            return self._upserts.claims.holder_of(head, claims)
        if entry.claims is None:
            entry.claims = frozenset(self._upserts.claims.of_head(head))
        shared = tuple(claim for claim in claims if claim in entry.claims)
        return Holder(head, shared) if shared else None

    async def _take(self, place: Place, holders: list[Holder], change: Change[T] | None) -> Resource[T]:
        """Return or change the only holder.

        Raises:
            DifferentHolders: there are several holders.
            Unreadable, NewerSchema: the holder cannot be read, or is newer than this process.
        """
        if len(holders) > 1:
            raise self._upserts.different_holders(holders)
        head = holders[0].head
        if head.fault is not None:
            raise head.fault
        if place.journal.find(self.node, head.resource_id) is None:
            place.journal.add_read(self.node, head.resource_id, head, place.operation)
        if change is None:
            return replace(await self.get(place, head.resource_id), is_new=False)
        return await self._change(place, head.resource_id, change, None)
