"""Shared helpers of the conformance suite."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from autocrud.query.conditions import Condition, Query, all_of
from autocrud.query.resolver import Resolver
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.types import Head, Write
from autocrud.testing.sample_writes import SAMPLE

LARGE = "x" * 300_000


def asking(*conditions: Condition, spec: ModelSpec[Any] = SAMPLE) -> Condition | None:
    """Return the resolved conjunction of these conditions, as a storage takes it."""
    return Resolver(spec).condition(all_of(*conditions))


async def ids(
    storage: IStorage,
    *conditions: Condition,
    sort: str | None = None,
    include_deleted: bool = False,
    limit: int = 1000,
    spec: ModelSpec[Any] = SAMPLE,
) -> list[str]:
    """Return the ids that a query selects, over all pages."""
    order = () if sort is None else Resolver(spec).sort(sort)
    query, found = Query(asking(*conditions, spec=spec), order, include_deleted, limit), list[str]()
    while True:
        page = await storage.search(query)
        found += [head.resource_id for head in page.items]
        if page.next is None:
            return found
        query = replace(query, after=page.next)


async def present(storage: IStorage, resource_id: str) -> Head:
    """Return the head of a resource that must exist."""
    head = await storage.get(resource_id)
    assert head is not None
    return head


async def outcomes(storage: IStorage, writes: list[Write]) -> list[Any]:
    """Commit all writes concurrently. Return None or the error of each."""
    return await asyncio.gather(*(storage.commit(write) for write in writes), return_exceptions=True)


class StorageTests:
    """Tests of an open, empty storage."""

    @pytest.fixture
    async def storage(self, factory: IStorageFactory) -> AsyncIterator[IStorage]:
        """Yield an open, empty storage of one model."""
        storage = factory.build(SAMPLE)
        await storage.open()
        yield storage
        await storage.close()
