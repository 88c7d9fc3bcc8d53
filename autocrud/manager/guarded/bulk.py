"""Guarded bulk: many operations of a principal, who is their author."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, TypeVar

from autocrud.guard.model_guard import ModelGuard
from autocrud.manager.bulk.operation import BulkOperation, BulkResult
from autocrud.manager.bulk.writer import BulkWriter
from autocrud.storage.ports.storage import IStorage

T = TypeVar("T")


class GuardedBulk(BulkWriter[T]):
    """Bulk writer whose writes are judged by their commit. Their author is the principal, whatever the caller says."""

    def __init__(self, guard: ModelGuard, storage: IStorage, *parts: Any) -> None:
        super().__init__(guard.spec, storage, *parts)
        self._guard = guard

    def stream(
        self, portions: AsyncIterator[Sequence[BulkOperation]], **options: Any
    ) -> AsyncGenerator[list[BulkResult], None]:
        return super().stream(portions, **options | {"by": self._guard.principal_id()})

    async def atomic(self, operations: Sequence[BulkOperation], **options: Any) -> list[BulkResult]:
        return await super().atomic(operations, **options | {"by": self._guard.principal_id()})
