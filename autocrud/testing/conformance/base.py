"""What the tests of the conformance suite share."""

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


def asking(*asked: Condition, spec: ModelSpec[Any] = SAMPLE) -> Condition | None:
    """What a storage is asked where all of these are to hold."""
    return Resolver(spec).condition(all_of(*asked))


async def ids(
    storage: IStorage,
    *asked: Condition,
    sort: str | None = None,
    include_deleted: bool = False,
    limit: int = 1000,
    spec: ModelSpec[Any] = SAMPLE,
) -> list[str]:
    """The ids that a query selects, over all pages."""
    order = () if sort is None else Resolver(spec).sort(sort)
    query, found = Query(asking(*asked, spec=spec), order, include_deleted, limit), list[str]()
    while True:
        page = await storage.search(query)
        found += [head.resource_id for head in page.items]
        if page.next is None:
            return found
        query = replace(query, after=page.next)


async def present(storage: IStorage, resource_id: str) -> Head:
    """A head that must be there."""
    head = await storage.get(resource_id)
    assert head is not None
    return head


async def outcomes(storage: IStorage, writes: list[Write]) -> list[Any]:
    """Commit all of them at once; what each one came to."""
    return await asyncio.gather(*(storage.commit(write) for write in writes), return_exceptions=True)


class StorageTests:
    """Tests of a storage that is open and empty."""

    @pytest.fixture
    async def storage(self, factory: IStorageFactory) -> AsyncIterator[IStorage]:
        """One model's storage, open and empty."""
        storage = factory.build(SAMPLE)
        await storage.open()
        yield storage
        await storage.close()
