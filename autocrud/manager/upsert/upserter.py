"""Upserter: creates a resource, or returns or changes the resource that holds its unique values."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from uuid_utils import uuid7

from autocrud.errors import (
    AutoCRUDError,
    Conflict,
    Deleted,
    DifferentHolders,
    NotFound,
    ReferenceNotFound,
    UniqueViolation,
)
from autocrud.manager.mutation_runner import MutationRunner
from autocrud.manager.repeated_requests import RepeatedRequests, with_version
from autocrud.manager.upsert.body import BodyReader, UpsertBody
from autocrud.manager.upsert.claims import Claims, Holder
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.references.integrity import ReferenceIntegrity
from autocrud.resource import RevisionStatus
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Repeated, RequestKey, Write
from autocrud.versioning.encoder import Encoder
from autocrud.versioning.mutations import MAX_PATCHED, Change, Mutations
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import Author, Encoded, apply_to, create_write, request_key

T = TypeVar("T")

_MAX_RETRIES = 10


class _HolderChanged(Exception):
    """The resource no longer holds the unique values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertOptions:
    """Options of an upsert.

    Attributes:
        by: author of the create or of the new revision.
        status: status of the revision; the model's default if None.
        key: request key, or None.
        max_bytes: size limit of merged JSON, in bytes.
    """

    by: str | None = None
    status: RevisionStatus | None = None
    key: RequestKey | None = None
    max_bytes: int = MAX_PATCHED


class Upserter(Generic[T]):
    """Runs the upserts of one model.

    The commit decides races. An upsert first creates. If a unique constraint refuses the create, the upsert reads the
    holder as of now and changes that version of the holder. If the holder is gone meanwhile, the upsert begins again.
    """

    def __init__(
        self,
        spec: ModelSpec[T],
        storage: IStorage,
        encoder: Encoder[T],
        mutations: Mutations[T],
        runner: MutationRunner[T],
        references: ReferenceIntegrity,
        repeated: RepeatedRequests,
    ) -> None:
        self._spec = spec
        self._mutations = mutations
        self._runner = runner
        self._references = references
        self._repeated = repeated
        self.claims = Claims(spec, storage)
        self._bodies: BodyReader[T] = BodyReader(spec, encoder, mutations.replacements, self.claims)

    async def read(self, value: Any, on_conflict: OnConflict) -> UpsertBody:
        """Return the value of an upsert, validated as far as possible without the holder.

        Raises:
            MalformedBody, InvalidData: the value is invalid.
        """
        return await self._bodies.read(value, on_conflict)

    async def run(self, body: UpsertBody, options: UpsertOptions) -> Resource[T]:
        """Carry out an upsert. `is_new` of the result is True if the upsert created the resource.

        Raises:
            InvalidData: there is no holder, and the value is no whole resource; or the merged data is invalid.
            DifferentHolders: the unique values have different holders.
            UniqueViolation: another resource holds a unique value of the merged data.
            Unreadable, NewerSchema: the holder cannot be read, or has a newer schema version.
            Conflict: the holder changed too often meanwhile.
        """
        key = options.key
        if key is None:
            return await self._run(body, options)
        answer = await self._repeated.find(key, Author(options.by, datetime.now(UTC)))
        if answer is not None:
            return answer
        try:
            return await self._run(body, options)
        except Repeated as repeated:
            return await self._repeated.answer(repeated, key)

    def key(self, name: str, body: UpsertBody, by: str | None, lifetime: timedelta) -> RequestKey:
        """Return the request key of an upsert. Another choice for conflicts makes another request.

        Raises:
            InvalidParameter: the name is no idempotency key.
        """
        content = b"%s\0%s" % (body.on_conflict.value.encode(), body.content)
        return request_key(name, content, Author(by, datetime.now(UTC)), lifetime)

    async def _run(self, body: UpsertBody, options: UpsertOptions) -> Resource[T]:
        for _ in range(_MAX_RETRIES):
            resource = await self._try(body, options)
            if resource is not None:
                return resource
        names = ", ".join(sorted({name for names in self._names_of(body) for name in names}))
        reason = f"Other writes have moved the values of {names} between resources {_MAX_RETRIES} times meanwhile."
        raise Conflict("", 0, reason=reason)

    async def _try(self, body: UpsertBody, options: UpsertOptions) -> Resource[T] | None:
        """Create the resource, or take its holder. Return None if the holder was gone meanwhile."""
        refusal: AutoCRUDError | None = body.refusal
        violated: str | None = None
        if body.encoded is not None:
            try:
                return await self._create(body.encoded, options)
            except UniqueViolation as error:
                if error.holder is None:  # the principal may not see it
                    raise
                violated = error.holder
            except ReferenceNotFound as error:  # the holder may have the reference already
                refusal = error
        holders = await self.claims.find_holders(body.claims, violated)
        if len(holders) > 1:
            raise self.different_holders(holders)
        if holders:
            return await self._take(holders[0], body, options)
        if refusal is not None:
            raise refusal
        return None

    async def _create(self, encoded: Encoded, options: UpsertOptions) -> Resource[T]:
        author, status = Author(options.by, datetime.now(UTC)), options.status or self._spec.default_status
        write = create_write(self._spec, str(uuid7()), encoded, author, status, options.key)
        await self._references.commit(write, None)
        return apply_to(self._spec, write, None)

    async def _take(self, holder: Holder, body: UpsertBody, options: UpsertOptions) -> Resource[T] | None:
        """Return or change the holder. Return None if the resource is no longer the holder."""
        if holder.head.fault is not None:
            raise holder.head.fault
        change = self.change_of(body, options)
        if change is None:
            return Resource(self._spec, holder.head)
        guarded = self._guarded(change, body, options.key)
        try:
            return await self._runner.run(holder.head.resource_id, guarded, by=options.by)
        except (NotFound, Deleted, _HolderChanged):
            return None
        except UniqueViolation as error:
            # Only the merged data has the value. Another try would not help.
            if error.fields not in self._names_of(body):
                raise
            return None

    def change_of(self, body: UpsertBody, options: UpsertOptions) -> Change[T] | None:
        """Return the change of the holder; None if the holder is returned unchanged."""
        if body.patch is not None:
            return self._mutations.patch(body.patch, status=options.status, max_bytes=options.max_bytes)
        if body.on_conflict is OnConflict.return_:
            return None
        return self._mutations.replace(body.replacement, status=options.status)

    def _guarded(self, change: Change[T], body: UpsertBody, key: RequestKey | None) -> Change[T]:
        """Return the change, made only to a resource that holds a claim, and with the request key."""

        async def guarded(current: Resource[T], author: Author) -> Write | None:
            if current.head.fault is not None:
                raise current.head.fault
            if not set(body.claims) & set(self.claims.of_head(current.head)):
                raise _HolderChanged
            write = await change(current, author)
            if write is not None and key is not None:
                write.key = with_version(key, write.meta.version)
            return write

        return guarded

    def _names_of(self, body: UpsertBody) -> list[tuple[str, ...]]:
        return [self._spec.unique_constraints[number].names for number, _ in body.claims]

    def different_holders(self, holders: list[Holder]) -> DifferentHolders:
        """Return the error of an upsert with several holders."""
        constraints = self._spec.unique_constraints
        pairs = [(constraints[number].names, item.head.resource_id) for item in holders for number, _ in item.claims]
        return DifferentHolders(pairs)
