"""Two models of one store, for the conformance of stores."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from pydantic_core import to_json

from autocrud.resource import timestamp
from autocrud.schema.markers import OnDelete, Ref, Unique
from autocrud.schema.model_spec import ModelSpec
from autocrud.storage.ports.storage import IStorage, IStorageFactory
from autocrud.storage.ports.transactions import (
    START,
    Dependent,
    StoreChange,
    Transaction,
    TransactionStore,
    VersionCheck,
)
from autocrud.storage.ports.types import Write
from autocrud.testing.conformance.base import ids, present
from autocrud.testing.sample_writes import (
    SAMPLE,
    create_write,
    update_write,
)


class Link(BaseModel):
    """A model with a reference to `Sample` for each on-delete action, and to another link."""

    name: Annotated[str | None, Unique()] = None
    restricted: Annotated[str | None, Ref("sample", on_delete=OnDelete.restrict)] = None
    cascaded: Annotated[str | None, Ref("sample", on_delete=OnDelete.cascade)] = None
    nulled: Annotated[list[str] | None, Ref("sample", on_delete=OnDelete.set_null)] = None
    dangling: Annotated[str | None, Ref("sample", on_delete=OnDelete.dangling)] = None
    previous: Annotated[str | None, Ref("link", on_delete=OnDelete.restrict)] = None


LINK: ModelSpec[Link] = ModelSpec(Link)
LINK.reference_targets = {
    number: SAMPLE.folder if field.ref.model == "sample" else LINK.folder
    for number, field in enumerate(LINK.index_fields)
    if field.ref is not None
}


def link(resource_id: str, **fields: Any) -> Write:
    """Return the first write of a link."""
    return create_write(resource_id, _link_data(fields), spec=LINK)


def update_link(before: Write, **fields: Any) -> Write:
    """Return a write that appends a revision of a link."""
    return update_write(before, _link_data(fields), spec=LINK)


def _link_data(fields: dict[str, Any]) -> bytes:
    return LINK.dump(LINK.parse(to_json(fields)))


def check_of(model: ModelSpec[Any], write: Write) -> VersionCheck:
    """Return the check that a resource is as a write left it."""
    meta = write.meta
    return VersionCheck(model.folder, meta.resource_id, meta.version, timestamp(meta.created_time))


class Models:
    """Open storages of `Sample` and `Link` in one store."""

    def __init__(self, samples: IStorage, links: IStorage) -> None:
        self.samples = samples
        self.links = links
        assert samples.store is not None
        assert links.store is samples.store
        self.store: TransactionStore = samples.store

    def prepare(self, *items: Write | VersionCheck | Dependent) -> Transaction:
        """Return a transaction. Writes of links have ids that begin with "l"."""
        for item in items:
            if isinstance(item, Write) and not item.model:
                storage = self.links if item.meta.resource_id.startswith("l") else self.samples
                assert storage.prepare(item) is None
        return Transaction(items)

    async def commit(self, *items: Write | VersionCheck | Dependent) -> list[Any]:
        """Commit one transaction. Return None or the refusal of each item."""
        (outcome,) = await self.store.commit([self.prepare(*items)])
        return outcome

    async def accept(self, *items: Write | VersionCheck | Dependent) -> None:
        """Commit one transaction that must be accepted."""
        assert await self.commit(*items) == [None] * len(items)

    async def refuse(self, *items: Write | VersionCheck | Dependent) -> list[type[Any]]:
        """Commit one transaction that must be refused and change nothing. Return the types of its outcomes."""
        before = await self.state()
        outcome = await self.commit(*items)
        assert all(outcome)
        assert await self.state() == before
        return [type(refusal) for refusal in outcome]

    async def state(self) -> Any:
        """Return all heads, and the last position."""
        storages = (self.samples, self.links)
        names = [await ids(self.samples, include_deleted=True), await ids(self.links, include_deleted=True, spec=LINK)]
        heads = [[await present(item, name) for name in found] for item, found in zip(storages, names, strict=True)]
        return heads, await self.store.last_position()

    async def changes(self, limit: int = 1000) -> list[StoreChange]:
        """Return all changes, read in pages."""
        found, position = list[StoreChange](), START
        while page := await self.store.changes(position, limit):
            assert len(page) <= limit
            found += page
            position = page[-1].position
        return found


def summary(changes: Sequence[StoreChange]) -> list[tuple[str, int, str]]:
    """Return id, version and kind of each change."""
    return [(change.resource_id, change.version, change.kind.value) for change in changes]


class StoreTests:
    """Tests of two open models of one store."""

    @pytest.fixture
    async def models(self, factory: IStorageFactory) -> AsyncIterator[Models]:
        """Yield the open storages of two models. The second model is built after the first is open."""
        samples = factory.build(SAMPLE)
        await samples.open()
        links = factory.build(LINK)
        await links.open()
        yield Models(samples, links)
        await links.close()
        await samples.close()
