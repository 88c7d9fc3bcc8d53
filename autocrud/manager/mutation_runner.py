"""MutationRunner: applies a mutation to one resource and commits the write."""

from typing import Generic, TypeVar

from autocrud.errors import Conflict
from autocrud.manager.heads import read_head
from autocrud.references.integrity import ReferenceIntegrity
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.versioning.mutations import Change, Tags, plan_write
from autocrud.versioning.stored_resource import Resource
from autocrud.versioning.write_builder import apply_to

T = TypeVar("T")


class MutationRunner(Generic[T]):
    """Applies mutations to the resources of one model, one resource at a time."""

    def __init__(self, spec: ModelSpec[T], storage: IStorage, references: ReferenceIntegrity) -> None:
        self._spec = spec
        self._storage = storage
        self._references = references

    async def run(
        self,
        resource_id: str,
        change: Change[T],
        *,
        if_match: Tags | None = None,
        by: str | None = None,
        include_deleted: bool = False,
    ) -> Resource[T]:
        """Read the resource, plan the write and commit it. After a conflict, start again with a new read.

        Returns the resource after the write, or as it is if the change has no effect.

        Raises:
            PreconditionFailed: `if_match` does not contain the tag of the resource.
            NotFound, Deleted: the resource does not exist, or is soft-deleted and `include_deleted` is not set.
        """
        while True:
            # A read from a stale index would plan the write on a past state, and fail the precondition for no reason.
            head = await read_head(
                self._spec, self._storage, resource_id, include_deleted=include_deleted, current=True
            )
            before = Resource(self._spec, head)
            write = await plan_write(before, if_match, by, change)
            if write is None:
                return before
            try:
                await self._references.commit(write, head)
            except Conflict:
                continue
            return apply_to(self._spec, write, before)
