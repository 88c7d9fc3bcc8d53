"""Guarded manager: the operations on one model's resources under its rules, for the principal of each call."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from autocrud.errors import InvalidParameter
from autocrud.guard.masking import masked_head
from autocrud.guard.model_guard import ModelGuard
from autocrud.manager.aggregate import GroupPage
from autocrud.manager.blobs import MAX_BLOB_BYTES, UPLOAD_SECONDS
from autocrud.manager.bulk.by_query import ByQueryResult
from autocrud.manager.guarded.blobs import GuardedBlobs
from autocrud.manager.guarded.bulk import GuardedBulk
from autocrud.manager.guarded.transfer import GuardedTransfer
from autocrud.manager.manager import ResourceManager
from autocrud.manager.ports import ManagerPorts
from autocrud.manager.queries import Where
from autocrud.policy.access import Right
from autocrud.references.expand import ReferrerPage
from autocrud.references.graph import Reference
from autocrud.resource import check_resource_id
from autocrud.storage.ports.types import Commit
from autocrud.versioning.json_patch import Patch
from autocrud.versioning.stored_resource import Resource, ResourcePage, RevisionPage

T = TypeVar("T")


class GuardedManager(ResourceManager[T]):
    """Manager of a model under its rules. `crud.manager(Model, principal=…)` returns one.

    Each method raises `Unauthenticated` or `Forbidden` if the principal lacks the right on the model, or on a resource
    that he may see. A resource that he may not see does not exist for him.

    Args:
        guard: rules of the model.
        guards: rules of all models, by name.
        inner: manager without rules.
    """

    def __init__(
        self,
        guard: ModelGuard,
        guards: Mapping[str, ModelGuard],
        ports: ManagerPorts,
        *,
        inner: ResourceManager[T],
        max_blob_bytes: int = MAX_BLOB_BYTES,
        upload_seconds: float = UPLOAD_SECONDS,
        **limits: Any,
    ) -> None:
        super().__init__(
            guard.spec,
            ports.reads.storage,
            ports=ports,
            max_blob_bytes=max_blob_bytes,
            upload_seconds=upload_seconds,
            **limits,
        )
        self.guard = guard
        self._guards = guards
        self._rows = ports.changes.storage
        sizes: Any = {"max_bytes": max_blob_bytes, "upload_seconds": upload_seconds}
        self.blobs = GuardedBlobs(guard, ports.reads.storage, self._rows, **sizes)
        self.bulk = GuardedBulk(
            guard, ports.changes.storage, self._encoder, self._mutations, self.references, self._upserts
        )
        self.transfer = GuardedTransfer(guard, self.transfer, inner.transfer)

    async def get(self, resource_id: str, **options: Any) -> Resource[T]:
        self.guard.check(Right.read)
        if options.get("revision_id") is not None or options.get("at") is not None:
            await self._check_history(resource_id)
        return await super().get(resource_id, **options)

    async def revisions(self, resource_id: str, **options: Any) -> RevisionPage[T]:
        await self._check_history(resource_id)
        return await super().revisions(resource_id, **options)

    async def commits(self, resource_id: str, **options: Any) -> list[Commit]:
        await self._check_history(resource_id)
        return await super().commits(resource_id, **options)

    async def diff(self, resource_id: str, first: str, second: str, **options: Any) -> list[dict[str, Any]]:
        await self._check_history(resource_id)
        return await super().diff(resource_id, first, second, **options)

    async def search(self, where: Where = None, *, at: datetime | None = None, **options: Any) -> ResourcePage[T]:
        self.guard.check(Right.read, Right.list, *([Right.history] if at is not None else []))
        return await super().search(where, at=at, **options)

    async def count(self, where: Where = None, *, at: datetime | None = None, **options: Any) -> int:
        self.guard.check(Right.read, Right.list, *([Right.history] if at is not None else []))
        return await super().count(where, at=at, **options)

    async def aggregate(self, where: Where = None, **options: Any) -> GroupPage:
        self.guard.check(Right.read, Right.list)
        return await super().aggregate(where, **options)

    async def referrers(
        self, resource_id: str, *, references: Sequence[Reference] | None = None, **options: Any
    ) -> ReferrerPage:
        self.guard.check(Right.read)
        selected = self.graph.incoming(self.spec.name) if references is None else references
        return await super().referrers(
            resource_id, references=[item for item in selected if self._lists(item.source.name)], **options
        )

    async def create(self, value: Any, **options: Any) -> Resource[T]:
        self.guard.check(Right.create)
        return self.visible(await super().create(value, **self._by(options)))

    async def replace(self, resource_id: str, value: Any, **options: Any) -> Resource[T]:
        self.guard.check(Right.update)
        return self.visible(await super().replace(resource_id, value, **self._by(options)))

    async def patch(self, resource_id: str, patch: Any, **options: Any) -> Resource[T]:
        self.guard.check(Right.update)
        return self.visible(await super().patch(resource_id, patch, **self._by(options)))

    async def switch(self, resource_id: str, revision_id: str, **options: Any) -> Resource[T]:
        self.guard.check(Right.switch)
        return self.visible(await super().switch(resource_id, revision_id, **self._by(options)))

    async def delete(self, resource_id: str, **options: Any) -> Resource[T]:
        self.guard.check(Right.delete)
        return self.visible(await super().delete(resource_id, **self._by(options)))

    async def restore(self, resource_id: str, **options: Any) -> Resource[T]:
        self.guard.check(Right.restore)
        return self.visible(await super().restore(resource_id, **self._by(options)))

    async def purge(self, resource_id: str, **options: Any) -> None:
        self.guard.check(Right.purge)
        await super().purge(resource_id, **self._by(options))

    async def delete_where(self, where: Where, **options: Any) -> ByQueryResult:
        self.guard.check(Right.list, Right.delete)
        return await super().delete_where(where, **self._by(options))

    async def restore_where(self, where: Where, **options: Any) -> ByQueryResult:
        self.guard.check(Right.list, Right.restore)
        return await super().restore_where(where, **self._by(options))

    async def patch_where(self, where: Where, patch: Patch | Any, **options: Any) -> ByQueryResult:
        self.guard.check(Right.list, Right.update)
        return await super().patch_where(where, patch, **self._by(options))

    def migrate(self, **options: Any) -> Any:
        """Refuse: a migration rewrites all resources. Use the manager without a principal."""
        raise InvalidParameter("principal", "cannot migrate; use crud.manager(Model)")

    def _by(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options with the principal as author. He cannot write in the name of another."""
        return options | {"by": self.guard.principal_id()}

    async def _check_history(self, resource_id: str) -> None:
        """Refuse a principal who may see a resource, and not its history.

        Raises:
            Unauthenticated, Forbidden: he lacks the right to the history of the model, or of the resource.
        """
        verdict = self.guard.require(Right.read, Right.history)
        head = None if verdict is True else await self._rows.get(check_resource_id(resource_id))
        if head is not None and not self.guard.holds(verdict, head):
            raise self.guard.refusal(Right.history)

    def _lists(self, model: str) -> bool:
        guard = self._guards[model]
        return guard.verdict(Right.read) is not False and guard.verdict(Right.list) is not False

    def visible(self, resource: Resource[T]) -> Resource[T]:
        """Return the resource without the fields that the principal may not see."""
        hidden = self.guard.hidden_paths()
        if not hidden:
            return resource
        return Resource(self.spec, masked_head(resource.head, hidden), resource.revision, is_new=resource.is_new)
