"""Transaction: reads and writes over the models of one store, which commit together or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack, overload

from autocrud.errors import AutoCRUDError, InvalidInput, TransactionClosed
from autocrud.manager.manager import ResourceManager
from autocrud.manager.transaction.commit import commit, name_operation
from autocrud.manager.transaction.journal import Journal
from autocrud.manager.transaction.planner import Place
from autocrud.manager.upsert.on_conflict import OnConflict
from autocrud.references.committer import ReferenceCommitter
from autocrud.resource import RevisionStatus
from autocrud.versioning.json_patch import Patch
from autocrud.versioning.mutations import Tags
from autocrud.versioning.stored_resource import Resource

T = TypeVar("T")

MAX_OPERATIONS = 1000

AnyPatch = Patch | Mapping[str, Any] | Sequence[Mapping[str, Any]]


class ReadOptions(TypedDict, total=False):
    """Options of a read. `include_deleted` accepts a soft-deleted resource."""

    include_deleted: bool


class CreateOptions(TypedDict, total=False):
    """Options of a create; see `ResourceManager.create`."""

    resource_id: str | None
    status: RevisionStatus | None
    on_conflict: OnConflict | str
    max_bytes: int


class TagOptions(TypedDict, total=False):
    """Options of a delete, restore or switch; see `ResourceManager.delete`."""

    if_match: Tags | None


class ReplaceOptions(TagOptions, total=False):
    """Options of a replacement; see `ResourceManager.replace`."""

    modify: bool
    status: RevisionStatus | None


class PatchOptions(ReplaceOptions, total=False):
    """Options of a patch; see `ResourceManager.patch`."""

    max_bytes: int


class Transaction:
    """Reads and writes over the models of one store. Leaving the `async with` block commits all writes, or none.

    A model is given by its class or its name. Each method has the arguments of the manager's method, without `by`, and
    returns the resource as it will be. Nothing is visible to others before the commit. If the block raises, nothing is
    stored.

    Reads see the writes of the transaction. The commit checks that each resource that was read by its id is unchanged;
    else it raises `Conflict`. This also holds for a missing resource.

    A refusal is raised by the method, or by the exit. It keeps its class, such as `UniqueViolation`. Its attribute
    `operation` is the number of the call, from 0, and `operation_model` is the name of the model.

    Args:
        find: returns the manager of a model.
        by: author of the writes.

    Raises:
        InvalidInput: there are more than 1,000 operations, or the data that it reads and writes exceeds 64 MiB.
        DifferentStores: a model is in another store than the model of the first operation.
        TransactionClosed: the block has ended.
        Conflict: another writer has changed a resource since the transaction read it.
        StorageUnavailable: the outcome is unknown; a read shows it.
    """

    def __init__(self, find: Callable[[type[Any] | str], ResourceManager[Any]], by: str | None = None) -> None:
        self._find = find
        self._by = by
        self._journal = Journal()
        self._committer: ReferenceCommitter | None = None
        self._count = 0
        self._has_begun = self._is_open = False
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        if self._has_begun:
            raise TransactionClosed
        self._has_begun = self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        if error is not None:
            return
        async with self._lock:  # another task may have an operation in progress, which belongs to the transaction
            if self._committer is not None:
                await commit(self._journal, self._committer)

    @overload
    async def get(self, model: type[T], resource_id: str, **options: Unpack[ReadOptions]) -> Resource[T]: ...

    @overload
    async def get(self, model: str, resource_id: str, **options: Unpack[ReadOptions]) -> Resource[Any]: ...

    async def get(self, model: type[Any] | str, resource_id: str, **options: Unpack[ReadOptions]) -> Resource[Any]:
        """Return a resource as the transaction sees it. The commit checks that it is unchanged.

        Raises:
            NotFound, Deleted: the resource does not exist, or is soft-deleted and `include_deleted` is not set.
        """
        async with self._operation(model, resource_id) as (manager, place):
            return manager.visible(await manager.planner.get(place, resource_id, **options))

    @overload
    async def create(
        self, model: type[T], value: T | Mapping[str, Any] | bytes, **options: Unpack[CreateOptions]
    ) -> Resource[T]: ...

    @overload
    async def create(self, model: str, value: Any, **options: Unpack[CreateOptions]) -> Resource[Any]: ...

    async def create(self, model: type[Any] | str, value: Any, **options: Unpack[CreateOptions]) -> Resource[Any]:
        """Create a resource. With `on_conflict`, take the resource that holds the unique values, if there is one."""
        async with self._operation(model, options.get("resource_id")) as (manager, place):
            return manager.visible(await manager.planner.create(place, value, **options))

    @overload
    async def replace(
        self,
        model: type[T],
        resource_id: str,
        value: T | Mapping[str, Any] | bytes,
        **options: Unpack[ReplaceOptions],
    ) -> Resource[T]: ...

    @overload
    async def replace(
        self, model: str, resource_id: str, value: Any, **options: Unpack[ReplaceOptions]
    ) -> Resource[Any]: ...

    async def replace(
        self, model: type[Any] | str, resource_id: str, value: Any, **options: Unpack[ReplaceOptions]
    ) -> Resource[Any]:
        """Append a revision with this data. Equal data has no effect."""
        async with self._operation(model, resource_id) as (manager, place):
            return manager.visible(await manager.planner.replace(place, resource_id, value, **options))

    @overload
    async def patch(
        self, model: type[T], resource_id: str, patch: AnyPatch, **options: Unpack[PatchOptions]
    ) -> Resource[T]: ...

    @overload
    async def patch(
        self, model: str, resource_id: str, patch: AnyPatch, **options: Unpack[PatchOptions]
    ) -> Resource[Any]: ...

    async def patch(
        self, model: type[Any] | str, resource_id: str, patch: AnyPatch, **options: Unpack[PatchOptions]
    ) -> Resource[Any]:
        """Apply a merge patch or a JSON Patch."""
        async with self._operation(model, resource_id) as (manager, place):
            return manager.visible(await manager.planner.patch(place, resource_id, patch, **options))

    @overload
    async def switch(
        self, model: type[T], resource_id: str, revision_id: str, **options: Unpack[TagOptions]
    ) -> Resource[T]: ...

    @overload
    async def switch(
        self, model: str, resource_id: str, revision_id: str, **options: Unpack[TagOptions]
    ) -> Resource[Any]: ...

    async def switch(
        self, model: type[Any] | str, resource_id: str, revision_id: str, **options: Unpack[TagOptions]
    ) -> Resource[Any]:
        """Make another revision the current one."""
        async with self._operation(model, resource_id) as (manager, place):
            return manager.visible(await manager.planner.switch(place, resource_id, revision_id, **options))

    @overload
    async def delete(self, model: type[T], resource_id: str, **options: Unpack[TagOptions]) -> Resource[T]: ...

    @overload
    async def delete(self, model: str, resource_id: str, **options: Unpack[TagOptions]) -> Resource[Any]: ...

    async def delete(self, model: type[Any] | str, resource_id: str, **options: Unpack[TagOptions]) -> Resource[Any]:
        """Delete a resource softly. The commit carries out the on-delete actions."""
        async with self._operation(model, resource_id) as (manager, place):
            return manager.visible(await manager.planner.delete(place, resource_id, **options))

    @overload
    async def restore(self, model: type[T], resource_id: str, **options: Unpack[TagOptions]) -> Resource[T]: ...

    @overload
    async def restore(self, model: str, resource_id: str, **options: Unpack[TagOptions]) -> Resource[Any]: ...

    async def restore(self, model: type[Any] | str, resource_id: str, **options: Unpack[TagOptions]) -> Resource[Any]:
        """Undo a soft delete."""
        async with self._operation(model, resource_id) as (manager, place):
            return manager.visible(await manager.planner.restore(place, resource_id, **options))

    @overload
    async def check(self, model: type[T], resource_id: str, *, if_match: Tags) -> Resource[T]: ...

    @overload
    async def check(self, model: str, resource_id: str, *, if_match: Tags) -> Resource[Any]: ...

    async def check(self, model: type[Any] | str, resource_id: str, *, if_match: Tags) -> Resource[Any]:
        """Refuse the transaction unless the live resource has one of these tags.

        Raises:
            NotFound, Deleted, PreconditionFailed: the resource does not exist, is soft-deleted, or has another tag.
        """
        async with self._operation(model, resource_id) as (manager, place):
            return manager.visible(await manager.planner.check(place, resource_id, if_match=if_match))

    async def preload(self, resource_ids: Mapping[str, Sequence[str]]) -> None:
        """Read resources together, given as ids by the name of the model. This is no operation, and adds no checks."""
        for model, names in resource_ids.items():
            await self._journal.preload(self._find(model).planner.node, names)

    @asynccontextmanager
    async def _operation(
        self, model: type[Any] | str, resource_id: str | None
    ) -> AsyncIterator[tuple[ResourceManager[Any], Place]]:
        """Count an operation. Concurrent operations of one transaction run one after the other."""
        async with self._lock:
            if not self._is_open:
                raise TransactionClosed
            manager, number = self._find(model), self._count
            if number >= MAX_OPERATIONS:
                raise InvalidInput(f"The transaction has more than {MAX_OPERATIONS} operations.")
            self._count += 1
            self._committer = self._committer or manager.references.committer
            try:
                self._journal.use(manager.planner.node)
                yield manager, Place(self._journal, number, self._by)
            except AutoCRUDError as error:
                name_operation(error, number, manager.spec.name, resource_id)
                raise
