"""Past states: tell if a principal might have seen a resource as it was at a commit or in a revision."""

from dataclasses import replace

from autocrud.errors import RevisionNotFound
from autocrud.guard.model_guard import ModelGuard
from autocrud.policy.rules import Verdict
from autocrud.resource import ResourceMeta, revision_number
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Commit, Head, Revision


class PastStates:
    """Judges past states by the rules of today.

    Args:
        storage: storage that hides nothing.
    """

    def __init__(self, guard: ModelGuard, storage: IStorage) -> None:
        self._guard = guard
        self._storage = storage

    async def allows_revision(self, verdict: Verdict, revision: Revision, head: Head) -> bool:
        """Return True if a verdict allows the resource with the data of a revision.

        Args:
            head: current state of the resource.
        """
        if isinstance(verdict, bool):
            return verdict
        info = revision.info
        meta = ResourceMeta.model_validate_json(head.meta).model_copy(
            update={
                "version": revision.data_version,
                "current_revision_id": info.revision_id,
                "status": info.status,
                "schema_version": info.schema_version,
                "updated_time": info.created_time,
                "updated_by": info.created_by,
            }
        )
        return await self._allows(verdict, meta, revision, head)

    async def allows_commit(self, verdict: Verdict, commit: Commit, head: Head) -> bool:
        """Return True if a verdict allows the resource as a commit left it. A state without data is not allowed."""
        if isinstance(verdict, bool):
            return verdict
        number = revision_number(commit.resource_id, commit.revision_id)
        revision = await self._storage.revision(commit.resource_id, number, version=commit.version)
        if revision is None:
            return False
        meta = ResourceMeta.model_validate_json(head.meta).model_copy(
            update={
                "version": commit.version,
                "current_revision_id": commit.revision_id,
                "total_revision_count": commit.total_revision_count,
                "is_deleted": commit.is_deleted,
                "status": commit.status,
                "schema_version": commit.schema_version,
                "updated_time": commit.time,
                "updated_by": commit.by,
            }
        )
        return await self._allows(verdict, meta, revision, head)

    async def _allows(self, verdict: Verdict, meta: ResourceMeta, revision: Revision, head: Head) -> bool:
        try:
            data = await self._storage.data(revision)
        except RevisionNotFound:
            return False
        stored = replace(
            head, meta=meta.to_json(), revision_info=revision.info.to_json(), data=data, stored=None, fault=None
        )
        return self._guard.holds(verdict, await self._storage.versions.head(stored))
