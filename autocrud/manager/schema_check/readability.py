"""Readability: reads stored resources with the model, and counts the resources that cannot be read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from autocrud.errors import NewerSchema, StorageUnavailable
from autocrud.manager.unreadable import refusal_of
from autocrud.query.conditions import Query
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage
from autocrud.storage.ports.types import Head

SAMPLE_SIZE = 100
SAMPLE_SECONDS = 1.0
MAX_IDS = 5
_PAGE_SIZE = 20
_SLICE_SECONDS = 0.003  # of computation between two turns of the event loop
_FIRST_DELAY_S, _LONGEST_DELAY_S = 1.0, 60.0


@dataclass
class Readability:
    """Result of a check.

    Attributes:
        total: resources that were read, without resources of newer schema versions.
        unreadable: resources that the model cannot read.
        ids: ids of the first unreadable resources.
        reason: reason of the first unreadable resource.
        is_complete: True if all resources were read.
    """

    total: int = 0
    unreadable: int = 0
    ids: list[str] = field(default_factory=list)
    reason: str = ""
    is_complete: bool = False

    @property
    def is_empty(self) -> bool:
        """True if there are no resources."""
        return self.is_complete and not self.total

    def add(self, resource_id: str, fault: str | None) -> None:
        """Count a resource."""
        self.total += 1
        if fault is not None:
            self.unreadable += 1
            self.reason = self.reason or fault
            if len(self.ids) < MAX_IDS:
                self.ids.append(resource_id)

    def __str__(self) -> str:
        if not self.unreadable:
            return "all can be read"
        ids = ", ".join(map(repr, self.ids))
        return f"{self.unreadable} cannot be read, such as {ids} ({self.reason})"


async def read_sample(spec: ModelSpec[Any], storage: IStorage) -> Readability:
    """Read the newest resources, as many as the time limit allows."""
    result, end = Readability(), perf_counter() + SAMPLE_SECONDS
    with suppress(TimeoutError):
        async with asyncio.timeout(SAMPLE_SECONDS):
            async for head in _heads(storage):
                _count(result, spec, head)
                if result.total >= SAMPLE_SIZE or perf_counter() > end:
                    return result
            result.is_complete = True
    return result


async def read_all(spec: ModelSpec[Any], storage: IStorage) -> Readability:
    """Read all resources, in slices, while the service runs."""
    result, started_at = Readability(), perf_counter()
    async for head in _heads(storage):
        _count(result, spec, head)
        spent = perf_counter() - started_at
        if spent > _SLICE_SECONDS:
            await asyncio.sleep(spent)  # requests get at least half of the time
            started_at = perf_counter()
    result.is_complete = True
    return result


async def _heads(storage: IStorage) -> AsyncIterator[Head]:
    """Yield all heads, newest first, page by page. An outage of the storage is waited for."""
    query, delay = Query(include_deleted=True, limit=_PAGE_SIZE), _FIRST_DELAY_S
    while True:
        try:
            page = await storage.search(query)
        except StorageUnavailable:
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_S)
            continue
        for head in page.items:
            yield head
        if page.next is None:
            return
        query, delay = Query(include_deleted=True, limit=_PAGE_SIZE, after=page.next), _FIRST_DELAY_S


def _count(result: Readability, spec: ModelSpec[Any], head: Head) -> None:
    if isinstance(head.fault, NewerSchema):
        return
    fault = str(head.fault) if head.fault is not None else None
    if head.data is not None:
        refusal = refusal_of(spec, head.data)
        fault = None if refusal is None else ": ".join(part for part in refusal if part)
    result.add(head.resource_id, fault)
